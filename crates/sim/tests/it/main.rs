//! Whole worlds: runs of claims, seeded chaos, and scenarios with golden transcripts.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail their test; a failed seed is printed with its trace"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "variables choose the seeds and write the transcripts again"
)]

mod claims;
mod held;
mod karpenter;
mod ladder;
mod offerings;
mod properties;
mod quota;
mod scenarios;
mod throttled;
mod walk;
