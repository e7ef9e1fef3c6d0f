//! Products against the schoolbook, on processors with AMX; on others a check that AMX is not detected.

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
            "the kernel lists the instructions and `detect` does not find them"
        );
        return;
    };
    let mut numbers = Numbers(7);
    for (steps, rows) in [(1, 32), (2, 1), (3, 16), (48, 32), (5, 17), (7, 9)] {
        let left: Vec<Rows> = (0..steps).map(|_| numbers.left()).collect();
        let right: Vec<Pairs> = (0..steps).map(|_| numbers.right()).collect();
        let mut out = Sums([[7.0; SIDE]; SIDE]);
        amx.product(&left, &right, rows, &mut out);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let found = f64::from(out.0[row][column]);
                let expected = if row < rows {
                    schoolbook(&left, &right, row, column)
                } else {
                    7.0
                };
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{steps} {rows}: {row}, {column}: {found} {expected}"
                );
            }
        }
    }
}

/// A row is computed alike alone and in company.
#[test]
fn rows_do_not_disturb_each_other() {
    let Some(amx) = Amx::detect() else { return };
    let mut numbers = Numbers(3);
    let left: Vec<Rows> = (0..9).map(|_| numbers.left()).collect();
    let right: Vec<Pairs> = (0..9).map(|_| numbers.right()).collect();
    let run = |left: &[Rows], rows| {
        let mut out = Sums::ZERO;
        amx.product(left, &right, rows, &mut out);
        out.0
    };
    let all = run(&left, 32);
    for rows in [1, 8, 16, 20] {
        assert_eq!(run(&left, rows)[..rows], all[..rows]);
    }
    let mut alone = left;
    alone.iter_mut().for_each(|step| step.0[0] = step.0[29]);
    assert_eq!(run(&alone, 1)[0], all[29]);
}

#[test]
fn rounding_goes_to_the_nearest_and_keeps_what_is_no_number() {
    let upper = |value: f32| rounded(value) >> 16;
    assert_eq!(upper(1.0), 0x3f80);
    assert_eq!(
        upper(f32::from_bits(0x3f80_8000)),
        0x3f80,
        "half way to the even one"
    );
    assert_eq!(upper(f32::from_bits(0x3f81_8000)), 0x3f82);
    assert_eq!(upper(f32::from_bits(0x3f80_8001)), 0x3f81);
    assert_eq!(upper(-0.0), 0x8000);
    assert_eq!(upper(f32::INFINITY), 0x7f80);
    assert_eq!(upper(f32::MAX), 0x7f80);
    for bits in [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff_u32] {
        assert!(f32::from_bits(rounded(f32::from_bits(bits)) & 0xffff_0000).is_nan());
    }
}

#[test]
fn without_steps_a_product_is_zero_and_threads_do_not_disturb_each_other() {
    let Some(amx) = Amx::detect() else { return };
    let mut out = Sums([[1.0; SIDE]; SIDE]);
    amx.product(&[], &[Pairs::ZERO], SIDE, &mut out);
    assert!(out.0.as_flattened().iter().all(|sum| *sum == 0.0));

    let run = |seed| {
        let mut numbers = Numbers(seed);
        let left: Vec<Rows> = (0..20).map(|_| numbers.left()).collect();
        let right: Vec<Pairs> = (0..20).map(|_| numbers.right()).collect();
        let mut sums = Vec::new();
        for _ in 0..500 {
            let mut out = Sums::ZERO;
            amx.product(&left, &right, SIDE, &mut out);
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
