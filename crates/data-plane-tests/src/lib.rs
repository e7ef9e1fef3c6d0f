//! Nothing but a home for the tests in `tests/`: the programs of the data plane, run together as processes.
