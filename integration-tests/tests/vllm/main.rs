//! Real vLLM, built for processors: it parses the command lines that `render` makes, serves one of them behind the front,
//! and over Ray.
//!
//! | variable | effect |
//! |---|---|
//! | none | the tests skip themselves |
//! | `KAITO_VLLM_PYTHON` | a Python that has vLLM; `cargo xtask nightly vllm` installs one and sets it |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail their test"
)]

mod command_lines;
mod engine;
mod flags;
mod ray;
mod rendered;
mod serving;

use std::ffi::OsString;

/// The Python with vLLM; `None` skips a test.
fn python() -> Option<OsString> {
    let python = std::env::var_os("KAITO_VLLM_PYTHON");
    if python.is_none() {
        println!("skipped: KAITO_VLLM_PYTHON is not set");
    }
    python
}
