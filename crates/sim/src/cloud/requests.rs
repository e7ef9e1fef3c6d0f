//! The requests of the port, answered at once.

use cloudprovider::{
    Accepted, CallKind, ErrorClass, Instance, InstanceState, LaunchSpec, OperationStatus, ProviderError,
    RequestKind,
};

use super::faults::error;
use super::{Cloud, Ending, Fault, MachineEvent, Pool, Work};

impl Cloud {
    /// Lists every instance, as of an earlier time while listings lag.
    ///
    /// # Errors
    /// By fault.
    pub fn list(&mut self) -> Result<Vec<Instance>, ProviderError> {
        if self.faults.strike_listing() {
            return Err(error(ErrorClass::Transient, "Transport", "the listing was lost"));
        }
        self.refused(CallKind::Read, RequestKind::List)?;
        let moment = self.now.saturating_sub(self.pace.list_lag).unwrap_or(self.now);
        let then = self
            .history
            .iter()
            .rev()
            .find(|(at, _)| *at <= moment)
            .or(self.history.first());
        let pools = then.map(|(_, pools)| pools.as_slice()).unwrap_or_default();
        Ok(pools.iter().map(|pool| pool.as_ref().clone()).collect())
    }

    /// Reads one instance.
    ///
    /// # Errors
    /// `NotFound`, or by fault.
    pub fn get(&mut self, name: &str) -> Result<Instance, ProviderError> {
        self.refused(CallKind::Read, RequestKind::Get)?;
        self.pool(name).cloned().ok_or_else(|| not_found(name))
    }

    /// Requests an instance that does not exist.
    ///
    /// # Errors
    /// `Precondition` when it does, or by fault.
    pub fn create(&mut self, spec: &LaunchSpec) -> Result<Accepted, ProviderError> {
        let offering = spec.offering();
        let fault = self.refused(CallKind::Create, RequestKind::Put(&spec.name));
        let fault = fault.inspect_err(|refusal| {
            // A fault that says that there is no machine is as good as a lack of them.
            if refusal.class.is_of_offering() {
                self.record(&spec.name, &offering, Some(refusal.class));
            }
        })?;
        if self.pools.contains_key(&spec.name) {
            return Err(error(
                ErrorClass::Precondition,
                "PreconditionFailed",
                "an instance of the name exists",
            ));
        }
        self.note(format!("create {}", spec.name));
        self.check_scarcity(spec).inspect_err(|refusal| {
            self.record(&spec.name, &offering, Some(refusal.class));
        })?;
        if fault == Some(Fault::Late) {
            self.late
                .push((super::operations::later(self.now, 40), spec.clone()));
            return Err(error(ErrorClass::Transient, "Transport", "the answer was lost"));
        }
        let scarcity = self.scarcity(&offering);
        let by_fault = fault.and_then(Fault::failure).map(|failure| failure.class);
        let class = scarcity.as_ref().map(|(refusal, _)| refusal.class).or(by_fault);
        let is_of_offering = |class: &ErrorClass| class.is_of_offering();
        self.record(&spec.name, &offering, class.filter(is_of_offering));
        let failure = match scarcity {
            Some((refusal, true)) => return Err(refusal),
            Some((failure, false)) => Some(failure),
            None => None,
        };
        let (url, facts) = self.begin(spec, fault, failure);
        if fault == Some(Fault::Lost) {
            return Err(error(ErrorClass::Transient, "Transport", "the answer was lost"));
        }
        Ok(Accepted {
            instance: Some(facts),
            operation_url: Some(url),
            request_id: None,
        })
    }

    /// Requests the deletion of an instance.
    ///
    /// # Errors
    /// `NotFound` when it is gone, `Precondition` when it has changed, or by fault.
    pub fn delete(&mut self, name: &str, version: Option<&str>) -> Result<Accepted, ProviderError> {
        let fault = self.refused(CallKind::Delete, RequestKind::Delete)?;
        let pool = self.pool(name).ok_or_else(|| not_found(name))?;
        if version.is_some_and(|version| pool.version.as_deref() != Some(version)) {
            return Err(error(
                ErrorClass::Precondition,
                "PreconditionFailed",
                "the instance has changed",
            ));
        }
        if pool.state == InstanceState::Creating && self.pace.refuses_early_delete {
            return Err(error(
                ErrorClass::Busy,
                "OperationNotAllowed",
                "the instance is being created",
            ));
        }
        self.note(format!("delete {name}"));
        let already = pool_is(self.pool(name), &InstanceState::Deleting);
        if !already {
            self.begin_delete(name, fault);
        }
        match fault {
            Some(Fault::Lost) => Err(error(ErrorClass::Transient, "Transport", "the answer was lost")),
            _ => Ok(Accepted::default()),
        }
    }

    /// Requests that the running operation on an instance is canceled.
    ///
    /// # Errors
    /// `Busy` when no operation runs that can be canceled, or by fault.
    pub fn abort(&mut self, name: &str) -> Result<Accepted, ProviderError> {
        let fault = self.refused(CallKind::Abort, RequestKind::Abort)?;
        self.note(format!("abort {name}"));
        let until = super::operations::later(self.now, 5);
        let Some(pool) = self.pools.get_mut(name) else {
            return Err(not_found(name));
        };
        // The state stays as it is until the creation has ended.
        let canceling = matches!(&pool.work, Some(work) if matches!(work.ends, Ending::Canceled));
        if pool.facts.state != InstanceState::Creating || canceling {
            return Err(error(
                ErrorClass::Busy,
                "OperationNotAllowed",
                "no operation runs that can be canceled",
            ));
        }
        if let Some(work) = &mut pool.work {
            work.until = until;
            work.ends = Ending::Canceled;
        }
        self.events.push(MachineEvent::Ends {
            pool: name.to_owned(),
        });
        self.remember();
        match fault {
            Some(Fault::Lost) => Err(error(ErrorClass::Transient, "Transport", "the answer was lost")),
            _ => Ok(Accepted::default()),
        }
    }

    /// Reads the status of an operation.
    ///
    /// # Errors
    /// `NotFound` when it is not known, or by fault.
    pub fn operation(&mut self, url: &str) -> Result<OperationStatus, ProviderError> {
        self.refused(CallKind::ReadOperation, RequestKind::Operation)?;
        self.operations
            .get(url)
            .cloned()
            .ok_or_else(|| error(ErrorClass::NotFound, "NotFound", "no such operation"))
    }

    // The fault of the request, unless it refuses the request.
    fn refused(&mut self, kind: CallKind, request: RequestKind<'_>) -> Result<Option<Fault>, ProviderError> {
        if let Some(budgets) = &mut self.budgets {
            budgets.count(self.now, request)?;
        }
        if self.stopped && matches!(kind, CallKind::Create | CallKind::Delete | CallKind::Abort) {
            let message = "the managed cluster is in (Stopped) power state";
            return Err(error(ErrorClass::ClusterStopped, "OperationNotAllowed", message));
        }
        let fault = self.faults.draw(kind);
        match fault.and_then(Fault::refusal) {
            Some(refusal) => Err(refusal),
            None => Ok(fault),
        }
    }

    /// Requests of this kind that the service permits now, if it counts them.
    pub(crate) fn left(&self, request: RequestKind<'_>) -> Option<u32> {
        self.budgets.as_ref()?.left(request)
    }

    fn note(&mut self, what: String) {
        self.requests.push((self.now, what));
    }

    pub(super) fn put(&mut self, facts: Instance, work: Work) {
        self.operations.insert(
            work.url.clone(),
            OperationStatus::Running("InProgress".to_owned(), None),
        );
        self.pools.insert(
            facts.name.clone(),
            Pool {
                facts: facts.into(),
                work: Some(work),
            },
        );
        self.remember();
    }
}

fn pool_is(pool: Option<&Instance>, state: &InstanceState) -> bool {
    pool.is_some_and(|pool| pool.state == *state)
}

fn not_found(name: &str) -> ProviderError {
    error(
        ErrorClass::NotFound,
        "NotFound",
        &format!("Could not find the agentpool: {name}"),
    )
}
