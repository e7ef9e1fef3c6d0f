//! In-memory cluster and cloud that play plans, for tests.
