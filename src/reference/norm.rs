//! Batch-norm with the statistics of the batch at hand: for each channel, over all its B·H·W
//! numbers (Ioffe and Szegedy 2015, algorithm 1 and the gradients of section 3).

use crate::model::{Layer, Shape};

/// z = γ x̂ + β, `[B, C, H, W]`, with x̂ = (x − mean) / √(variance + ε) and the biased variance, for
/// `x` `[B, C, H, W]`. `parameters` is the whole canonical set.
pub fn norm_forward(layer: &Layer, epsilon: f32, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let (gamma, beta) = gamma_and_beta(layer, parameters);
    let Normed { values, .. } = normed(layer.input, epsilon, x);
    by_channel(layer.input, &values, |channel, x| gamma[channel] * x + beta[channel])
}

/// dL/dx = γ / √(variance + ε) · (dz − mean(dz) − x̂ mean(dz ⊙ x̂)), `[B, C, H, W]`, from `dz` = dL/dz
/// `[B, C, H, W]` and the layer's input `x`.
pub fn norm_backward(
    layer: &Layer,
    epsilon: f32,
    parameters: &[f64],
    x: &[f64],
    dz: &[f64],
) -> Vec<f64> {
    let (gamma, _) = gamma_and_beta(layer, parameters);
    let Normed { values, scale } = normed(layer.input, epsilon, x);
    let mean = means(layer.input, dz);
    let along = means(layer.input, &products(dz, &values));
    let removed = by_channel(layer.input, &values, |channel, x| mean[channel] + x * along[channel]);
    let centred: Vec<f64> = dz.iter().zip(removed).map(|(dz, removed)| dz - removed).collect();
    by_channel(layer.input, &centred, |channel, dz| gamma[channel] * scale[channel] * dz)
}

/// dL/dγ = Σ dz ⊙ x̂, then dL/dβ = Σ dz, `[C]` each.
pub fn norm_gradient(layer: &Layer, epsilon: f32, x: &[f64], dz: &[f64]) -> Vec<f64> {
    let Normed { values, .. } = normed(layer.input, epsilon, x);
    [sums(layer.input, &products(dz, &values)), sums(layer.input, dz)].concat()
}

/// A batch with mean zero.
struct Normed {
    /// x̂, `[B, C, H, W]`.
    values: Vec<f64>,
    /// 1 / √(variance + ε), `[C]`.
    scale: Vec<f64>,
}

fn normed(shape: Shape, epsilon: f32, x: &[f64]) -> Normed {
    let mean = means(shape, x);
    let centred = by_channel(shape, x, |channel, x| x - mean[channel]);
    let variance = means(shape, &products(&centred, &centred));
    let scale: Vec<f64> =
        variance.iter().map(|variance| 1.0 / (variance + f64::from(epsilon)).sqrt()).collect();
    Normed { values: by_channel(shape, &centred, |channel, x| scale[channel] * x), scale }
}

/// The layer's scale γ and shift β, `[C]` each.
fn gamma_and_beta<'a>(layer: &Layer, parameters: &'a [f64]) -> (&'a [f64], &'a [f64]) {
    let channels = layer.output.channels;
    parameters[layer.canonical_offset..][..2 * channels].split_at(channels)
}

fn products(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert_eq!(a.len(), b.len(), "equally many numbers");
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// `map(channel, number)` of every number of `values` `[B, C, H, W]`.
fn by_channel(shape: Shape, values: &[f64], map: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let channel = |index: usize| index / shape.pixels() % shape.channels;
    values.iter().enumerate().map(|(index, value)| map(channel(index), *value)).collect()
}

/// The sum of each channel of `values` `[B, C, H, W]`: `[C]`.
fn sums(shape: Shape, values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; shape.channels];
    for (plane, numbers) in values.chunks_exact(shape.pixels()).enumerate() {
        sums[plane % shape.channels] += numbers.iter().sum::<f64>();
    }
    sums
}

/// The mean of each channel of `values` `[B, C, H, W]`: `[C]`.
fn means(shape: Shape, values: &[f64]) -> Vec<f64> {
    let count = values.len() / shape.channels;
    sums(shape, values).iter().map(|sum| sum / count as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, LayerSpec, Model, ModelSpec};

    const EPSILON: f32 = 4.0;

    fn close(got: &[f64], wanted: &[f64]) {
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-14, "{got} instead of {wanted}");
        }
    }

    #[test]
    fn forward_and_gradients_worked_by_hand() {
        let norm = LayerSpec::BatchNorm { epsilon: EPSILON, activation: Activation::Linear };
        let spec = ModelSpec::builder(&[2, 1, 2]).layer(norm).dense(1, Activation::Linear);
        let model = Model::new(spec).unwrap();
        let layer = &model.layers()[0];
        let parameters = [3.0, -2.0, 0.5, 1.0];
        // Channel 0 is 1, 3 and 5, 7: mean 4, variance 5, √(5 + 4) = 3. Channel 1 is constant.
        let x = [1.0, 3.0, 2.0, 2.0, /* */ 5.0, 7.0, 2.0, 2.0];
        close(
            &norm_forward(layer, EPSILON, &parameters, &x),
            &[-2.5, -0.5, 1.0, 1.0, /* */ 1.5, 3.5, 1.0, 1.0],
        );
        let dz = [1.0, 0.0, 1.0, 2.0, /* */ 0.0, 2.0, 3.0, 4.0];
        close(
            &norm_backward(layer, EPSILON, &parameters, &x, &dz),
            &[0.5, -2.0 / 3.0, 1.5, 0.5, /* */ -5.0 / 6.0, 1.0, -0.5, -1.5],
        );
        close(&norm_gradient(layer, EPSILON, &x, &dz), &[1.0, 0.0, 3.0, 10.0]);
    }
}
