//! Stops and starts of instances and of the whole cluster, as their owner asks the cloud for.

use super::World;
use crate::agenda::Due;
use crate::controllers::Program;
use jiff::SignedDuration;

impl World {
    /// Stops one instance.
    pub fn stop_pool(&mut self, name: &str) {
        self.note(format!("the user stops instance {name}"));
        self.cloud.stop(name);
    }

    /// Starts one instance.
    pub fn start_pool(&mut self, name: &str) {
        self.note(format!("the user starts instance {name}"));
        self.cloud.start(name);
    }

    /// Stops the cluster: every machine goes, and with them the programs.
    pub fn stop_cluster(&mut self) {
        self.note("the user stops the cluster");
        self.cloud.stopped = true;
        for name in self.pool_names() {
            self.cloud.stop(&name);
        }
        for program in Program::ALL {
            self.end(program);
            self.agenda.forget(program);
        }
    }

    /// Starts the cluster: the programs come first, because they run on nodes of their own.
    pub fn start_cluster(&mut self) {
        self.note("the user starts the cluster");
        self.cloud.stopped = false;
        for name in self.pool_names() {
            self.cloud.start(&name);
        }
        for program in Program::ALL {
            self.schedule(Due::Restart(program), SignedDuration::from_secs(20));
        }
    }

    fn pool_names(&self) -> Vec<String> {
        self.cloud.pools().map(|pool| pool.name.clone()).collect()
    }
}
