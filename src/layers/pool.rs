//! What poolings share, and the activation that stands alone (the mean of a window of one pixel):
//! `shaders/pool_forward.wgsl` and `shaders/pool_backward.wgsl`.

use crate::dispatch::{Argument, BLOCK, call};
use crate::error::Result;
use crate::gpu::{Gpu, Recording, Source, Work};
use crate::layers::activation::{ACTIVATION, Activation};
use crate::layers::matrix::window_constants;
use crate::layers::parameters::Parameters;
use crate::layers::shape::vectors;
use crate::layers::window::{Extent, Padding, pool_window};
use crate::layers::{Backward, Batch, Before, Forward, LayerType, Left, Made, Place};
#[cfg(feature = "onnx")]
use crate::{
    layers::{Own, window::Window},
    onnx::{Graph, Value},
};

/// What a pooling makes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The largest number.
    Max,
    /// The mean.
    Average,
}

/// A type of layer that is a pooling, or a function of each number, which is one of windows of one pixel.
pub(super) trait Pooling {
    /// What it makes of a window.
    const KIND: Kind;

    /// As [`LayerType::joins`].
    fn joins(&self) -> Option<Activation> {
        None
    }

    /// As [`LayerType::infer`].
    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String>;

    /// As [`LayerType::samples`].
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

impl<T: Pooling> LayerType for T {
    fn joins(&self) -> Option<Activation> {
        Pooling::joins(self)
    }

    fn infer(&self, before: &mut Before) -> Result<Option<Made>, String> {
        Pooling::infer(self, before)
    }

    fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Forward<'_>,
    ) -> Result<()> {
        pool_forward(gpu, out, place, T::KIND, pass)
    }

    fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        place: &Place,
        pass: &Backward<'_>,
    ) -> Result<Left> {
        pool_backward(gpu, out, place, T::KIND, pass)
    }

    #[cfg(feature = "reference")]
    fn twin_forward(&self, place: &Place, _: &[f64], x: &[f64]) -> Vec<f64> {
        twin::forward(place, T::KIND, x)
    }

    #[cfg(feature = "reference")]
    fn twin_backward(&self, place: &Place, _: &[f64], x: &[f64], dz: &[f64]) -> Vec<f64> {
        twin::backward(place, T::KIND, x, dz)
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, place: &Place, graph: &mut Graph, _: &Own<'_>, x: Value) -> Value {
        match T::KIND {
            // The mean of one pixel.
            Kind::Average if place.window == Window::POINT => x,
            Kind::Average => graph.add_with("AveragePool", &x, &[], place.onnx_window()),
            Kind::Max => graph.add_with("MaxPool", &x, &[], place.onnx_window()),
        }
    }

    fn samples() -> Vec<Self> {
        <T as Pooling>::samples()
    }
}

/// What the pooling `what` makes behind `before`.
pub(super) fn infer(
    before: &Before,
    what: &str,
    size: Extent,
    stride: Option<Extent>,
    padding: Padding,
) -> Result<Option<Made>, String> {
    let (window, output) = pool_window(before, what, size, stride, padding)?;
    let (parameters, activation) = (Parameters::None, Activation::Linear);
    Ok(Some(Made { name: None, output, window, parameters, activation }))
}

/// Adds what both directions share.
fn with_window(source: Source, place: &Place, kind: Kind, batch: Batch<'_>) -> Source {
    let library = match kind {
        Kind::Max => shader!("lib/pool_max.wgsl"),
        Kind::Average => shader!("lib/pool_average.wgsl"),
    };
    window_constants(source, place)
        .library(ACTIVATION)
        .library(shader!("lib/pool_window.wgsl"))
        .library(library)
        .constant("BLOCK", BLOCK)
        .constant("BATCH", batch.examples)
        .constant("C4", vectors(place.output.channels))
}

/// Records h = activation(pool(x)): `x` `[G, B, …input]`, `out` `[G, B, …output]`.
///
/// # Errors
/// See [`call`].
fn pool_forward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    kind: Kind,
    pass: &Forward<'_>,
) -> Result<()> {
    let Forward { batch, x, out, .. } = *pass;
    let source = Source::new("pool_forward", shader!("pool_forward.wgsl"))
        .constant("CHANNELS", place.output.channels)
        .constant("ACTIVATION", place.activation.kind())
        .constant("KEEP_Z", out.keep_z);
    let arguments =
        [Argument::Buffer("x", x), Argument::Buffer("h", out.h), Argument::Buffer("z", out.z)];
    let blocks = (batch.examples * place.outputs_padded() / 4).div_ceil(BLOCK);
    let source = with_window(source, place, kind, batch);
    let values = place.inputs_padded() + out.copies() * place.outputs_padded();
    let work = Work::words(batch.values(values)).of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)
}

/// Records the way back: `d` `[G, B, …output]`, `below` and `dx` `[G, B, …input]`.
///
/// # Errors
/// See [`call`].
fn pool_backward(
    gpu: &Gpu,
    recording: &mut Recording,
    place: &Place,
    kind: Kind,
    pass: &Backward<'_>,
) -> Result<Left> {
    let Backward { batch, below, d, dx, .. } = *pass;
    let source = Source::new("pool_backward", shader!("pool_backward.wgsl"))
        .constant("ACTIVATION", below.activation.kind());
    let arguments = [
        Argument::Buffer("d", d),
        Argument::Buffer("x", below.h),
        Argument::Buffer("z", below.z),
        Argument::Buffer("dx", dx),
    ];
    let blocks = (batch.examples * place.inputs_padded() / 4).div_ceil(BLOCK);
    let source = with_window(source, place, kind, batch);
    // A maximum is looked for again.
    let reads = below.reads().max(usize::from(kind == Kind::Max));
    let values = place.outputs_padded() + (1 + reads) * place.inputs_padded();
    let work = Work::words(batch.values(values)).of_layer(&place.name);
    call(gpu, recording, &source, &arguments, [blocks, batch.count, 1], work)?;
    Ok(Left::Next)
}

/// In float64. Padding never counts: it is −∞ for the maximum, and the mean is over the pixels inside the image.
#[cfg(feature = "reference")]
mod twin {
    use super::Kind;
    use crate::layers::place::Place;
    use crate::layers::window::sources;

    /// What the windows hold, `[B, C, H', W']`, for `x` `[B, C, H, W]`.
    pub fn forward(place: &Place, kind: Kind, x: &[f64]) -> Vec<f64> {
        match kind {
            Kind::Max => max_pool_forward(place, x),
            Kind::Average => average_pool_forward(place, x),
        }
    }

    /// dL/dx `[B, C, H, W]` from `dz` = dL/dz `[B, C, H', W']`.
    pub fn backward(place: &Place, kind: Kind, x: &[f64], dz: &[f64]) -> Vec<f64> {
        match kind {
            Kind::Max => max_pool_backward(place, x, dz),
            Kind::Average => average_pool_backward(place, dz),
        }
    }

    /// The largest number of each window, `[B, C, H', W']`, for `x` `[B, C, H, W]`.
    fn max_pool_forward(place: &Place, x: &[f64]) -> Vec<f64> {
        pooled(place, x, |plane, seen| plane[first_largest(plane, seen)])
    }

    /// dL/dx `[B, C, H, W]` from `dz` = dL/dz `[B, C, H', W']` and the layer's input `x`: all of it goes
    /// to the largest number of a window, of equal ones to the first, row by row (as in PyTorch and
    /// TensorFlow).
    fn max_pool_backward(place: &Place, x: &[f64], dz: &[f64]) -> Vec<f64> {
        let planes: Vec<&[f64]> = x.chunks_exact(place.input.pixels()).collect();
        spread(place, dz, |plane, dx, seen, dz| dx[first_largest(planes[plane], seen)] += dz)
    }

    /// The mean of each window, `[B, C, H', W']`, for `x` `[B, C, H, W]`.
    fn average_pool_forward(place: &Place, x: &[f64]) -> Vec<f64> {
        pooled(place, x, |plane, seen| {
            inside(seen).map(|pixel| plane[pixel]).sum::<f64>() / inside(seen).count() as f64
        })
    }

    /// dL/dx `[B, C, H, W]` from `dz` = dL/dz `[B, C, H', W']`: every pixel of a window gets the same
    /// share.
    fn average_pool_backward(place: &Place, dz: &[f64]) -> Vec<f64> {
        spread(place, dz, |_, dx, seen, dz| {
            inside(seen).for_each(|pixel| dx[pixel] += dz / inside(seen).count() as f64);
        })
    }

    /// `pool(plane of x, pixels of the window)` of each window of each plane.
    fn pooled(
        place: &Place,
        x: &[f64],
        pool: impl Fn(&[f64], &[Option<usize>]) -> f64,
    ) -> Vec<f64> {
        let sources = sources([place.input, place.output], place.window);
        let mut z = Vec::with_capacity(x.len() / place.inputs() * place.outputs());
        for plane in x.chunks_exact(place.input.pixels()) {
            z.extend(sources.chunks_exact(place.window.taps()).map(|seen| pool(plane, seen)));
        }
        z
    }

    /// Calls `add(number of the plane, plane of dx, pixels of the window, its dz)` for each window of
    /// each plane.
    fn spread(
        place: &Place,
        dz: &[f64],
        add: impl Fn(usize, &mut [f64], &[Option<usize>], f64),
    ) -> Vec<f64> {
        let sources = sources([place.input, place.output], place.window);
        let mut dx = vec![0.0; dz.len() / place.outputs() * place.inputs()];
        let planes = dx.chunks_exact_mut(place.input.pixels());
        for (plane, (dx, dz)) in planes.zip(dz.chunks_exact(place.output.pixels())).enumerate() {
            for (seen, dz) in sources.chunks_exact(place.window.taps()).zip(dz) {
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
}
