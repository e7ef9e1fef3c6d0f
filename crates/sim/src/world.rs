//! A whole world in one value: API server, cloud, nodes, registry and both programs, moved by one agenda.
//!
//! A clone of a world is a branch of history: both play the same events.

mod bought;
pub mod checks;
pub mod frozen;
pub mod goals;
pub mod held_writes;
pub mod invariants;
pub mod ledger;
pub mod power;
pub mod purchases;
pub mod reconciles;
pub mod restart;
pub mod templates;
pub mod users;

use std::collections::BTreeMap;

use cloudprovider::RateLimits;
use jiff::{SignedDuration, Timestamp};
use plan::{Kind, ObjectRef};

use crate::agenda::{Agenda, Due};
use crate::api_server::ApiServer;
use crate::cloud::{Cloud, Pace};
use crate::controllers::held::Held;
use crate::controllers::presets::SimRegistry;
use crate::controllers::provisioner::Provisioner;
use crate::controllers::workspaces::Workspaces;
use crate::controllers::{Fuse, Program};
use crate::failure::Failure;
use crate::kubelet::{Kubelet, PodPace};
use crate::rng::Rng;
use ledger::Ledger;

/// Begin of every simulation, in seconds since 1970.
pub(crate) const BEGIN: i64 = 1_767_225_600;

/// Unreliability of watches and programs; all zero is a perfect world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Most events that a cache may be behind, by kind.
    pub behind: u64,
    /// Longest delay of a watch, in milliseconds.
    pub delay_ms: u64,
    /// Number of reconciles in a thousand during which a program dies.
    pub crash_permille: u64,
    /// Number in a thousand of those deaths at which the network holds the program's last write. It arrives while another
    /// replica leads.
    pub hold_permille: u64,
}

/// Settings of a world.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Seed of all random decisions.
    pub seed: u64,
    /// Durations of the cloud's operations.
    pub pace: Pace,
    /// Behavior of pods.
    pub pods: PodPace,
    /// Settings of the workspace controller.
    pub workspaces: workspace_plan::Settings,
    /// Settings of the provisioner.
    pub provisioner: nodeclaim_plan::Settings,
    /// Limits of the provisioner on its requests to the cloud.
    pub limits: Option<RateLimits>,
    /// Time by which the clock of the provisioner's machine is ahead.
    pub skew: SignedDuration,
    /// The programs wait until caches show their own writes.
    pub waits_for_own_writes: bool,
}

/// Everything of a simulation.
#[derive(Clone, Debug)]
pub struct World {
    now: Timestamp,
    setup: Setup,
    /// The API server.
    pub api: ApiServer,
    /// The cloud.
    pub cloud: Cloud,
    /// Nodes and pods.
    pub kubelet: Kubelet,
    /// The preset registry.
    pub registry: SimRegistry,
    /// Unreliability of watches and programs.
    pub trouble: Trouble,
    /// Time by which the clock of the provisioner's machine is ahead; a restart may choose another machine.
    pub skew: SignedDuration,
    /// Writes until each program dies.
    pub fuses: BTreeMap<Program, Fuse>,
    /// Writes that the network holds, by number.
    held: BTreeMap<u64, Held>,
    /// Changes of the holder of each program's lease.
    transitions: BTreeMap<Program, u64>,
    workspaces: Option<Workspaces>,
    provisioner: Option<Provisioner>,
    agenda: Agenda,
    rng: Rng,
    seen_events: usize,
    ledger: Ledger,
    trace: Vec<String>,
}

impl World {
    /// Returns an empty world with both programs just started.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let now = Timestamp::from_second(BEGIN).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut rng = Rng::new(setup.seed);
        let mut cloud = Cloud::new(now, setup.pace.clone());
        cloud.faults.rng = Rng::new(rng.draw());
        let mut world = Self {
            now,
            api: ApiServer::new(now),
            cloud,
            kubelet: Kubelet::new(setup.pods.clone(), setup.workspaces.instance_types.clone()),
            registry: SimRegistry::default(),
            trouble: Trouble::default(),
            skew: setup.skew,
            fuses: Program::ALL
                .into_iter()
                .map(|program| (program, Fuse::default()))
                .collect(),
            held: BTreeMap::new(),
            transitions: BTreeMap::new(),
            workspaces: None,
            provisioner: None,
            agenda: Agenda::default(),
            rng,
            seen_events: 0,
            ledger: Ledger::default(),
            trace: Vec::new(),
            setup,
        };
        Program::ALL.into_iter().for_each(|program| world.start(program));
        world
    }

    /// Simulated time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Seed of all random decisions.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.setup.seed
    }

    /// Events so far, one line each.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        &self.trace
    }

    /// Plays everything due within `time`.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn advance(&mut self, time: SignedDuration) -> Result<(), Failure> {
        self.advance_until(time, |_| false).map(|_| ())
    }

    /// Plays until `done`, for at most `time`, and returns true if it is done.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn advance_until(
        &mut self,
        time: SignedDuration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool, Failure> {
        let end = self.after(time);
        self.notice();
        loop {
            if done(self) {
                return Ok(true);
            }
            let Some((at, due)) = self.agenda.next(end) else {
                break;
            };
            self.set_now(at.max(self.now));
            self.happen(due)?;
            self.notice();
            self.check_invariants()?;
        }
        self.set_now(end);
        Ok(done(self))
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, line: impl AsRef<str>) {
        let elapsed = self.now.as_millisecond() - BEGIN * 1000;
        let (seconds, millis) = (elapsed / 1000, elapsed % 1000);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        self.trace.push(format!(
            "+{hours:02}:{minutes:02}:{:02}.{millis:03} {}",
            seconds % 60,
            line.as_ref()
        ));
    }

    /// Returns a violation at the current time.
    #[must_use]
    pub fn failure(&self, what: impl Into<String>) -> Failure {
        Failure {
            at: self.now,
            what: what.into(),
            trace: self.trace.clone(),
        }
    }

    fn happen(&mut self, due: Due) -> Result<(), Failure> {
        match due {
            Due::Cloud => self.tick_cloud(),
            Due::Kubelet => self.tick_kubelet(),
            Due::Collect => {
                self.api.collect_garbage();
            }
            Due::Watch(program) => self.bring_news(program),
            Due::Reconcile(program, key) => return self.reconcile(program, &key),
            Due::List => return self.list_pools(),
            Due::Restart(program) => self.start(program),
            Due::Arrive(number) => return self.arrive(number),
        }
        Ok(())
    }

    fn tick_cloud(&mut self) {
        let happenings = self.cloud.advance(self.now);
        self.kubelet.take(self.now, happenings);
        self.schedule(Due::Kubelet, SignedDuration::ZERO);
    }

    fn tick_kubelet(&mut self) {
        let next = self.kubelet.tick(self.now, &mut self.cloud, &mut self.api);
        if let Some(at) = next {
            self.agenda.add(Due::Kubelet, at, &mut self.rng);
        }
    }

    // Changes wake the watches of their kind.
    fn notice(&mut self) {
        // A request starts or ends a machine at once; only operations take time.
        self.agenda.add(
            Due::Cloud,
            self.cloud
                .next_due()
                .unwrap_or(Timestamp::MAX)
                .min(self.after(MINUTE)),
            &mut self.rng,
        );
        let news = self.api.events().len();
        if news == self.seen_events {
            return;
        }
        let deleted = self
            .api
            .events()
            .iter()
            .skip(self.seen_events)
            .any(|event| event.value.is_none());
        self.seen_events = news;
        self.schedule(Due::Kubelet, SignedDuration::from_millis(200));
        if deleted {
            self.schedule(Due::Collect, SignedDuration::from_millis(500));
        }
        for program in Program::ALL {
            let delay = self.rng.below(self.trouble.delay_ms + 1) + 20;
            self.schedule(
                Due::Watch(program),
                SignedDuration::from_millis(i64::try_from(delay).unwrap_or(20)),
            );
        }
    }

    fn bring_news(&mut self, program: Program) {
        let mut changed = Vec::new();
        for kind in program.kinds() {
            let behind = usize::try_from(self.rng.below(self.trouble.behind + 1)).unwrap_or(0);
            changed.extend(self.advance_view(program, *kind, behind));
        }
        for key in changed {
            for object in self.concerned(program, &key) {
                self.schedule(Due::Reconcile(program, object), SignedDuration::from_millis(250));
            }
        }
        if !self.is_current(program) {
            let delay = i64::try_from(self.rng.between(200, self.trouble.delay_ms.max(200))).unwrap_or(200);
            self.schedule(Due::Watch(program), SignedDuration::from_millis(delay));
        }
    }

    fn advance_view(&mut self, program: Program, kind: Kind, behind: usize) -> Vec<ObjectRef> {
        let changes = match program {
            Program::Workspaces => self.workspaces.as_mut().map(|shell| {
                let changes = shell.view.advance(&self.api, kind, behind);
                shell.record_changes(&changes, self.now);
                changes
            }),
            Program::Provisioner => self
                .provisioner
                .as_mut()
                .map(|shell| shell.view.advance(&self.api, kind, behind)),
        };
        let changes = changes.unwrap_or_default();
        changes.into_iter().map(|change| change.key).collect()
    }

    fn is_current(&self, program: Program) -> bool {
        let view = match program {
            Program::Workspaces => self.workspaces.as_ref().map(|shell| &shell.view),
            Program::Provisioner => self.provisioner.as_ref().map(|shell| &shell.view),
        };
        view.is_none_or(|view| view.is_current(&self.api))
    }

    fn schedule(&mut self, due: Due, pause: SignedDuration) {
        let at = self.after(pause);
        self.agenda.add(due, at, &mut self.rng);
    }

    fn after(&self, pause: SignedDuration) -> Timestamp {
        self.now.saturating_add(pause).unwrap_or(Timestamp::MAX)
    }

    fn set_now(&mut self, now: Timestamp) {
        self.now = now;
        self.api.set_now(now);
        self.cloud.set_now(now);
    }
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
