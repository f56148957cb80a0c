//! Pooling: the largest or the mean of each window, channel by channel. Padding never counts: it is
//! −∞ for the maximum, and the mean is over the pixels inside the image.

use super::window::sources;
use crate::model::{Layer, Window};

/// The largest number of each window, `[B, C, H', W']`, for `x` `[B, C, H, W]`.
pub fn max_pool_forward(layer: &Layer, window: Window, x: &[f64]) -> Vec<f64> {
    pooled(layer, window, x, |plane, seen| plane[first_largest(plane, seen)])
}

/// dL/dx `[B, C, H, W]` from `dz` = dL/dz `[B, C, H', W']` and the layer's input `x`: all of it goes
/// to the largest number of a window, of equal ones to the first, row by row (as in PyTorch and
/// TensorFlow).
pub fn max_pool_backward(layer: &Layer, window: Window, x: &[f64], dz: &[f64]) -> Vec<f64> {
    let planes: Vec<&[f64]> = x.chunks_exact(layer.input.pixels()).collect();
    spread(layer, window, dz, |plane, dx, seen, dz| dx[first_largest(planes[plane], seen)] += dz)
}

/// The mean of each window, `[B, C, H', W']`, for `x` `[B, C, H, W]`.
pub fn average_pool_forward(layer: &Layer, window: Window, x: &[f64]) -> Vec<f64> {
    pooled(layer, window, x, |plane, seen| {
        inside(seen).map(|pixel| plane[pixel]).sum::<f64>() / inside(seen).count() as f64
    })
}

/// dL/dx `[B, C, H, W]` from `dz` = dL/dz `[B, C, H', W']`: every pixel of a window gets the same
/// share.
pub fn average_pool_backward(layer: &Layer, window: Window, dz: &[f64]) -> Vec<f64> {
    spread(layer, window, dz, |_, dx, seen, dz| {
        inside(seen).for_each(|pixel| dx[pixel] += dz / inside(seen).count() as f64);
    })
}

/// `pool(plane of x, pixels of the window)` of each window of each plane.
fn pooled(
    layer: &Layer,
    window: Window,
    x: &[f64],
    pool: impl Fn(&[f64], &[Option<usize>]) -> f64,
) -> Vec<f64> {
    let sources = sources(layer, window);
    let mut z = Vec::with_capacity(x.len() / layer.inputs() * layer.outputs());
    for plane in x.chunks_exact(layer.input.pixels()) {
        z.extend(sources.chunks_exact(window.taps()).map(|seen| pool(plane, seen)));
    }
    z
}

/// Calls `add(number of the plane, plane of dx, pixels of the window, its dz)` for each window of
/// each plane.
fn spread(
    layer: &Layer,
    window: Window,
    dz: &[f64],
    add: impl Fn(usize, &mut [f64], &[Option<usize>], f64),
) -> Vec<f64> {
    let sources = sources(layer, window);
    let mut dx = vec![0.0; dz.len() / layer.outputs() * layer.inputs()];
    let planes = dx.chunks_exact_mut(layer.input.pixels());
    for (plane, (dx, dz)) in planes.zip(dz.chunks_exact(layer.output.pixels())).enumerate() {
        for (seen, dz) in sources.chunks_exact(window.taps()).zip(dz) {
            add(plane, dx, seen, *dz);
        }
    }
    dx
}

/// The pixels of a window that are not padding.
fn inside(seen: &[Option<usize>]) -> impl Iterator<Item = usize> {
    seen.iter().flatten().copied()
}

fn first_largest(plane: &[f64], seen: &[Option<usize>]) -> usize {
    let larger = |best, pixel| if plane[pixel] > plane[best] { pixel } else { best };
    inside(seen).reduce(larger).expect("no window sees padding alone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Extent, LayerSpec, Model, ModelSpec, Op, Padding};

    /// A pooling; of the mean if `average`.
    fn layer(
        input: [usize; 3],
        size: Extent,
        stride: Extent,
        padding: Padding,
        average: bool,
    ) -> (Layer, Window) {
        let stride = Some(stride);
        let pool = match average {
            true => LayerSpec::AveragePool { size, stride, padding },
            false => LayerSpec::MaxPool { size, stride, padding },
        };
        let spec = ModelSpec::builder(&input).layer(pool).dense(1, Activation::Linear);
        let layer = Model::new(spec).unwrap().layers()[0].clone();
        let (Op::MaxPool(window) | Op::AveragePool(window)) = layer.op else {
            panic!("{layer:?} is no pooling")
        };
        (layer, window)
    }

    #[test]
    fn overlapping_windows_add_up_and_of_equal_numbers_the_first_wins() {
        let (layer, window) = layer([2, 3, 3], 2.into(), 1.into(), Padding::VALID, false);
        let x = [
            [5.0, 1.0, 2.0, /* */ 5.0, 5.0, 3.0, /* */ 0.0, 4.0, 9.0],
            [1.0, 1.0, 2.0, /* */ 5.0, 7.0, 3.0, /* */ 0.0, 4.0, 9.0],
        ]
        .concat();
        assert_eq!(
            max_pool_forward(&layer, window, &x),
            [5.0, 5.0, 5.0, 9.0, /* */ 7.0, 7.0, 7.0, 9.0]
        );
        let dz = [1.0, 2.0, 4.0, 8.0].repeat(2);
        let dx = [
            [1.0, 0.0, 0.0, /* */ 4.0, 2.0, 0.0, /* */ 0.0, 0.0, 8.0],
            [0.0, 0.0, 0.0, /* */ 0.0, 7.0, 0.0, /* */ 0.0, 0.0, 8.0],
        ]
        .concat();
        assert_eq!(max_pool_backward(&layer, window, &x, &dz), dx);
    }

    #[test]
    fn padding_is_below_every_number() {
        let (layer, window) = layer([1, 1, 3], [1, 2].into(), [1, 2].into(), Padding::SAME, false);
        let x = [-1.0, -2.0, -3.0];
        assert_eq!(max_pool_forward(&layer, window, &x), [-1.0, -3.0]);
        assert_eq!(max_pool_backward(&layer, window, &x, &[1.0, 2.0]), [1.0, 0.0, 2.0]);
    }

    #[test]
    fn means_at_the_border_are_over_the_image_alone() {
        let (layer, window) = layer([1, 3, 3], 2.into(), 2.into(), Padding::SAME, true);
        let x: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!(average_pool_forward(&layer, window, &x), [3.0, 4.5, 7.5, 9.0]);
        assert_eq!(
            average_pool_backward(&layer, window, &[4.0, 2.0, 6.0, 5.0]),
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 5.0]
        );
    }
}
