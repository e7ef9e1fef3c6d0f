//! `cargo xtask test`: everything CI runs, in order, with times. The steps are in `steps`.

mod chart;
mod step;
mod steps;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::step::TestStep;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run these steps only; the summary of a run shows their names
    steps: Vec<String>,
}

/// The result of a step.
struct Outcome {
    name: &'static str,
    time: Duration,
    passed: bool,
}

/// `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<()> {
    run_steps(chosen(steps::all(), &args.steps)?)
}

/// `cargo xtask nightly`: what takes too long for every change.
pub(crate) fn nightly(args: &Args) -> Result<()> {
    run_steps(chosen(steps::nightly(), &args.steps)?)
}

fn run_steps(steps: Vec<TestStep>) -> Result<()> {
    let began = Instant::now();
    let mut outcomes = Vec::new();
    let mut failure = None;
    for step in steps {
        let (outcome, error) = attempt(&step);
        outcomes.push(outcome);
        if let Some(error) = error {
            failure = Some((step, error));
            break;
        }
    }
    print_summary(&outcomes, began.elapsed());
    match failure {
        None => Ok(()),
        Some((step, error)) => {
            println!(
                "\n{} failed: {error:#}\nrun it again alone with: {}",
                step.name, step.again
            );
            bail!("{} failed", step.name)
        }
    }
}

/// All steps, or those named; in their own order either way.
fn chosen(all: Vec<TestStep>, names: &[String]) -> Result<Vec<TestStep>> {
    let known: Vec<&str> = all.iter().map(|step| step.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no step is called {unknown}; there are {}", known.join(", "));
    }
    let is_named = |step: &TestStep| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(all.into_iter().filter(is_named).collect())
}

fn attempt(step: &TestStep) -> (Outcome, Option<anyhow::Error>) {
    println!("\n=== {}: {}\n    ({})", step.name, step.what, step.again);
    let began = Instant::now();
    let error = (step.action)().err();
    let time = began.elapsed();
    println!(
        "=== {}: {} after {}",
        step.name,
        verdict(error.is_none()),
        shown(time)
    );
    (
        Outcome {
            name: step.name,
            time,
            passed: error.is_none(),
        },
        error,
    )
}

fn print_summary(outcomes: &[Outcome], total: Duration) {
    println!("\n{:<14} {:<7} {:>10}", "step", "", "time");
    for outcome in outcomes {
        println!(
            "{:<14} {:<7} {:>10}",
            outcome.name,
            verdict(outcome.passed),
            shown(outcome.time)
        );
    }
    println!("{:<14} {:<7} {:>10}", "total", "", shown(total));
}

fn verdict(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

fn shown(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f32()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name_and_keep_their_order() {
        let names = |chosen: &[&str]| -> Result<Vec<&str>> {
            let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
            Ok(super::chosen(steps::all(), &chosen)?
                .iter()
                .map(|step| step.name)
                .collect())
        };
        assert_eq!(names(&["tidy", "format"]).unwrap(), ["format", "tidy"]);
        assert_eq!(names(&[]).unwrap().len(), steps::all().len());
        assert!(names(&["coffee"]).is_err());
    }

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(shown(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(shown(Duration::from_secs(59)), "59 s");
        assert_eq!(shown(Duration::from_secs(605)), "10 min 05 s");
    }
}
