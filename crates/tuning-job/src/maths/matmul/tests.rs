//! Tests of the module above.

use super::*;

#[test]
fn products_of_every_layout_are_those_of_the_schoolbook() {
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
    product(target, Mat::strided(&a, n, k, k + 2), Mat::new(&b, m, k).t(), 0.5);
    for row in 0..n {
        for column in 0..m {
            let sum: f32 = (0..k).map(|i| a[row * (k + 2) + i] * b[column * k + i]).sum();
            assert!((out[row * (m + 3) + column] - 1.0 - 0.5 * sum).abs() < 1e-4);
        }
        assert!(row + 1 == n || out[row * (m + 3) + m..(row + 1) * (m + 3)] == [1.0; 3]);
    }
}

/// Sizes around those of registers, and every layout; what lies beyond the product must stay as it is.
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
                    product_here(target, left, right, 1.0);
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
