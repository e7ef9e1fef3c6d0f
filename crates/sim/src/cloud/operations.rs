//! Operations that accepted requests start.

use cloudprovider::{CapacityType, ErrorClass, Instance, InstanceState, LaunchSpec, ProviderError};
use jiff::{SignedDuration, Timestamp};
use kaito_api::labels::AKS_SPOT;

use super::faults::error;
use super::{Cloud, Ending, Fault, MachineEvent, Work};

impl Cloud {
    /// Starts creating an instance, which fails if a failure is given. Returns the URL of the operation, and the instance.
    pub(super) fn begin(
        &mut self,
        spec: &LaunchSpec,
        fault: Option<Fault>,
        failure: Option<ProviderError>,
    ) -> (String, Instance) {
        let facts = self.facts(spec);
        let ends = match failure.or_else(|| fault.and_then(Fault::failure)) {
            Some(failure) => Ending::Failed(failure),
            None if fault == Some(Fault::NoNode) => Ending::MadeWithoutNode,
            None => Ending::Made,
        };
        let stuck = fault == Some(Fault::Stuck);
        let until = if stuck {
            Timestamp::MAX
        } else {
            after(self.now, self.pace.create)
        };
        if matches!(ends, Ending::Made) && !stuck {
            let joins = after(self.now, self.pace.join);
            self.events.push(MachineEvent::Boots {
                pool: Box::new(facts.clone()),
                joins,
            });
        }
        let url = self.url();
        self.put(
            facts.clone(),
            Work {
                until,
                ends,
                url: url.clone(),
            },
        );
        (url, facts)
    }

    /// Adds an instance that was launched before the run began. Its operation continues: what is being created or changed
    /// succeeds, and what is being deleted goes. An instance that succeeded has a machine.
    pub fn adopt(&mut self, mut instance: Instance) {
        instance.version = Some(self.next_version());
        let (ends, pause) = match instance.state {
            InstanceState::Creating | InstanceState::Changing(_) => (Some(Ending::Made), self.pace.create),
            InstanceState::Deleting => (Some(Ending::Gone), self.pace.delete),
            InstanceState::Succeeded | InstanceState::Failed | InstanceState::Canceled => {
                (None, self.pace.join)
            }
        };
        if matches!(ends, Some(Ending::Made)) || instance.state == InstanceState::Succeeded {
            self.events.push(MachineEvent::Boots {
                pool: Box::new(instance.clone()),
                joins: after(self.now, self.pace.join),
            });
        }
        match ends {
            Some(ends) => {
                let (until, url) = (after(self.now, pause), self.url());
                self.put(instance, Work { until, ends, url });
            }
            None => self.plant(instance),
        }
    }

    /// Starts the instances of late requests whose time has come, unless one of the name exists by now.
    pub(super) fn begin_late(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.late = later;
        for (_, spec) in due {
            if self.pool(&spec.name).is_none() {
                // A request that comes late finds what is left.
                let offering = spec.offering();
                let failure = self.scarcity(&offering).map(|(failure, _)| failure);
                self.record(
                    &spec.name,
                    &offering,
                    failure.as_ref().map(|failure| failure.class),
                );
                self.begin(&spec, None, failure);
            }
        }
    }

    /// Starts deleting an instance, which ends any operation that runs on it.
    pub(super) fn begin_delete(&mut self, name: &str, fault: Option<Fault>) {
        let Some(mut facts) = self.pool(name).cloned() else {
            return;
        };
        let ends = match fault {
            Some(Fault::DeleteFails) => Ending::Failed(error(
                ErrorClass::Transient,
                "InternalError",
                "The deletion failed.",
            )),
            _ => Ending::Gone,
        };
        facts.state = InstanceState::Deleting;
        facts.version = Some(self.next_version());
        let work = Work {
            until: after(self.now, self.pace.delete),
            ends,
            url: self.url(),
        };
        self.events.push(MachineEvent::Ends {
            pool: name.to_owned(),
        });
        self.put(facts, work);
    }

    /// Stops an instance as another user does: its machine goes, the instance stays.
    pub fn stop(&mut self, name: &str) {
        self.turn(name, true);
    }

    /// Starts an instance again as another user does: a new machine boots.
    pub fn start(&mut self, name: &str) {
        self.turn(name, false);
    }

    fn turn(&mut self, name: &str, stop: bool) {
        let Some(mut facts) = self.pool(name).cloned() else {
            return;
        };
        if facts.state != InstanceState::Succeeded || facts.stopped == stop {
            return;
        }
        let word = if stop { "Stopping" } else { "Starting" };
        facts.state = InstanceState::Changing(word.to_owned());
        facts.stopped = stop;
        facts.version = Some(self.next_version());
        self.events.push(if stop {
            MachineEvent::Ends {
                pool: name.to_owned(),
            }
        } else {
            let joins = after(self.now, self.pace.join);
            let pool = Box::new(facts.clone());
            MachineEvent::Boots { pool, joins }
        });
        let work = Work {
            until: after(self.now, self.pace.power),
            ends: Ending::Power(stop),
            url: self.url(),
        };
        self.put(facts, work);
    }

    fn facts(&mut self, spec: &LaunchSpec) -> Instance {
        let mut instance = Instance {
            version: Some(self.next_version()),
            image: Some("AKSUbuntu-2204gen2containerd-202601.01.0".to_owned()),
            ..Instance::launching(spec)
        };
        // As AKS marks spot capacity.
        if spec.capacity_type == CapacityType::Spot {
            instance.labels.insert(AKS_SPOT.to_owned(), "spot".to_owned());
            instance.taints.push(format!("{AKS_SPOT}=spot:NoSchedule"));
        }
        instance
    }

    fn url(&mut self) -> String {
        self.counter += 1;
        format!("https://arm.example/operations/{}", self.counter)
    }
}

/// The time a number of seconds later.
#[must_use]
pub fn later(now: Timestamp, seconds: i64) -> Timestamp {
    after(now, SignedDuration::from_secs(seconds))
}

fn after(now: Timestamp, pause: SignedDuration) -> Timestamp {
    now.saturating_add(pause).unwrap_or(Timestamp::MAX)
}
