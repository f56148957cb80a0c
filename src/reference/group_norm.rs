//! Group-norm (Wu and He 2018): the numbers of each example in groups of channels, each with its own mean and biased variance;
//! with one group a layer-norm (Ba, Kiros and Hinton 2016).

use crate::model::{Layer, Op};

/// z = γ x̂ + β, `[B, C, H, W]`, with x̂ = (x − mean) / √(variance + ε) of each group, for `x` `[B, C, H, W]`. `parameters`
/// is the whole canonical set.
pub fn group_norm_forward(layer: &Layer, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let count = layer.parameter_count() / 2;
    let (gamma, beta) = parameters[layer.canonical_offset..][..2 * count].split_at(count);
    let affine = |(index, x): (usize, &f64)| {
        let place = affine_place(layer, index);
        gamma[place] * x + beta[place]
    };
    normed(layer, x).values.iter().enumerate().map(affine).collect()
}

/// dL/dx = 1 / √(variance + ε) · (g − mean(g) − x̂ mean(g ⊙ x̂)) with g = γ ⊙ dz and means over a group, `[B, C, H, W]`,
/// from `dz` = dL/dz `[B, C, H, W]` and the layer's input `x`.
pub fn group_norm_backward(layer: &Layer, parameters: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
    let gamma = &parameters[layer.canonical_offset..][..layer.parameter_count() / 2];
    let Normed { values, scale } = normed(layer, x);
    let scaled = dz.iter().enumerate().map(|(index, dz)| gamma[affine_place(layer, index)] * dz);
    let mut dx: Vec<f64> = scaled.collect();
    let size = group_size(layer);
    for ((g, normal), scale) in dx.chunks_exact_mut(size).zip(values.chunks_exact(size)).zip(scale)
    {
        let mean = g.iter().sum::<f64>() / size as f64;
        let along = g.iter().zip(normal).map(|(g, x)| g * x).sum::<f64>() / size as f64;
        for (g, normal) in g.iter_mut().zip(normal) {
            *g = scale * (*g - mean - normal * along);
        }
    }
    dx
}

/// dL/dγ = Σ dz ⊙ x̂, then dL/dβ = Σ dz, over the examples and, where γ is `[C]`, the pixels.
pub fn group_norm_gradient(layer: &Layer, x: &[f64], dz: &[f64]) -> Vec<f64> {
    let count = layer.parameter_count() / 2;
    let mut gradient = vec![0.0; 2 * count];
    for (index, (dz, normal)) in dz.iter().zip(normed(layer, x).values).enumerate() {
        let place = affine_place(layer, index);
        gradient[place] += dz * normal;
        gradient[count + place] += dz;
    }
    gradient
}

/// A batch whose groups have mean zero.
struct Normed {
    /// x̂, `[B, C, H, W]`.
    values: Vec<f64>,
    /// 1 / √(variance + ε), `[B, groups]`.
    scale: Vec<f64>,
}

fn normed(layer: &Layer, x: &[f64]) -> Normed {
    let Op::GroupNorm { epsilon, .. } = layer.op else { panic!("{layer:?} is no group-norm") };
    let size = group_size(layer);
    let (mut values, mut scale) = (x.to_vec(), Vec::new());
    for group in values.chunks_exact_mut(size) {
        let mean = group.iter().sum::<f64>() / size as f64;
        group.iter_mut().for_each(|x| *x -= mean);
        let variance = group.iter().map(|x| x * x).sum::<f64>() / size as f64;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        group.iter_mut().for_each(|x| *x *= inverse);
        scale.push(inverse);
    }
    Normed { values, scale }
}

/// Numbers of a group: those of consecutive channels, which lie one after the other in `[C, H, W]`.
fn group_size(layer: &Layer) -> usize {
    let Op::GroupNorm { groups, .. } = layer.op else { panic!("{layer:?} is no group-norm") };
    layer.inputs() / groups
}

/// Which γ number `index` of `[B, C, H, W]` has.
fn affine_place(layer: &Layer, index: usize) -> usize {
    let number = index % layer.inputs();
    match layer.op {
        Op::GroupNorm { per_number: true, .. } => number,
        _ => number / layer.input.pixels(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, LayerSpec, Model, ModelSpec};

    fn close(got: &[f64], wanted: &[f64]) {
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-14, "{got} instead of {wanted}");
        }
    }

    /// Channels 0 and 1 are a group: 1, 3, 5, 7 (mean 4, variance 5, √(5 + 4) = 3). Channels 2 and 3 are constant.
    #[test]
    fn a_group_norm_worked_by_hand() {
        let norm = LayerSpec::GroupNorm { groups: 2, epsilon: 4.0, activation: Activation::Linear };
        let spec = ModelSpec::builder(&[4, 1, 2]).layer(norm).dense(1, Activation::Linear);
        let model = Model::new(spec).unwrap();
        let layer = &model.layers()[0];
        assert_eq!(layer.parameter_count(), 8);
        let parameters = [3.0, -6.0, 1.0, 1.0, 0.5, 1.0, 2.0, 0.0];
        let x = [1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 2.0, 2.0];
        close(
            &group_norm_forward(layer, &parameters, &x),
            &[-2.5, -0.5, -1.0, -5.0, 2.0, 2.0, 0.0, 0.0],
        );
        let dz = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 3.0];
        // g = 3, 0, 0, 0: mean 3/4, along −3/4; and 1, 0, 0, 3 with mean 1 over √4.
        let dx = [0.5, -1.0 / 3.0, -1.0 / 6.0, 0.0, 0.0, -0.5, -0.5, 1.0];
        close(&group_norm_backward(layer, &parameters, &x, &dz), &dx);
        let gradient = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 3.0];
        close(&group_norm_gradient(layer, &x, &dz), &gradient);
    }

    /// The whole example is one group, and each of its numbers has a γ.
    #[test]
    fn a_layer_norm_worked_by_hand() {
        let norm = LayerSpec::LayerNorm { epsilon: 4.0, activation: Activation::Linear };
        let spec = ModelSpec::builder(&[2, 1, 2]).layer(norm).dense(1, Activation::Linear);
        let model = Model::new(spec).unwrap();
        let layer = &model.layers()[0];
        assert_eq!(model.tensors()[0].shape, [2, 1, 2]);
        let parameters = [3.0, -3.0, 6.0, 1.0, 0.0, 0.0, 1.0, 1.0];
        let x = [1.0, 3.0, 5.0, 7.0];
        close(&group_norm_forward(layer, &parameters, &x), &[-3.0, 1.0, 3.0, 2.0]);
        let gradient = [-2.0, 0.0, 1.0 / 3.0, 1.0, 2.0, 0.0, 1.0, 1.0];
        close(&group_norm_gradient(layer, &x, &[2.0, 0.0, 1.0, 1.0]), &gradient);
    }
}
