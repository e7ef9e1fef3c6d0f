//! Which examples make up which batch: a function of seeds and sizes, so that a resumed run knows without having been there.

use super::Example;
use crate::network::Batch;
use kernels::Random;

/// Examples that take one sequence's place together.
type Groups = Vec<Vec<usize>>;

/// Best fit, longest first: each example goes where it leaves the least room, or begins a new place.
#[must_use]
pub fn packed(lengths: &[usize], room: usize) -> Groups {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(lengths[*at]));
    let mut groups: Groups = Vec::new();
    let mut left: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
    for example in order {
        let length = lengths[example];
        let found = left.range(length..).next().map(|(room, _)| *room);
        let (group, now) = match found.and_then(|room| Some((left.get_mut(&room)?.pop()?, room))) {
            Some((group, room)) => (group, room),
            None => {
                groups.push(Vec::new());
                (groups.len() - 1, room.max(length))
            }
        };
        if let Some(room) = found.filter(|room| left.get(room).is_some_and(Vec::is_empty)) {
            left.remove(&room);
        }
        groups[group].push(example);
        left.entry(now - length).or_default().push(group);
    }
    groups
}

/// The order in which groups are trained on.
#[derive(Clone, Debug)]
pub struct Order {
    /// What takes a place.
    pub groups: Groups,
    /// Places of a batch.
    pub batch: usize,
    /// Seed of the order of each pass; absent where it is that of the data.
    pub shuffle: Option<u64>,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
}

impl Order {
    /// Batches of a pass over the data.
    #[must_use]
    pub fn batches(&self) -> usize {
        if self.drop_last {
            self.groups.len() / self.batch
        } else {
            self.groups.len().div_ceil(self.batch)
        }
    }

    /// The examples of each batch of a pass.
    #[must_use]
    pub fn pass(&self, number: u64) -> Vec<Vec<usize>> {
        let mut order: Vec<&Vec<usize>> = self.groups.iter().collect();
        if let Some(seed) = self.shuffle {
            Random::new(&[seed, 0x0b, number]).shuffle(&mut order);
        }
        let batches = order.chunks(self.batch).take(self.batches());
        batches
            .map(|groups| groups.iter().copied().flatten().copied().collect())
            .collect()
    }

    /// Most tokens of any batch that could come up: the longest groups together.
    #[must_use]
    pub fn most_tokens(&self, examples: &[Example]) -> usize {
        let tokens =
            |group: &Vec<usize>| -> usize { group.iter().map(|at| examples[*at].tokens.len()).sum() };
        let mut all: Vec<usize> = self.groups.iter().map(tokens).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.iter().take(self.batch).sum()
    }
}

impl Batch {
    /// Puts examples one after the other.
    #[must_use]
    pub fn of<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Self {
        let mut batch = Self::default();
        for example in examples {
            let targets = example.tokens.iter().enumerate().skip(1);
            batch
                .targets
                .extend(targets.map(|(at, token)| example.is_learnt(at).then_some(*token)));
            batch.targets.push(None);
            batch.tokens.extend(&example.tokens);
            batch.lengths.push(example.tokens.len());
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(groups: usize, batch: usize, drop_last: bool) -> Order {
        Order {
            groups: (0..groups).map(|group| vec![group]).collect(),
            batch,
            shuffle: Some(1),
            drop_last,
        }
    }

    #[test]
    fn each_pass_has_every_example_once_in_an_order_of_its_own() {
        let order = order(10, 3, false);
        let flat = |pass| -> Vec<usize> { order.pass(pass).concat() };
        assert_eq!((order.batches(), order.pass(0).len()), (4, 4));
        assert_eq!(flat(0), flat(0));
        assert_ne!(flat(0), flat(1));
        let mut sorted = flat(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        assert_eq!(self::order(10, 3, true).pass(0).len(), 3);
    }

    #[test]
    fn targets_are_the_next_tokens_of_the_same_example() {
        let first = Example {
            tokens: vec![1, 2, 3],
            learnt: std::iter::once(2..3).collect(),
        };
        let second = Example {
            tokens: vec![4, 5],
            learnt: Vec::new(),
        };
        let batch = Batch::of([&first, &second]);
        assert_eq!(batch.targets, [None, Some(3), None, Some(5), None]);
        assert_eq!((batch.lengths.clone(), batch.targets()), (vec![3, 2], 2));
    }

    proptest! {
        #[test]
        fn packing_keeps_every_example_and_the_room(lengths in proptest::collection::vec(1_usize..100, 0..200)) {
            let groups = packed(&lengths, 100);
            let mut all: Vec<usize> = groups.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            let used: Vec<usize> = groups.iter().map(|group| group.iter().map(|at| lengths[*at]).sum()).collect();
            prop_assert!(used.iter().all(|used| *used <= 100));
            prop_assert!(used.iter().filter(|used| **used <= 50).count() <= 1);
        }
    }
}
