//! Tests of the module above.

use super::*;
use crate::random::tests::normal;

#[test]
fn products_of_every_layout_match_the_schoolbook() {
    let (n, m, k) = (5, 7, 6);
    let value = |i: usize| ((i * 37 % 11) as f32) - 5.0;
    let a: Vec<f32> = (0..n * (k + 2)).map(value).collect();
    let b: Vec<f32> = (0..m * k).map(value).collect();
    let mut out = vec![1.0; n * (m + 3)];
    let target = Out {
        data: &mut out,
        stride: m + 3,
        add: true,
    };
    matmul_serial(target, Mat::strided(&a, n, k, k + 2), Mat::new(&b, m, k).t(), 0.5);
    for row in 0..n {
        for column in 0..m {
            let sum: f32 = (0..k).map(|i| a[row * (k + 2) + i] * b[column * k + i]).sum();
            assert!((out[row * (m + 3) + column] - 1.0 - 0.5 * sum).abs() < 1e-4);
        }
        assert!(row + 1 == n || out[row * (m + 3) + m..(row + 1) * (m + 3)] == [1.0; 3]);
    }
}

/// Sizes around those of registers, and every layout. Elements beyond the product must stay as they are.
#[test]
fn nothing_is_written_beyond_the_product() {
    let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 64, 70];
    let mut wrong = Vec::new();
    for n in sizes {
        for m in sizes {
            for k in sizes {
                for layout in 0..4 {
                    let a: Vec<f32> = (0..n * k).map(|i| (i % 7) as f32 - 3.0).collect();
                    let b: Vec<f32> = (0..m * k).map(|i| (i % 5) as f32 - 2.0).collect();
                    let left = if layout & 1 == 0 {
                        Mat::new(&a, n, k)
                    } else {
                        Mat::new(&a, k, n).t()
                    };
                    let right = if layout & 2 == 0 {
                        Mat::new(&b, k, m)
                    } else {
                        Mat::new(&b, m, k).t()
                    };
                    let stride = m + 4 * (k % 2);
                    let mut out = vec![7.0; 64 + n * stride + 512];
                    let target = Out {
                        data: &mut out[64..64 + n * stride],
                        stride,
                        add: false,
                    };
                    matmul_serial(target, left, right, 1.0);
                    let at = |view: Mat<'_>, i: usize, j: usize| {
                        if view.transposed {
                            view.data[j * view.stride + i]
                        } else {
                            view.data[i * view.stride + j]
                        }
                    };
                    let is_right = (0..out.len()).all(|i| {
                        let inside = i
                            .checked_sub(64)
                            .map(|i| (i / stride, i % stride))
                            .filter(|(r, c)| *r < n && *c < m);
                        let expected = inside.map_or(7.0, |(r, c)| {
                            (0..k).map(|l| at(left, r, l) * at(right, l, c)).sum()
                        });
                        (out[i] - expected).abs() < 1e-3
                    });
                    if !is_right {
                        wrong.push((n, m, k, layout));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} {:?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
}

/// Random values that bfloat16 holds exactly.
fn exact(count: usize, seed: u64) -> Vec<f32> {
    normal(count, seed)
        .iter()
        .map(|value| half::bf16::from_f32(*value).to_f32())
        .collect()
}

/// One thread and several give the same bits, in both types and layouts. Unrounded operands give the schoolbook's product.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    for (n, m, k) in [(1, 300, 1000), (70, 193, 577), (33, 100, 2500), (200, 64, 96)] {
        let (a, b) = (exact(n * k, 1), exact(m * k, 2));
        let transposed: Vec<f32> = (0..k * m).map(|at| b[at % m * k + at / m]).collect();
        let (left, rows, columns) = (
            Mat::new(&a, n, k),
            Mat::new(&b, m, k),
            Mat::new(&transposed, k, m).t(),
        );
        let run = |threads: usize, right: Mat<'_>, dtype| {
            let mut out = vec![f32::NAN; n * m];
            pool(threads).install(|| matmul(Out::set(&mut out, m), left.lines(), right.lines(), dtype));
            out
        };
        for dtype in [ComputeDtype::F32, ComputeDtype::Bf16] {
            let one = run(1, rows, dtype);
            assert_eq!(one, run(3, rows, dtype), "{n} {m} {k}");
            assert_eq!(one, run(2, columns, dtype), "{n} {m} {k}");
            for at in (0..n * m).step_by(7) {
                let pairs = a[at / m * k..][..k].iter().zip(&b[at % m * k..][..k]);
                let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                assert!(
                    (f64::from(one[at]) - sum).abs() < 1e-3,
                    "{n} {m} {k}: {} {sum}",
                    one[at]
                );
            }
        }
    }
}
