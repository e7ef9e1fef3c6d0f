//! One reconcile of one object by a program: observe, plan, check the plan, execute, requeue.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudprovider::CloudCall;
use jiff::SignedDuration;
use plan::{Kind, NoCloud, ObjectRef, PendingWrite, Plan, RefusedWrite, Report, Visibility};

use super::{World, checks};
use crate::agenda::Due;
use crate::api_server::key;
use crate::controllers::execute::{Executor, ReconciledObject, summary};
use crate::controllers::{Fuse, Halt, Program};
use crate::failure::Failure;

/// Pause before a postponed reconcile.
const SOON: SignedDuration = SignedDuration::from_millis(100);

impl World {
    pub(super) fn reconcile(&mut self, program: Program, key: &ObjectRef) -> Result<(), Failure> {
        if self.awaits_own_writes(program, key) {
            self.schedule(Due::Reconcile(program, key.clone()), SOON);
            return Ok(());
        }
        let dies = self.rng.permille(self.trouble.crash_permille);
        if dies && let Some(fuse) = self.fuses.get_mut(&program) {
            fuse.left = Some(1 + self.rng.below(3));
            fuse.holds = self.rng.permille(self.trouble.hold_permille);
        }
        let result = match (program, key.kind) {
            (Program::Workspaces, Kind::Machine | Kind::NodeClaim) => self.reconcile_orphan(key),
            (Program::Workspaces, _) => self.reconcile_workspace(key),
            (Program::Provisioner, Kind::Node) => self.reconcile_node(key),
            (Program::Provisioner, _) => self.reconcile_claim(key),
        };
        // It dies at the end of the reconcile at the latest.
        if dies
            && self
                .fuses
                .get_mut(&program)
                .is_some_and(|fuse| fuse.left.take().is_some())
        {
            self.kill(program);
        }
        result
    }

    fn awaits_own_writes(&mut self, program: Program, key: &ObjectRef) -> bool {
        if !self.setup.waits_for_own_writes {
            return false;
        }
        let (pending, view) = match program {
            Program::Workspaces => match self.workspaces.as_mut() {
                Some(shell) => (&mut shell.pending_writes, &shell.view),
                None => return false,
            },
            Program::Provisioner => match self.provisioner.as_mut() {
                Some(shell) => (&mut shell.pending_writes, &shell.view),
                None => return false,
            },
        };
        pending.visibility(key, |write| view.shows(write), self.now) == Visibility::Awaited
    }

    fn reconcile_workspace(&mut self, key: &ObjectRef) -> Result<(), Failure> {
        let now = self.now;
        let Some(shell) = self.workspaces.as_mut() else {
            return Ok(());
        };
        let observed = shell.observe(key, now, &self.registry, &self.api);
        let wakes = std::mem::take(&mut shell.wakes);
        self.wake_workspaces(wakes);
        let (Some(observed), Some(shell)) = (observed, self.workspaces.as_ref()) else {
            return Ok(());
        };
        let plan = workspace_plan::plan(now, &observed, &shell.settings);
        let verdict = checks::workspace(now, &observed, &shell.settings, &plan, &self.api);
        let settings = shell.settings.clone();
        let object = ReconciledObject::of(key, &observed.workspace.metadata, failures(&shell.failures, key));
        self.judged(Program::Workspaces, key, &summary(&plan), verdict)?;
        self.carry_out(
            Program::Workspaces,
            &object,
            plan,
            |_, none: NoCloud, _| match none {},
            |refusals| workspace_plan::report(now, &observed, &settings, refusals),
        );
        Ok(())
    }

    fn wake_workspaces(&mut self, wakes: Vec<workspace_plan::Wake>) {
        for wake in wakes {
            let workspace = key(Kind::Workspace, &wake.namespace, &wake.workspace);
            let after = SignedDuration::try_from(wake.after).unwrap_or_default();
            self.schedule(Due::Reconcile(Program::Workspaces, workspace), after.max(SOON));
        }
    }

    fn reconcile_orphan(&mut self, key: &ObjectRef) -> Result<(), Failure> {
        let now = self.now;
        let Some(shell) = self.workspaces.as_mut() else {
            return Ok(());
        };
        let Some(observed) = shell.observe_claim(key, now, &self.api) else {
            return Ok(());
        };
        let plan = workspace_plan::plan_claim(&observed, &shell.settings);
        if plan.is_noop() && plan.requeue.is_none() {
            return Ok(());
        }
        let verdict = checks::orphan(&plan, &self.api);
        let failures = failures(&shell.failures, key);
        self.judged(Program::Workspaces, key, &summary(&plan), verdict)?;
        let object = ReconciledObject::of(key, observed.claim.metadata(), failures);
        self.carry_out(
            Program::Workspaces,
            &object,
            plan,
            |_, none: NoCloud, _| match none {},
            |_| Report::default(),
        );
        Ok(())
    }

    fn reconcile_claim(&mut self, key: &ObjectRef) -> Result<(), Failure> {
        let now = self.now;
        let Some(shell) = self.provisioner.as_mut() else {
            return Ok(());
        };
        let Some(observed) = shell.observe(key, now, &self.api) else {
            if shell.view.claims_named(&key.name).is_empty() {
                shell.caller.tracker.forget(&key.name);
            }
            return Ok(());
        };
        let plan = nodeclaim_plan::plan(now, &observed, &shell.settings);
        let failures = failures(&shell.failures, key);
        let verdict = checks::claim(now, &observed, &shell.settings, &plan, &self.cloud, &self.kubelet);
        if shell.caller.tracker.take_listing_wanted() {
            self.schedule(Due::List, SignedDuration::from_secs(1));
        }
        let object = ReconciledObject::of(key, observed.claim.metadata(), failures);
        self.judged(Program::Provisioner, key, &summary(&plan), verdict)?;
        self.carry_out(
            Program::Provisioner,
            &object,
            plan,
            |world, call, fuse| call_cloud(world, &call, fuse),
            |refusals| nodeclaim_plan::report(now, &observed.claim, refusals),
        );
        Ok(())
    }

    fn reconcile_node(&mut self, key: &ObjectRef) -> Result<(), Failure> {
        let Some(shell) = self.provisioner.as_mut() else {
            return Ok(());
        };
        let Some(observed) = shell.observe_node(&key.name) else {
            return Ok(());
        };
        let plan = nodeclaim_plan::orphan::plan_node(&observed);
        if plan.is_noop() && plan.requeue.is_none() {
            return Ok(());
        }
        let verdict = checks::common(&plan);
        let failures = failures(&shell.failures, key);
        self.judged(Program::Provisioner, key, &summary(&plan), verdict)?;
        let object = ReconciledObject::of(key, &observed.node.metadata, failures);
        self.carry_out(
            Program::Provisioner,
            &object,
            plan,
            |world, call, fuse| call_cloud(world, &call, fuse),
            |_| Report::default(),
        );
        Ok(())
    }

    fn judged(
        &mut self,
        program: Program,
        key: &ObjectRef,
        summary: &str,
        verdict: Result<(), String>,
    ) -> Result<(), Failure> {
        self.note(format!("{}: {summary}", Self::named(program, key)));
        self.ledger.record_reconcile(self.now, program, key);
        verdict.map_err(|what| self.failure(format!("{}: {what}", Self::named(program, key))))
    }

    fn carry_out<C>(
        &mut self,
        program: Program,
        object: &ReconciledObject,
        plan: Plan<C>,
        call: impl FnOnce(&mut Self, C, &mut Fuse) -> (String, Result<Option<SignedDuration>, Halt>),
        report: impl FnOnce(&[RefusedWrite]) -> Report,
    ) {
        let mut fuse = self.fuses.remove(&program).unwrap_or_default();
        let mut api = std::mem::replace(&mut self.api, crate::api_server::ApiServer::new(self.now));
        let mut executor = Executor {
            program: program.name(),
            api: &mut api,
            fuse: &mut fuse,
            writes: Vec::new(),
            lines: Vec::new(),
            held: None,
        };
        let mut look = None;
        let call = |asked, fuse: &mut Fuse| {
            let (line, answer) = call(self, asked, fuse);
            (line, answer.map(|pause| look = pause))
        };
        let result = executor.execute(object, plan, call, report);
        let (writes, lines) = (
            std::mem::take(&mut executor.writes),
            std::mem::take(&mut executor.lines),
        );
        let held = executor.held.take();
        self.api = api;
        self.fuses.insert(program, fuse);
        for line in lines {
            self.note(format!("    {line}"));
        }
        if let Some((object, step)) = held {
            self.hold(program, object, step);
        }
        self.conclude(program, &object.key, &result, writes, look);
    }

    fn conclude(
        &mut self,
        program: Program,
        key: &ObjectRef,
        result: &Result<Option<Duration>, Halt>,
        writes: Vec<PendingWrite>,
        look: Option<SignedDuration>,
    ) {
        if *result == Err(Halt::Crashed) {
            self.kill(program);
            return;
        }
        let now = self.now;
        let (pending_writes, failures) = match program {
            Program::Workspaces => match self.workspaces.as_mut() {
                Some(shell) => (&mut shell.pending_writes, &mut shell.failures),
                None => return,
            },
            Program::Provisioner => match self.provisioner.as_mut() {
                Some(shell) => (&mut shell.pending_writes, &mut shell.failures),
                None => return,
            },
        };
        pending_writes.record(key.clone(), writes, now);
        let pause = match &result {
            Ok(requeue) => {
                failures.remove(key);
                let asked = requeue.and_then(|pause| SignedDuration::try_from(pause).ok());
                look.or(asked)
            }
            Err(_) => {
                let count = failures.entry(key.clone()).or_insert(0);
                *count += 1;
                Some(SignedDuration::from_millis(100 << (*count).min(9)))
            }
        };
        if let Some(pause) = pause {
            self.schedule(
                Due::Reconcile(program, key.clone()),
                pause.max(SignedDuration::from_millis(1)),
            );
        }
    }

    pub(super) fn list_pools(&mut self) -> Result<(), Failure> {
        let now = self.now;
        let Some(shell) = self.provisioner.as_mut() else {
            return Ok(());
        };
        let busy = !shell.unsettled().is_empty();
        let Some(touched) = shell.list(now, &mut self.cloud) else {
            let woken = shell.unsettled();
            self.note("gpu-provisioner: pools cannot be listed");
            self.wake(woken);
            self.schedule(Due::List, SignedDuration::from_secs(20));
            return Ok(());
        };
        self.wake(touched);
        let mut fuse = self.fuses.remove(&Program::Provisioner).unwrap_or_default();
        let collected = match self.provisioner.as_mut() {
            Some(shell) => shell.collect(now, &self.api, &mut self.cloud, &mut fuse),
            None => Ok(Vec::new()),
        };
        self.fuses.insert(Program::Provisioner, fuse);
        match collected {
            Ok(calls) => self.collected(&calls)?,
            Err(_) => {
                self.kill(Program::Provisioner);
                return Ok(());
            }
        }
        self.schedule(Due::List, SignedDuration::from_secs(if busy { 10 } else { 60 }));
        Ok(())
    }

    fn wake(&mut self, keys: Vec<ObjectRef>) {
        for key in keys {
            self.schedule(
                Due::Reconcile(Program::Provisioner, key),
                SignedDuration::from_millis(250),
            );
        }
        // Nodes without a claim wait for the same listing.
        let provisioner = self.provisioner.as_ref();
        let orphans = provisioner
            .map(|shell| shell.orphaned_nodes())
            .unwrap_or_default();
        for node in orphans {
            self.schedule(
                Due::Reconcile(Program::Provisioner, node),
                SignedDuration::from_millis(250),
            );
        }
    }

    fn collected(&mut self, calls: &[CloudCall]) -> Result<(), Failure> {
        for call in calls {
            self.note(format!("gpu-provisioner: collects pool {}", call.instance()));
            if let Err(what) = checks::collected(call.instance(), &self.cloud, &self.api) {
                return Err(self.failure(what));
            }
        }
        Ok(())
    }
}

fn failures(all: &BTreeMap<ObjectRef, u32>, key: &ObjectRef) -> u32 {
    all.get(key).copied().unwrap_or_default()
}

/// Returns a line for the trace, and the time until the result is looked at.
fn call_cloud(
    world: &mut World,
    call: &CloudCall,
    fuse: &mut Fuse,
) -> (String, Result<Option<SignedDuration>, Halt>) {
    let now = world.now;
    let name = call.instance().to_owned();
    let Some(shell) = world.provisioner.as_mut() else {
        return (String::new(), Ok(None));
    };
    let now = shell.steady(now);
    let result = shell.caller.carry_out(now, call, &mut world.cloud, fuse);
    let answer = shell
        .caller
        .tracker
        .last_call(&name)
        .filter(|last| last.at == now && last.kind == call.kind());
    let refusal = answer
        .and_then(|last| last.error.as_ref())
        .map(|error| format!(" -> {}", error.class.label()));
    (
        format!(
            "cloud: {} {name}{}",
            call.kind().label(),
            refusal.unwrap_or_default()
        ),
        result,
    )
}
