//! The cost of a run: writes from the audit log, memory and processor time from `/proc`.

use anyhow::Result;
use testkit::Stack;
use testkit::{Mark, TestEnv, WriteFilter};

use crate::process::Usage;
use crate::times::Times;

/// Prints how long something took.
pub(crate) fn times(who: &str, times: Times, count: usize) {
    let rate = |seconds: f64| count as f64 / seconds;
    println!(
        "{who:<22} all claims written after {:6.1} s ({:5.1} /s), all ready after {:6.1} s ({:5.1} /s)",
        times.claims,
        rate(times.claims),
        times.ready,
        rate(times.ready)
    );
}

/// The books when the run began.
#[derive(Debug)]
pub(crate) struct Cost {
    mark: Mark,
    cluster: Vec<(String, f64)>,
}

impl Cost {
    pub(crate) fn begin(env: &TestEnv) -> Result<Self> {
        Ok(Self {
            mark: env.audit().mark()?,
            cluster: cluster_seconds(env)?,
        })
    }

    /// Prints what has been spent since.
    pub(crate) fn report(self, env: &TestEnv, stack: &Stack, count: usize) -> Result<()> {
        let each = |what: f64| what / count as f64;
        let spent = cluster_seconds(env)?;
        let own = [
            ("workspace-controller", stack.controller.pid()),
            ("gpu-provisioner", stack.provisioner.pid()),
        ];
        for (name, pid) in own {
            let usage = Usage::of(pid)?;
            let filter = WriteFilter::default()
                .user_agent(name)
                .without("leases")
                .without("events");
            let writes = env.audit().count_since(self.mark, &filter)?;
            println!(
                "{name:<24} {:5.1} writes a Workspace, CPU {:5.1} s ({:5.1} ms a Workspace), peak RSS {:.1} MB",
                each(writes as f64),
                usage.cpu_seconds,
                each(usage.cpu_seconds * 1000.0),
                usage.peak_rss_mb
            );
        }
        let all = env.audit().count_since(self.mark, &WriteFilter::default())?;
        println!("{:<24} {:5.1} writes a Workspace", "everybody", each(all as f64));
        for ((name, before), (_, after)) in self.cluster.iter().zip(spent) {
            let seconds = after - before;
            println!(
                "{name:<24} CPU {seconds:5.1} s ({:5.1} ms a Workspace)",
                each(seconds * 1000.0)
            );
        }
        Ok(())
    }
}

/// Processor seconds that each program of the cluster has used so far, in a fixed order.
fn cluster_seconds(env: &TestEnv) -> Result<Vec<(String, f64)>> {
    let all = env.cluster().programs();
    all.map(|(name, pid)| Ok((name.to_owned(), Usage::of(pid)?.cpu_seconds)))
        .collect()
}
