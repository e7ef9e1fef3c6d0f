//! Products against those of the schoolbook, where the processor has the instructions; elsewhere that it is not claimed to.

use super::*;

/// Numbers between -0.5 and 0.5 whose lower halves are zero.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u16 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let value = (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5;
        (value.to_bits() >> 16) as u16
    }

    fn left(&mut self) -> Rows {
        Rows([[(); DEPTH]; SIDE].map(|row| row.map(|()| self.next())))
    }

    fn right(&mut self) -> Pairs {
        Pairs(
            [[(); SIDE]; DEPTH / 2]
                .map(|row| row.map(|()| u32::from(self.next()) | u32::from(self.next()) << 16)),
        )
    }
}

fn wide(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

fn schoolbook(left: &[Rows], right: &[Pairs], row: usize, column: usize) -> f64 {
    left.iter()
        .zip(right)
        .flat_map(|(left, right)| {
            (0..DEPTH).map(move |inner| {
                let pair = right.0[inner / 2][column] >> (16 * (inner % 2));
                wide(left.0[row][inner]) * wide((pair & 0xffff) as u16)
            })
        })
        .sum()
}

#[test]
fn products_are_those_of_the_schoolbook() {
    let Some(amx) = Amx::detect() else {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        assert!(
            !flags.contains("amx_bf16"),
            "the kernel names the instructions and they are not found"
        );
        return;
    };
    let mut numbers = Numbers(7);
    for steps in [1, 2, 3, 48] {
        let left: Vec<Rows> = (0..steps).map(|_| numbers.left()).collect();
        let right: Vec<Pairs> = (0..steps).map(|_| numbers.right()).collect();
        let mut out = Sums([[f32::NAN; SIDE]; SIDE]);
        amx.product(&left, &right, &mut out);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let expected = schoolbook(&left, &right, row, column);
                let found = f64::from(out.0[row][column]);
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{steps}: {row}, {column}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn without_steps_a_product_is_zero_and_threads_do_not_disturb_each_other() {
    let Some(amx) = Amx::detect() else { return };
    let mut out = Sums([[1.0; SIDE]; SIDE]);
    amx.product(&[], &[Pairs::ZERO], &mut out);
    assert!(out.0.as_flattened().iter().all(|sum| *sum == 0.0));

    let run = |seed| {
        let mut numbers = Numbers(seed);
        let left: Vec<Rows> = (0..20).map(|_| numbers.left()).collect();
        let right: Vec<Pairs> = (0..20).map(|_| numbers.right()).collect();
        let mut sums = Vec::new();
        for _ in 0..500 {
            let mut out = Sums::ZERO;
            amx.product(&left, &right, &mut out);
            sums.push(out.0);
        }
        sums
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|seed| (seed, scope.spawn(move || run(seed))))
            .collect();
        for (seed, thread) in all {
            let sums = thread.join().unwrap();
            assert!(sums.iter().all(|sum| *sum == sums[0]), "{seed}");
            assert_ne!(sums[0], run(seed + 10)[0]);
        }
    });
}
