//! From a description to checked layers: every shape, offset and name.

use crate::error::{Error, Result};
use crate::model::layer::{Layer, Op, Shape, Window};
use crate::model::spec::{Activation, Extent, LayerSpec, Loss, ModelSpec, Padding};

/// Floats that a network may take: kernels' indices have 32 bits, and so may the host's, which counts one further.
const LARGEST: usize = i32::MAX as usize;

/// What is known before a layer.
struct Before {
    shape: Shape,
    /// Whether the shape is an image, not a row of features.
    image: bool,
    packed_offset: usize,
    canonical_offset: usize,
    /// Convolutions, norms and dense layers so far.
    counts: [usize; 3],
}

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
    // `flatten` is no layer: what follows it decides how the input is held.
    let first = spec.layers.iter().find(|layer| !matches!(layer, LayerSpec::Flatten));
    let starts_dense = matches!(first, Some(LayerSpec::Dense { .. }));
    let mut before = Before {
        shape: match spec.input[..] {
            [channels, height, width] if !starts_dense => Shape { channels, height, width },
            _ => Shape::features(input),
        },
        image: spec.input.len() == 3,
        packed_offset: 0,
        canonical_offset: 0,
        counts: [0; 3],
    };
    let mut layers: Vec<Layer> = Vec::with_capacity(spec.layers.len());
    for (index, layer) in spec.layers.iter().enumerate() {
        let wrong = |message: String| Error::Model(format!("layer {}: {message}", index + 1));
        match layer {
            LayerSpec::Flatten => before.image = false,
            LayerSpec::Activation { function } if takes_activation(layers.last()) => {
                layers.last_mut().expect("there is one").activation = *function;
            }
            _ => layers.push(before.take(layer).map_err(wrong)?),
        }
        if before.packed_offset > LARGEST || before.shape.packed() > LARGEST {
            return Err(too_large(before.packed_offset.max(before.shape.packed())));
        }
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
            "the last layer is {:?}; the head must be linear (leave `activation` out)",
            last.activation
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
    Ok(())
}

impl Before {
    /// The layer that `spec` describes, and what is known behind it.
    fn take(&mut self, spec: &LayerSpec) -> Result<Layer, String> {
        let mut activation = Activation::Linear;
        let (op, output, kind) = match *spec {
            LayerSpec::Dense { units, activation: function } => {
                above_zero("units", &[units])?;
                self.image = false;
                activation = function;
                (Op::Dense, Shape::features(units), Some((2, "dense")))
            }
            LayerSpec::Conv2d { filters, kernel, stride, padding, activation: function } => {
                above_zero("filters", &[filters])?;
                activation = function;
                let (window, output) = self.window("conv2d", kernel, stride, padding)?;
                let output = Shape { channels: filters, ..output };
                (Op::Conv(window), output, Some((0, "conv")))
            }
            LayerSpec::BatchNorm { epsilon, activation: function } => {
                self.norm("batch-norm", epsilon)?;
                activation = function;
                (Op::BatchNorm { epsilon }, self.shape, Some((1, "norm")))
            }
            LayerSpec::LayerNorm { epsilon, activation: function } => {
                self.norm("layer-norm", epsilon)?;
                activation = function;
                let op = Op::GroupNorm { groups: 1, epsilon, per_number: true };
                (op, self.shape, Some((1, "norm")))
            }
            LayerSpec::GroupNorm { groups, epsilon, activation: function } => {
                self.norm("group-norm", epsilon)?;
                above_zero("groups", &[groups])?;
                let channels = self.shape.channels;
                if !channels.is_multiple_of(groups) {
                    return Err(format!(
                        "group-norm: {channels} channels cannot be cut into {groups} equal groups; \
                         give a divisor of {channels}"
                    ));
                }
                activation = function;
                let op = Op::GroupNorm { groups, epsilon, per_number: false };
                (op, self.shape, Some((1, "norm")))
            }
            LayerSpec::MaxPool { size, stride, padding } => {
                let (window, output) = self.pool("max-pool", size, stride, padding)?;
                (Op::MaxPool(window), output, None)
            }
            LayerSpec::AveragePool { size, stride, padding } => {
                let (window, output) = self.pool("average-pool", size, stride, padding)?;
                (Op::AveragePool(window), output, None)
            }
            LayerSpec::GlobalPool => {
                let size = Extent::Sides([self.shape.height, self.shape.width]);
                let (window, output) = self.pool("global-pool", size, None, Padding::VALID)?;
                self.image = false;
                (Op::AveragePool(window), output, None)
            }
            LayerSpec::Activation { function } => {
                activation = function;
                (Op::AveragePool(Window::POINT), self.shape, None)
            }
            LayerSpec::Flatten => unreachable!("has no layer of its own"),
        };
        let name = kind.map_or(String::new(), |(kind, name)| {
            self.counts[kind] += 1;
            format!("{name}{}", self.counts[kind])
        });
        let layer = Layer {
            name,
            op,
            activation,
            input: self.shape,
            output,
            narrow: matches!(op, Op::Conv(_))
                && self.shape.channels < 4
                && self.canonical_offset == 0,
            bytes: false,
            packed_offset: self.packed_offset,
            canonical_offset: self.canonical_offset,
        };
        let columns = output.channels.checked_next_multiple_of(4).unwrap_or(usize::MAX);
        let affine = layer.affine().map_or(2, |shape| shape.pixels().saturating_mul(2));
        let rows = layer.weights().map_or(affine, |weights| weights.rows().saturating_add(1));
        if columns.saturating_mul(rows) > LARGEST {
            self.packed_offset = LARGEST + 1;
            return Ok(layer);
        }
        self.packed_offset += layer.packed_len();
        self.canonical_offset += layer.parameter_count();
        self.shape = output;
        Ok(layer)
    }

    /// Checks what all norms need.
    fn norm(&self, what: &str, epsilon: f32) -> Result<(), String> {
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return Err(format!("{what}: epsilon {epsilon} is not possible; give one above 0"));
        }
        if !self.image && self.shape.pixels() > 1 {
            return Err(format!(
                "a {what} of the numbers of a flattened image is not possible; put it before \
                 `flatten`, where it takes channels, or behind a dense layer"
            ));
        }
        Ok(())
    }

    /// The window of a convolution or a pooling, and its output with the input's channels.
    fn window(
        &self,
        what: &str,
        kernel: Extent,
        stride: Extent,
        padding: Padding,
    ) -> Result<(Window, Shape), String> {
        let Shape { channels, height, width } = self.shape;
        if !self.image {
            return Err(format!(
                "{what} needs an image, but here are {} features; put it before dense, flatten and \
                 global-pool layers, behind an input of [C, H, W]",
                self.shape.elements()
            ));
        }
        let (kernel, stride) = (kernel.sides(), stride.sides());
        above_zero("kernel and stride", &[kernel, stride].concat())?;
        let [above, below, left, right] = padding.sides(kernel, stride, [height, width]);
        let largest = [kernel[0], kernel[1], stride[0], stride[1], above, below, left, right];
        if largest.iter().any(|size| *size > 1 << 15) {
            return Err(format!("{what}: kernel, stride and padding are at most {}", 1 << 15));
        }
        let window = Window { kernel, stride, before: [above, left] };
        let whole = [height + above + below, width + left + right];
        if whole[0] < kernel[0] || whole[1] < kernel[1] {
            return Err(format!(
                "{what}: a kernel of {}×{} is larger than the image of {}×{} with its padding, so \
                 nothing would be left; lower it, or pad more",
                kernel[0], kernel[1], whole[0], whole[1]
            ));
        }
        let out = |axis: usize| (whole[axis] - kernel[axis]) / stride[axis] + 1;
        Ok((window, Shape { channels, height: out(0), width: out(1) }))
    }

    /// As [`Before::window`], refused where a window would see padding alone.
    fn pool(
        &self,
        what: &str,
        size: Extent,
        stride: Option<Extent>,
        padding: Padding,
    ) -> Result<(Window, Shape), String> {
        let (window, output) = self.window(what, size, stride.unwrap_or(size), padding)?;
        let sizes = [(self.shape.height, output.height), (self.shape.width, output.width)];
        for (axis, (size, out)) in sizes.into_iter().enumerate() {
            let last = (out - 1) * window.stride[axis];
            if window.before[axis] >= window.kernel[axis] || last >= size + window.before[axis] {
                return Err(format!(
                    "{what}: a window would see nothing but padding; pad less than its size"
                ));
            }
        }
        Ok((window, output))
    }
}

fn above_zero(what: &str, sizes: &[usize]) -> Result<(), String> {
    if sizes.contains(&0) { Err(format!("{what} must be at least 1")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::padded;

    /// The window along one axis: padding before, and outputs.
    fn along(size: usize, kernel: usize, stride: usize, padding: Padding) -> [usize; 2] {
        let before = Before {
            shape: Shape { channels: 1, height: size, width: size },
            image: true,
            packed_offset: 0,
            canonical_offset: 0,
            counts: [0; 3],
        };
        let (window, out) = before.window("x", kernel.into(), stride.into(), padding).unwrap();
        [window.before[0], out.height]
    }

    #[test]
    fn same_padding_is_tensorflows() {
        assert_eq!(along(28, 3, 2, Padding::SAME), [0, 14]);
        assert_eq!(along(14, 3, 2, Padding::SAME), [0, 7]);
        assert_eq!(along(7, 3, 2, Padding::SAME), [1, 4]);
        assert_eq!(along(4, 3, 2, Padding::SAME), [0, 2]);
        assert_eq!(along(84, 3, 1, Padding::SAME), [1, 84]);
        assert_eq!(along(21, 2, 2, Padding::SAME), [0, 11], "one row of padding behind");
        assert_eq!(along(5, 1, 3, Padding::SAME), [0, 2]);
    }

    #[test]
    fn other_paddings_count_as_written() {
        assert_eq!(along(7, 3, 2, Padding::VALID), [0, 3]);
        assert_eq!(along(7, 3, 2, Padding::All(1)), [1, 4]);
        assert_eq!(along(7, 3, 2, Padding::Sides([2, 0, 2, 0])), [2, 4]);
    }

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
        let nothing = image().layer(LayerSpec::GlobalPool);
        assert!(message(nothing).contains("no layer has parameters"));
        let padding = image().max_pool(2, Padding::All(2)).dense(2, Activation::Linear);
        assert!(message(padding).contains("nothing but padding"));
        let flat = image().layer(LayerSpec::Flatten).batch_norm(Activation::Relu);
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
            .layer(LayerSpec::Flatten)
            .dense(2, Activation::Linear);
        let layers = layers(&spec).unwrap();
        assert_eq!(layers.len(), 4);
        assert_eq!(layers[0].op, Op::AveragePool(Window::POINT));
        assert_eq!(layers[2].activation, Activation::Relu);
        assert_eq!((layers[3].inputs(), layers[3].inputs_padded()), (80, 128));
        let offsets: Vec<usize> = layers.iter().map(|layer| layer.packed_offset).collect();
        let conv = (28 + 1) * padded(5);
        assert_eq!(offsets, [0, 0, conv, conv]);
    }
}
