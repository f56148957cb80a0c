//! The losses with their gradients by the network's outputs.

/// Mean squared error, mean over batch and outputs, and dL/doutputs; both slices `[B, out]`.
pub fn loss_mse(outputs: &[f64], targets: &[f64]) -> (f64, Vec<f64>) {
    assert_eq!(outputs.len(), targets.len(), "one target for each output");
    let count = outputs.len() as f64;
    let errors: Vec<f64> = outputs.iter().zip(targets).map(|(y, target)| y - target).collect();
    let loss = errors.iter().map(|e| e * e).sum::<f64>() / count;
    (loss, errors.iter().map(|e| 2.0 * e / count).collect())
}

/// Softmax cross-entropy, mean over the batch, and dL/dlogits, from `logits` `[B, classes]` and
/// `labels` `[B]`.
///
/// # Panics
/// If a label is not below the number of classes.
pub fn loss_cross_entropy(logits: &[f64], labels: &[u32]) -> (f64, Vec<f64>) {
    let batch = labels.len() as f64;
    let classes = logits.len() / labels.len();
    let mut loss = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + row.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        loss += log_sum - row[label as usize];
        let start = gradient.len();
        gradient.extend(row.iter().map(|z| (z - log_sum).exp() / batch));
        gradient[start + label as usize] -= 1.0 / batch;
    }
    (loss / batch, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mse_is_the_mean_over_batch_and_outputs() {
        let (loss, gradient) = loss_mse(&[1.0, 2.0, 3.0, 4.0], &[1.0, 0.0, 4.0, 0.0]);
        assert_eq!(loss, (4.0 + 1.0 + 16.0) / 4.0);
        assert_eq!(gradient, [0.0, 1.0, -0.5, 2.0]);
    }

    #[test]
    fn cross_entropy_of_equal_logits_is_the_log_of_the_classes() {
        let (loss, gradient) = loss_cross_entropy(&[3.0; 8], &[0, 3]);
        assert!((loss - 4.0_f64.ln()).abs() < 1e-15);
        for (gradient, expected) in
            gradient.iter().zip([-0.375, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, -0.375])
        {
            assert!((gradient - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn cross_entropy_is_stable_at_large_logits() {
        let (loss, gradient) = loss_cross_entropy(&[1000.0, -1000.0], &[1]);
        assert_eq!((loss, gradient), (2000.0, vec![1.0, -1.0]));
    }
}
