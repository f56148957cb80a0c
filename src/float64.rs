//! Sums that the float64 twins share.

/// `sum` += `factor` · `values`.
#[cfg(feature = "reference")]
pub(crate) fn add_scaled(sum: &mut [f64], factor: f64, values: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

/// `n` numbers in ±1, the same for the same `seed`.
#[cfg(test)]
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f64> {
    use crate::rng::{Part, Phase, Stream, unit};
    let stream = Stream::new(seed, Phase::Init, 0, 0);
    (0..n).map(|i| 2.0 * f64::from(unit(stream.words(Part::Task, i as u32)[0])) - 1.0).collect()
}
