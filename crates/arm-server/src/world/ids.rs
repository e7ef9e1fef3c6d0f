//! Ids and random numbers, both from a seed, so that a run can be repeated.

use std::time::Duration;

/// A small generator (SplitMix64), not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Ids(u64);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A lower-case GUID.
    pub(crate) fn guid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }

    /// Eight digits, as in the name of a scale set.
    pub(crate) fn digits(&mut self) -> u32 {
        u32::try_from(self.next() % 90_000_000).unwrap_or_default() + 10_000_000
    }

    /// A duration of at most `millis`.
    pub(crate) fn jitter(&mut self, millis: u64) -> Duration {
        Duration::from_millis(if millis == 0 {
            0
        } else {
            self.next() % (millis + 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_differ_and_look_like_guids() {
        let mut ids = Ids::new(1);
        let (a, b) = (ids.guid(), ids.guid());
        assert_ne!(a, b);
        assert_eq!(a.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(Ids::new(1).guid(), a);
    }
}
