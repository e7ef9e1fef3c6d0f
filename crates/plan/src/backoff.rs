//! Pauses that double.

use jiff::SignedDuration;

/// Returns the pause after `failures` earlier failures in a row: `first`, doubled at each of them, at most `longest`.
#[must_use]
pub fn doubling(first: SignedDuration, longest: SignedDuration, failures: u32) -> SignedDuration {
    let factor = 2_i32.saturating_pow(failures);
    first.saturating_mul(factor).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let longest = SignedDuration::from_secs(60);
        for (failures, seconds) in [(0, 1), (1, 2), (4, 16), (6, 60), (u32::MAX, 60)] {
            let pause = doubling(SignedDuration::from_secs(1), longest, failures);
            assert_eq!(pause, SignedDuration::from_secs(seconds), "{failures}");
        }
    }
}
