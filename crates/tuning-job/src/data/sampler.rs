//! Examples of each batch: a function of seeds and sizes, so that a resumed run needs no state.

use kernels::Random;

use super::examples::Example;
use crate::network::Batch;

/// Examples that are packed together.
type Groups = Vec<Vec<usize>>;

/// Packs examples into groups of at most `room` tokens. Best fit, longest first: each example goes to the group where it leaves
/// the least room, or starts a new group.
#[must_use]
pub fn pack(lengths: &[usize], room: usize) -> Groups {
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

/// Order of groups in training.
#[derive(Clone, Debug)]
pub struct BatchSampler {
    /// Examples that are packed together.
    pub groups: Groups,
    /// Groups of a batch.
    pub batch_size: usize,
    /// Seed of the order of each epoch; without it groups keep their order.
    pub shuffle_seed: Option<u64>,
    /// Whether an incomplete last batch is left out.
    pub drop_last: bool,
}

impl BatchSampler {
    /// Number of batches in an epoch.
    #[must_use]
    pub fn num_batches(&self) -> usize {
        if self.drop_last {
            self.groups.len() / self.batch_size
        } else {
            self.groups.len().div_ceil(self.batch_size)
        }
    }

    /// Returns the examples of each batch of an epoch.
    #[must_use]
    pub fn epoch(&self, number: u64) -> Vec<Vec<usize>> {
        let mut order: Vec<&Vec<usize>> = self.groups.iter().collect();
        if let Some(seed) = self.shuffle_seed {
            Random::new(&[seed, 0x0b, number]).shuffle(&mut order);
        }
        let batches = order.chunks(self.batch_size).take(self.num_batches());
        batches
            .map(|groups| groups.iter().copied().flatten().copied().collect())
            .collect()
    }

    /// Returns the most tokens that a batch can have: the longest groups together.
    #[must_use]
    pub fn max_tokens_per_batch(&self, examples: &[Example]) -> usize {
        let tokens =
            |group: &Vec<usize>| -> usize { group.iter().map(|at| examples[*at].tokens.len()).sum() };
        let mut all: Vec<usize> = self.groups.iter().map(tokens).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.iter().take(self.batch_size).sum()
    }
}

/// Returns a batch of examples.
#[must_use]
pub fn batch_of<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Batch {
    let mut batch = Batch::default();
    for example in examples {
        let labels = example.tokens.iter().enumerate().skip(1);
        batch
            .labels
            .extend(labels.map(|(at, token)| example.has_loss(at).then_some(*token)));
        batch.labels.push(None);
        batch.tokens.extend(&example.tokens);
        batch.seq_lengths.push(example.tokens.len());
    }
    batch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sampler(groups: usize, batch_size: usize, drop_last: bool) -> BatchSampler {
        BatchSampler {
            groups: (0..groups).map(|group| vec![group]).collect(),
            batch_size,
            shuffle_seed: Some(1),
            drop_last,
        }
    }

    #[test]
    fn each_epoch_has_every_example_once_in_its_own_order() {
        let sampler = sampler(10, 3, false);
        let flat = |epoch| -> Vec<usize> { sampler.epoch(epoch).concat() };
        assert_eq!((sampler.num_batches(), sampler.epoch(0).len()), (4, 4));
        assert_eq!(flat(0), flat(0));
        assert_ne!(flat(0), flat(1));
        let mut sorted = flat(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        assert_eq!(self::sampler(10, 3, true).epoch(0).len(), 3);
    }

    #[test]
    fn labels_are_the_next_tokens_of_the_same_example() {
        let first = Example {
            tokens: vec![1, 2, 3],
            loss_ranges: std::iter::once(2..3).collect(),
        };
        let second = Example {
            tokens: vec![4, 5],
            loss_ranges: Vec::new(),
        };
        let batch = batch_of([&first, &second]);
        assert_eq!(batch.labels, [None, Some(3), None, Some(5), None]);
        assert_eq!((batch.seq_lengths.clone(), batch.num_labels()), (vec![3, 2], 2));
    }

    proptest! {
        #[test]
        fn packing_keeps_every_example_and_the_room(lengths in proptest::collection::vec(1_usize..100, 0..200)) {
            let groups = pack(&lengths, 100);
            let mut all: Vec<usize> = groups.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            let used: Vec<usize> = groups.iter().map(|group| group.iter().map(|at| lengths[*at]).sum()).collect();
            prop_assert!(used.iter().all(|used| *used <= 100));
            prop_assert!(used.iter().filter(|used| **used <= 50).count() <= 1);
        }
    }
}
