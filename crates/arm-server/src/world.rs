//! The state of the simulated cloud, and its changes over time. Pure: the time is an argument, counted from the
//! server's start.

mod budget;
mod capacity;
mod compute;
mod edit;
mod ids;
mod node_plan;
mod nodes;
mod offering;
mod operation;
mod options;
pub(crate) mod pool;
mod power;
mod quota;
mod read;
mod scarcity;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use instance_types::Catalog;
use jiff::Timestamp;
use serde_json::Value;

use crate::config::{ArmServerConfig, Behavior};
use crate::control::ClusterView;
use crate::envelope::ArmError;
use crate::errors::{About, Named, budget_spent, subscription_budget_spent};
use crate::faults::{Action, Verb};
use budget::{Budgets, Spent};
use operation::{Operation, OperationProgress};
use pool::{Ending, Pool};

pub(crate) use ids::Ids;
pub(crate) use node_plan::{NodePlan, NodeTask};
pub(crate) use write::Condition;

/// Place of the cluster in Azure.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) subscription: String,
    pub(crate) resource_group: String,
    pub(crate) cluster: String,
    pub(crate) location: String,
}

/// A successful response.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    /// The operation that was started: its id and the opaque part of its URL.
    pub(crate) operation: Option<(String, String)>,
    /// The response also has the URL of the operation's result.
    pub(crate) location: bool,
}

/// A pool that is gone and still listed.
#[derive(Debug)]
struct Ghost {
    pool: Pool,
    until: Duration,
}

/// The simulated cloud.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) behavior: Behavior,
    pub(crate) state: ClusterView,
    pub(crate) ids: Ids,
    /// Sizes of machines.
    types: Arc<Catalog>,
    epoch: Timestamp,
    pools: BTreeMap<String, Pool>,
    ghosts: Vec<Ghost>,
    operations: BTreeMap<String, Operation>,
    nodes: BTreeMap<String, NodePlan>,
    budgets: Budgets,
}

impl World {
    pub(crate) fn new(config: &ArmServerConfig, epoch: Timestamp) -> Self {
        let site = Site {
            subscription: config.subscription.clone(),
            resource_group: config.resource_group.clone(),
            cluster: config.cluster.clone(),
            location: config.location.clone(),
        };
        Self {
            site,
            behavior: config.behavior.clone(),
            state: ClusterView::default(),
            ids: Ids::new(config.seed),
            types: Arc::clone(&config.instance_types),
            epoch,
            pools: BTreeMap::new(),
            ghosts: Vec::new(),
            operations: BTreeMap::new(),
            nodes: BTreeMap::new(),
            budgets: Budgets::default(),
        }
    }

    /// Carries out every change that is due.
    pub(crate) fn advance(&mut self, now: Duration) {
        let names: Vec<String> = self.pools.keys().cloned().collect();
        for name in names {
            self.boot_if_due(&name, now);
            self.end_if_due(&name, now);
        }
        self.ghosts.retain(|ghost| ghost.until > now);
    }

    /// Time of the next change.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let ends = self
            .pools
            .values()
            .filter_map(|pool| pool.running.as_ref()?.ends_at);
        let boots = self.pools.values().filter_map(|pool| pool.boot_at);
        ends.chain(boots).chain(self.next_node_due()).min()
    }

    fn boot_if_due(&mut self, name: &str, now: Duration) {
        if let Some(pool) = self
            .pools
            .get_mut(name)
            .filter(|pool| pool.boot_at.is_some_and(|at| at <= now))
        {
            pool.boot_at = None;
            self.plan_nodes(name, now);
        }
    }

    fn end_if_due(&mut self, name: &str, now: Duration) {
        let Some(pool) = self.pools.get_mut(name) else {
            return;
        };
        if pool
            .running
            .as_ref()
            .is_none_or(|running| running.ends_at.is_none_or(|at| at > now))
        {
            return;
        }
        let Some(running) = pool.running.take() else {
            return;
        };
        // A client with an entity tag from before must notice the change.
        pool.etag = self.ids.guid();
        let progress = match running.ending {
            Ending::Succeed => {
                pool.state = "Succeeded".to_owned();
                pool.failure = None;
                OperationProgress::Succeeded
            }
            Ending::Fail(error) => {
                pool.state = "Failed".to_owned();
                pool.failure = Some(error.clone()).filter(|_| !self.behavior.hides_failures);
                OperationProgress::Failed(error)
            }
            Ending::Cancel => {
                pool.state = "Canceled".to_owned();
                OperationProgress::Succeeded
            }
            Ending::Remove => {
                self.remove(name, now);
                OperationProgress::Succeeded
            }
        };
        self.end_operation(&running.operation, progress, now);
    }

    fn remove(&mut self, name: &str, now: Duration) {
        let Some(pool) = self.pools.remove(name) else {
            return;
        };
        self.drop_nodes(name, now);
        if self.behavior.list_lag_ms > 0 {
            let until = now + Duration::from_millis(self.behavior.list_lag_ms);
            self.ghosts.push(Ghost { pool, until });
        }
    }

    fn end_operation(&mut self, id: &str, progress: OperationProgress, now: Duration) {
        if let Some(operation) = self.operations.get_mut(id) {
            operation.progress = progress;
            operation.ended = Some(now);
        }
    }

    /// Names that the texts of errors contain.
    pub(crate) fn about(&self, pool: Option<&str>, vm_size: Option<&str>) -> About {
        let known = pool
            .and_then(|name| self.pools.get(name))
            .map(|pool| pool.vm_size().to_owned());
        About {
            subscription: self.site.subscription.clone(),
            group: self.site.resource_group.clone(),
            cluster: self.site.cluster.clone(),
            location: self.site.location.clone(),
            pool: pool.unwrap_or_default().to_owned(),
            vm_size: vm_size
                .map(str::to_owned)
                .or(known)
                .unwrap_or_else(|| "Standard_NC24ads_A100_v4".to_owned()),
        }
    }

    pub(crate) fn error(&self, named: Named, pool: Option<&str>) -> ArmError {
        named.build(&self.about(pool, None))
    }

    /// Takes one request from the service's budgets, if they are enforced.
    pub(crate) fn spend(&mut self, now: Duration, verb: Verb, pool: Option<&str>) -> Result<(), ArmError> {
        if !self.behavior.budgets {
            return Ok(());
        }
        let spent = self.budgets.take(now, verb, pool);
        let about = self.about(pool, None);
        spent.map_err(|spent| match spent {
            Spent::Service(seconds) => budget_spent(&about, seconds),
            Spent::Subscription(seconds) => subscription_budget_spent(&about, seconds),
        })
    }

    /// Writes or deletions that Azure Resource Manager permits now, if budgets are enforced.
    pub(crate) fn requests_left(&self, verb: Verb) -> Option<u32> {
        self.budgets.left(verb)
    }

    /// Compares names in any letter case; fails with the error for the part that is missing.
    pub(crate) fn locate(
        &self,
        subscription: &str,
        cluster: Option<&(String, String)>,
    ) -> Result<(), ArmError> {
        let mut about = self.about(None, None);
        if !subscription.eq_ignore_ascii_case(&self.site.subscription) {
            about.subscription = subscription.to_owned();
            return Err(Named::SubscriptionMissing.build(&about));
        }
        let Some((group, cluster)) = cluster else {
            return Ok(());
        };
        (about.group, about.cluster) = (group.clone(), cluster.clone());
        if !group.eq_ignore_ascii_case(&self.site.resource_group) {
            return Err(Named::GroupMissing.build(&about));
        }
        if self.state.missing || !cluster.eq_ignore_ascii_case(&self.site.cluster) {
            return Err(Named::ClusterMissing.build(&about));
        }
        Ok(())
    }

    /// Starts an operation: its id and the opaque part of its URL.
    fn start_operation(&mut self, now: Duration) -> (String, String) {
        let id = self.ids.guid();
        let seal = format!(
            "t={}&c=MIIH&s={}&h={}",
            self.ids.digits(),
            self.ids.digits(),
            self.ids.digits()
        );
        let operation = Operation {
            progress: OperationProgress::Running,
            started: now,
            ended: None,
            seal: seal.clone(),
        };
        self.operations.insert(id.clone(), operation);
        (id, seal)
    }

    fn lasting(&mut self, millis: u64) -> Duration {
        Duration::from_millis(millis) + self.ids.jitter(self.behavior.jitter_ms)
    }
}

/// Effect of a scripted fault on an operation.
pub(crate) fn scripted_ending(actions: &[Action], about: &About) -> Option<Scripted> {
    actions.iter().find_map(|action| match action {
        Action::FailOperation { error } => Some(Scripted::Fail(error.build(about))),
        Action::StickOperation => Some(Scripted::Stick),
        _ => None,
    })
}

/// Scripted end of an operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scripted {
    Fail(ArmError),
    Stick,
}

#[cfg(test)]
mod tests;
