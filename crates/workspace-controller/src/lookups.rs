//! Lookups outside the catalog: answers that are remembered, and questions that wait for their turn. It does no I/O.
//!
//! Names come from tenants, so everything is bounded and shared among namespaces. Each has few open questions at a time, and
//! the namespaces take turns. The namespace with the most remembered names loses one first.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use operator_runtime::Key;
use preset_catalog::Preset;
use workspace_plan::{PresetAnswer, PresetLookup, PresetMemory};

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookupLimits {
    /// Most remembered names.
    pub(crate) names: usize,
    /// Most open questions.
    pub(crate) open: usize,
    /// Most open questions of one namespace.
    pub(crate) open_per_namespace: usize,
    /// Most questions of one namespace that wait.
    pub(crate) waiting_per_namespace: usize,
}

impl Default for LookupLimits {
    fn default() -> Self {
        Self {
            names: 4096,
            open: 16,
            open_per_namespace: 4,
            waiting_per_namespace: 256,
        }
    }
}

/// Remembered answers and questions to ask.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    limits: LookupLimits,
    names: HashMap<String, Remembered>,
    /// Number of remembered names by namespace.
    owned: HashMap<String, usize>,
    /// Questions that wait, by namespace.
    waiting: BTreeMap<String, VecDeque<String>>,
    /// Open questions, by namespace.
    open: HashMap<String, usize>,
    /// The namespace whose turn was last.
    last_turn: String,
    /// Counts uses, for the order in which names are forgotten.
    clock: u64,
}

/// The answers about one name.
#[derive(Debug)]
struct Remembered {
    memory: PresetMemory,
    /// The namespace that asked first, whose share it counts in.
    namespace: String,
    state: LookupState,
    /// Workspaces that want the answer.
    interested: BTreeSet<Key>,
    used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupState {
    Idle,
    Waiting,
    Open,
}

impl Lookups {
    #[cfg(test)]
    fn with(limits: LookupLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Answers from memory at once, with an old answer if there is no other, and plans a question if the answer is old.
    /// `namespace` is that of `workspace`.
    pub(crate) fn lookup(&mut self, name: &str, workspace: &Key, now: Duration) -> PresetLookup {
        let name = name.to_lowercase();
        let namespace = workspace.namespace.clone().unwrap_or_default();
        self.clock += 1;
        if !self.names.contains_key(&name) && !self.make_room(&namespace) {
            return PresetLookup::Asking;
        }
        let clock = self.clock;
        let is_new = !self.names.contains_key(&name);
        let remembered = self.names.entry(name.clone()).or_insert_with(|| Remembered {
            memory: PresetMemory::default(),
            namespace: namespace.clone(),
            state: LookupState::Idle,
            interested: BTreeSet::new(),
            used: clock,
        });
        remembered.used = clock;
        if is_new {
            *self.owned.entry(namespace).or_default() += 1;
        }
        if let Some(fresh) = remembered.memory.fresh(now) {
            return fresh.clone();
        }
        let answer = remembered.memory.last().cloned().unwrap_or(PresetLookup::Asking);
        remembered.interested.insert(workspace.clone());
        if remembered.state == LookupState::Idle {
            let waiting = self.waiting.entry(remembered.namespace.clone()).or_default();
            if waiting.len() < self.limits.waiting_per_namespace {
                remembered.state = LookupState::Waiting;
                waiting.push_back(name);
            }
        }
        answer
    }

    /// Takes the next question, if one may be asked now.
    pub(crate) fn next(&mut self) -> Option<String> {
        if self.open.values().sum::<usize>() >= self.limits.open {
            return None;
        }
        let may_ask = |namespace: &String| {
            self.open.get(namespace).copied().unwrap_or(0) < self.limits.open_per_namespace
        };
        let after = (
            std::ops::Bound::Excluded(self.last_turn.clone()),
            std::ops::Bound::Unbounded,
        );
        let mut turns = self
            .waiting
            .range(after)
            .chain(self.waiting.iter())
            .map(|(namespace, _)| namespace);
        let namespace = turns.find(|namespace| may_ask(namespace))?.clone();
        let queue = self.waiting.get_mut(&namespace)?;
        let name = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&namespace);
        }
        let name = name?;
        self.names.get_mut(&name)?.state = LookupState::Open;
        *self.open.entry(namespace.clone()).or_default() += 1;
        self.last_turn = namespace;
        Some(name)
    }

    /// Records the answer to an open question. Returns the Workspaces that see another answer than before.
    pub(crate) fn record(
        &mut self,
        name: &str,
        answer: PresetAnswer,
        fallback: impl FnOnce() -> Option<Arc<Preset>>,
        now: Duration,
    ) -> BTreeSet<Key> {
        let Some(remembered) = self.names.get_mut(name) else {
            return BTreeSet::new();
        };
        remembered.state = LookupState::Idle;
        if let Some(open) = self.open.get_mut(&remembered.namespace) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&remembered.namespace);
            }
        }
        let before = remembered.memory.last().cloned();
        let after = remembered.memory.record(answer, fallback, now);
        let interested = std::mem::take(&mut remembered.interested);
        if before.as_ref() == Some(&after) {
            return BTreeSet::new();
        }
        interested
    }

    /// Forgets a name if there are too many. Returns false if every one is being asked about.
    fn make_room(&mut self, namespace: &str) -> bool {
        if self.names.len() < self.limits.names {
            return true;
        }
        let share = |remembered: &Remembered| self.owned.get(&remembered.namespace).copied().unwrap_or(0);
        let own = self.owned.get(namespace).copied().unwrap_or(0);
        let forgettable = self
            .names
            .iter()
            .filter(|(_, remembered)| remembered.state == LookupState::Idle)
            .filter(|(_, remembered)| remembered.namespace == namespace || share(remembered) > own);
        let first = forgettable.max_by_key(|(_, remembered)| (share(remembered), u64::MAX - remembered.used));
        let Some(name) = first.map(|(name, _)| name.clone()) else {
            return false;
        };
        if let Some(remembered) = self.names.remove(&name)
            && let Some(owned) = self.owned.get_mut(&remembered.namespace)
        {
            *owned -= 1;
            if *owned == 0 {
                self.owned.remove(&remembered.namespace);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LookupLimits = LookupLimits {
        names: 8,
        open: 4,
        open_per_namespace: 2,
        waiting_per_namespace: 6,
    };

    fn workspace(namespace: &str) -> Key {
        Key::namespaced(namespace, "w")
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn preset() -> Arc<Preset> {
        let catalog = preset_catalog::Catalog::embedded().unwrap();
        Arc::new(catalog.find("phi-4").unwrap().clone())
    }

    fn unknown() -> PresetAnswer {
        PresetAnswer::Unknown { near: Vec::new() }
    }

    #[test]
    fn a_name_is_asked_once_and_all_who_want_it_are_called() {
        let mut lookups = Lookups::with(LIMITS);
        assert_eq!(
            lookups.lookup("A/B", &workspace("n1"), at(0)),
            PresetLookup::Asking
        );
        assert_eq!(
            lookups.lookup("a/b", &workspace("n2"), at(0)),
            PresetLookup::Asking
        );
        assert_eq!(lookups.next().as_deref(), Some("a/b"));
        assert_eq!(lookups.next(), None);
        let called = lookups.record("a/b", PresetAnswer::Found(preset()), || None, at(1));
        assert_eq!(called, [workspace("n1"), workspace("n2")].into());
        assert_eq!(
            lookups.lookup("a/B", &workspace("n1"), at(2)),
            PresetLookup::Found(preset())
        );
        assert_eq!(lookups.next(), None, "the answer is fresh");
        // An old answer is used while it is renewed, and the same answer enqueues no Workspace.
        let old = lookups.lookup("a/b", &workspace("n1"), at(100));
        assert_eq!(old, PresetLookup::Found(preset()));
        assert_eq!(lookups.next().as_deref(), Some("a/b"));
        let called = lookups.record("a/b", PresetAnswer::Found(preset()), || None, at(101));
        assert!(called.is_empty());
        lookups.lookup("a/b", &workspace("n1"), at(200));
        lookups.next();
        assert_eq!(
            lookups.record("a/b", unknown(), || None, at(201)),
            [workspace("n1")].into()
        );
    }

    #[test]
    fn namespaces_take_turns() {
        let mut lookups = Lookups::with(LookupLimits { names: 100, ..LIMITS });
        for number in 0..20 {
            lookups.lookup(&format!("a/greedy-{number}"), &workspace("greedy"), at(0));
        }
        assert_eq!(lookups.next().as_deref(), Some("a/greedy-0"));
        lookups.lookup("a/modest", &workspace("modest"), at(0));
        assert_eq!(lookups.next().as_deref(), Some("a/modest"));
        assert_eq!(lookups.next().as_deref(), Some("a/greedy-1"));
        assert_eq!(lookups.next(), None, "two of one namespace at a time");
        lookups.record("a/greedy-0", unknown(), || None, at(0));
        assert_eq!(lookups.next().as_deref(), Some("a/greedy-2"));
        // Those beyond the bound come when their Workspace asks again.
        let mut asked = 3;
        while let Some(name) = lookups.next().or_else(|| {
            lookups.record(&format!("a/greedy-{}", asked - 1), unknown(), || None, at(0));
            lookups.next()
        }) {
            assert_eq!(name, format!("a/greedy-{asked}"));
            asked += 1;
        }
        assert_eq!(asked, 6, "six waited");
    }

    #[test]
    fn the_greediest_namespace_forgets_first_and_the_bound_holds() {
        let mut lookups = Lookups::with(LIMITS);
        lookups.lookup("a/modest", &workspace("modest"), at(0));
        lookups.next();
        lookups.record("a/modest", PresetAnswer::Found(preset()), || None, at(0));
        for number in 0..100 {
            let name = format!("a/greedy-{number}");
            lookups.lookup(&name, &workspace("greedy"), at(0));
            while let Some(asked) = lookups.next() {
                lookups.record(&asked, unknown(), || None, at(0));
            }
            assert!(lookups.names.len() <= LIMITS.names);
            assert!(lookups.owned.values().sum::<usize>() == lookups.names.len());
        }
        let kept = lookups.lookup("a/modest", &workspace("modest"), at(1));
        assert_eq!(kept, PresetLookup::Found(preset()));
        assert!(lookups.waiting.is_empty() && lookups.open.is_empty());
    }
}
