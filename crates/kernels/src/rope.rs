//! Rotary position embeddings.

/// Rotates the first `2 · cos.len()` elements of a head: element `i` with element `i + cos.len()`.
#[inline]
pub fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (low, high) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// Turns the gradient after [`rotate`] into the one before it: rotates it back.
#[inline]
pub fn rotate_backward(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (low, high) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos + *b * sin, *b * cos - *a * sin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn rotation_keeps_the_length() {
        let mut head = [3.0, 1.0, 4.0, 2.0, 9.0];
        rotate(&mut head, &[0.6, 0.0], &[0.8, 1.0]);
        let expected = [3.0 * 0.6 - 4.0 * 0.8, -2.0, 4.0 * 0.6 + 3.0 * 0.8, 1.0, 9.0];
        assert!(
            head.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{head:?}"
        );
    }

    #[test]
    fn rotating_back_undoes_a_rotation() {
        let mut random = Random::new(&[6]);
        let head: Vec<f32> = (0..9).map(|_| random.normal() as f32).collect();
        let (cos, sin) = ([0.6, 0.0, 1.0], [0.8, 1.0, 0.0]);
        let mut rotated = head.clone();
        rotate(&mut rotated, &cos, &sin);
        rotate_backward(&mut rotated, &cos, &sin);
        assert!(head.iter().zip(&rotated).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
