//! From a description to checked layers: every shape, offset and name.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::layers::{Activation, Before, Layer, LayerSpec, Place, Shape};
use crate::model::spec::{Loss, ModelSpec};

/// Floats that a network may take: kernels' indices have 32 bits, and so may the host's, which counts one further.
const LARGEST: usize = i32::MAX as usize;

/// Layers that a network may have. Each has kernels of its own, which software drivers compile in a fifth of a second.
const MOST_LAYERS: usize = 128;

/// The layers of `spec`.
pub(super) fn layers(spec: &ModelSpec) -> Result<Vec<Layer>> {
    let input = spec.input.iter().fold(1, |size: usize, n| size.saturating_mul(*n));
    if spec.input.is_empty() || input == 0 {
        return Err(Error::Model(format!(
            "input shape {:?} has no elements; give at least one size, all above zero",
            spec.input
        )));
    }
    if input > LARGEST / 4 {
        return Err(too_large(input));
    }
    if spec.layers.len() > MOST_LAYERS {
        return Err(Error::Model(format!(
            "it has {} layers; give at most {MOST_LAYERS}, since the kernels of each are compiled before it starts",
            spec.layers.len()
        )));
    }
    // `flatten` is no layer: what follows it decides how the input is held.
    let first = spec.layers.iter().find(|layer| !matches!(layer, LayerSpec::Flatten(_)));
    let starts_dense = matches!(first, Some(LayerSpec::Dense(_)));
    let mut before = Before {
        shape: match spec.input[..] {
            [channels, height, width] if !starts_dense => Shape { channels, height, width },
            _ => Shape::features(input),
        },
        image: spec.input.len() == 3,
        first: true,
    };
    let mut layers: Vec<Layer> = Vec::with_capacity(spec.layers.len());
    let (mut packed_offset, mut canonical_offset) = (0, 0);
    // How many layers there are of each name so far.
    let mut counts = BTreeMap::<&str, usize>::new();
    for (index, layer) in spec.layers.iter().enumerate() {
        let wrong = |message: String| Error::Model(format!("layer {}: {message}", index + 1));
        if let Some(function) = layer.joins().filter(|_| takes_activation(layers.last())) {
            layers.last_mut().expect("there is one").set_activation(function);
            continue;
        }
        let input = before.shape;
        let Some(made) = layer.infer(&mut before).map_err(wrong)? else { continue };
        if made.parameters.exceed(LARGEST) {
            return Err(too_large(LARGEST + 1));
        }
        let name = made.name.map_or(String::new(), |name| {
            let count = counts.entry(name).or_default();
            *count += 1;
            format!("{name}{count}")
        });
        let place = Place {
            name,
            activation: made.activation,
            input,
            output: made.output,
            window: made.window,
            parameters: made.parameters,
            bytes: false,
            packed_offset,
            canonical_offset,
        };
        packed_offset += place.packed_len();
        canonical_offset += place.parameter_count();
        (before.shape, before.first) = (made.output, canonical_offset == 0);
        if packed_offset > LARGEST || made.output.packed() > LARGEST {
            return Err(too_large(packed_offset.max(made.output.packed())));
        }
        layers.push(Layer::new(layer.clone(), place));
    }
    head(spec, &layers)?;
    Ok(layers)
}

fn too_large(floats: usize) -> Error {
    let (bytes, most) = (4 * floats as u128, 4 * LARGEST as u128);
    let what = "its input or parameters need at least";
    Error::Model(format!("{what} {bytes} bytes, the kernels reach {most}; lower the sizes"))
}

/// Whether an activation can be the last thing that `layer` does.
fn takes_activation(layer: Option<&Layer>) -> bool {
    layer.is_some_and(|layer| layer.activation == Activation::Linear)
}

/// Checks what the loss sees.
fn head(spec: &ModelSpec, layers: &[Layer]) -> Result<()> {
    let Some(last) = layers.last() else {
        return Err(Error::Model("no layers; give at least one dense layer".into()));
    };
    if last.activation != Activation::Linear {
        return Err(Error::Model(format!(
            "the last layer is {}; the head must be linear (leave `activation` out)",
            format!("{:?}", last.activation).to_lowercase()
        )));
    }
    if last.output.pixels() > 1 {
        let Shape { channels, height, width } = last.output;
        return Err(Error::Model(format!(
            "the last layer gives an image of [{channels}, {height}, {width}]; end with a dense \
             layer or a global pool"
        )));
    }
    if spec.loss == Loss::CrossEntropy && last.outputs() < 2 {
        return Err(Error::Model("cross-entropy needs at least 2 outputs".into()));
    }
    if layers.iter().all(|layer| layer.parameter_count() == 0) {
        return Err(Error::Model("no layer has parameters; add a dense layer".into()));
    }
    // The way back ends at the first layer that is trained.
    let Some(first) = layers.iter().find(|layer| layer.is_trained()) else {
        return Err(Error::Model("every layer is frozen; leave the last one to be trained".into()));
    };
    let behind = layers.iter().filter(|layer| layer.canonical_offset > first.canonical_offset);
    if let Some(frozen) =
        behind.filter(|layer| layer.parameter_count() > 0).find(|it| it.is_frozen())
    {
        return Err(Error::Model(format!(
            "{} is frozen, but {} before it is not; freeze all layers up to it, or leave it out",
            frozen.name, first.name
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Flatten, GlobalPool, Padding, Window, padded};

    fn message(spec: ModelSpec) -> String {
        layers(&spec).expect_err("must be refused").to_string()
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_layer() {
        let image = || ModelSpec::builder(&[1, 6, 6]);
        let valid = image().conv2d(4, 7, 1, Padding::VALID).dense(2, Activation::Linear);
        assert!(message(valid).contains("layer 1: conv2d: a kernel of 7×7"), "too large a kernel");
        let behind = image().dense(4, Activation::Relu).conv2d(4, 1, 1, Padding::SAME);
        assert!(message(behind).contains("layer 2: conv2d needs an image"));
        let open = image().conv2d(4, 3, 1, Padding::SAME);
        assert!(message(open).contains("[4, 6, 6]"));
        let nothing = image().layer(GlobalPool {});
        assert!(message(nothing).contains("no layer has parameters"));
        let padding = image().max_pool(2, Padding::All(2)).dense(2, Activation::Linear);
        assert!(message(padding).contains("nothing but padding"));
        let flat = image().layer(Flatten {}).batch_norm(Activation::Relu);
        assert!(message(flat).contains("layer 2: a batch-norm of the numbers"));
        let zero = image().conv2d(0, 3, 1, Padding::SAME);
        assert!(message(zero).contains("filters must be at least 1"));
    }

    #[test]
    fn activations_join_the_layer_before_them() {
        let spec = ModelSpec::builder(&[3, 8, 8])
            .activation(Activation::Tanh)
            .conv2d(5, 3, 1, Padding::SAME)
            .max_pool(2, Padding::SAME)
            .activation(Activation::Relu)
            .layer(Flatten {})
            .dense(2, Activation::Linear);
        let layers = layers(&spec).unwrap();
        assert_eq!(layers.len(), 4);
        assert!(matches!(layers[0].spec(), LayerSpec::Activation(_)));
        assert_eq!(layers[0].window, Window::POINT);
        assert_eq!(layers[2].activation, Activation::Relu);
        assert_eq!((layers[3].inputs(), layers[3].inputs_padded()), (80, 128));
        let offsets: Vec<usize> = layers.iter().map(|layer| layer.packed_offset).collect();
        let conv = (28 + 1) * padded(5);
        assert_eq!(offsets, [0, 0, conv, conv]);
    }
}
