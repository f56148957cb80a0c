//! A network's layers as dispatches over all batches at once: forward, and backward with the inner
//! step on every layer's parameters.

use std::ops::Range;

use crate::error::Result;
use crate::gpu::{BufferList, Gpu, Memory, Recording, size_of_f32s};
use crate::kernels::{Batch, Below, Outputs, Update};
use crate::layers::{Backward, Forward, Left};
use crate::model::{Activation, Layer, Model};

/// What becomes of a layer's values once the next one has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// They are kept for the way back.
    All,
    /// Two buffers take turns.
    Nothing,
}

/// What one layer makes.
#[derive(Clone, Debug)]
struct Values {
    /// `[G, B, …output]`
    h: wgpu::Buffer,
    /// As `h`, before the activation: for GELU, where the way back needs it.
    z: wgpu::Buffer,
    /// What the layer keeps beside them, [`Layer::statistics`] of each batch.
    statistics: wgpu::Buffer,
}

/// Buffers for the values of all layers on G batches of B examples.
#[derive(Clone, Debug)]
pub struct Layers {
    model: Model,
    keep: Keep,
    /// One a layer; without keeping, two that take turns.
    values: Vec<Values>,
    /// Gradients by layers' outputs before their activations; they take turns.
    gradients: [wgpu::Buffer; 2],
}

/// Floats of the buffers of [`Values`] (h, z, statistics) for `batches` batches of `examples`.
fn sizes(layer: &Layer, keep: Keep, batches: usize, examples: usize) -> [usize; 3] {
    let h = batches * examples * layer.outputs_padded();
    let z = if keeps_z(layer, keep) { h } else { 0 };
    let statistics = batches * layer.statistics(examples);
    [h, z, statistics]
}

/// Whether a layer's values before its activation are kept.
fn keeps_z(layer: &Layer, keep: Keep) -> bool {
    keep == Keep::All && layer.activation == Activation::Gelu
}

/// Sizes of all buffers of values, in floats.
fn all_sizes(model: &Model, keep: Keep, batches: usize, examples: usize) -> Vec<[usize; 3]> {
    let layers = model.layers().iter().map(|layer| sizes(layer, keep, batches, examples));
    match keep {
        Keep::All => layers.collect(),
        Keep::Nothing => {
            let mut turns = vec![[0; 3]; 2];
            for (index, layer) in layers.enumerate() {
                let turn: &mut [usize; 3] = &mut turns[index % 2];
                *turn = [0, 1, 2].map(|buffer| turn[buffer].max(layer[buffer]));
            }
            turns
        }
    }
}

/// The buffers of [`Values`].
fn value_buffers([h, z, statistics]: [usize; 3]) -> BufferList<3> {
    BufferList([("activations", h), ("pre-activations", z), ("batch statistics", statistics)])
}

/// The two buffers of gradients.
fn gradient_buffers(model: &Model, keep: Keep, batches: usize, examples: usize) -> BufferList<2> {
    let below = &model.layers()[..model.layers().len() - 1];
    let largest = below.iter().map(|layer| layer.outputs_padded()).max().unwrap_or(0);
    let floats = if keep == Keep::All { batches * examples * largest } else { 0 };
    BufferList([("gradients", floats); 2])
}

impl Layers {
    /// Adds the buffers of [`Layers::new`] to `memory`.
    pub fn plan(memory: &mut Memory, model: &Model, keep: Keep, batches: usize, examples: usize) {
        let sizes = all_sizes(model, keep, batches, examples);
        // The next layer reads h; that of the last is for the loss.
        let (last, below) = sizes.split_last().expect("a network has layers");
        let read = if keep == Keep::All { below } else { &sizes };
        read.iter().for_each(|[h, ..]| memory.read(size_of_f32s(*h)));
        for sizes in below.iter().chain([last]) {
            value_buffers(*sizes).plan(memory);
        }
        let gradients = gradient_buffers(model, keep, batches, examples);
        gradients.plan(memory);
        gradients.0.iter().for_each(|(_, floats)| memory.read(size_of_f32s(*floats)));
    }

    /// Bytes of the largest buffer for one batch of `examples`.
    pub fn largest(model: &Model, keep: Keep, examples: usize) -> u64 {
        let largest = all_sizes(model, keep, 1, examples).into_iter().flatten().max();
        size_of_f32s(largest.unwrap_or(0))
    }

    /// Allocates the buffers for `batches` batches of `examples`.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] if the device has no room.
    pub fn new(
        gpu: &Gpu,
        model: &Model,
        keep: Keep,
        batches: usize,
        examples: usize,
    ) -> Result<Self> {
        let values = all_sizes(model, keep, batches, examples)
            .into_iter()
            .map(|sizes| {
                let [h, z, statistics] = value_buffers(sizes).allocate(gpu)?;
                Ok(Values { h, z, statistics })
            })
            .collect::<Result<_>>()?;
        let gradients = gradient_buffers(model, keep, batches, examples).allocate(gpu)?;
        Ok(Self { model: model.clone(), keep, values, gradients })
    }

    fn values(&self, layer: usize) -> &Values {
        match self.keep {
            Keep::All => &self.values[layer],
            Keep::Nothing => &self.values[layer % 2],
        }
    }

    /// `[G, B, out]`: predictions or logits (or their gradient, once the loss has replaced them).
    pub fn outputs(&self) -> &wgpu::Buffer {
        &self.values(self.model.layers().len() - 1).h
    }

    /// What layer `index` takes, where the network takes `x`.
    pub fn below<'a>(&'a self, index: usize, x: &'a wgpu::Buffer) -> Below<'a> {
        match index.checked_sub(1) {
            None => Below { activation: Activation::Linear, h: x, z: &self.values(0).statistics },
            Some(below) => {
                let Values { h, z, .. } = self.values(below);
                Below { activation: self.model.layers()[below].activation, h, z }
            }
        }
    }

    /// The gradient that a way back from the head starts with.
    pub fn first_gradient(&self) -> &wgpu::Buffer {
        &self.gradients[0]
    }

    /// The first layer that is trained: the way back ends there.
    pub fn first_trained(&self) -> usize {
        self.model.layers().iter().position(Layer::is_trained).unwrap_or(0)
    }

    /// The vectors of a packed set that are trained: those of the layers before are kept as they start.
    pub fn trained_vectors(&self) -> Range<usize> {
        let first = &self.model.layers()[self.first_trained()];
        first.packed_offset / 4..self.model.packed_len() / 4
    }

    /// Records the first `count` layers on `x` `[G, B, …input]` with parameters `theta` `[T, packed]`.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    pub fn forward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        batch: Batch<'_>,
        theta: &wgpu::Buffer,
        x: &wgpu::Buffer,
        count: usize,
    ) -> Result<()> {
        for (index, layer) in self.model.layers()[..count].iter().enumerate() {
            let input = self.below(index, x).h;
            let Values { h, z, statistics } = self.values(index);
            let values = Outputs { h, z, keep_z: keeps_z(layer, self.keep) };
            let pass = Forward { batch, theta, x: input, out: values, statistics };
            layer.record_forward(gpu, out, &pass)?;
        }
        Ok(())
    }

    /// Records the way back through the first `count` layers, with the inner step on each. `gradient`
    /// is the one by the outputs of the last of them before their activation.
    ///
    /// # Errors
    /// See [`crate::kernels::call`].
    #[expect(clippy::too_many_arguments, reason = "a way and where it starts")]
    pub fn backward(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        batch: Batch<'_>,
        update: &Update<'_>,
        x: &wgpu::Buffer,
        count: usize,
        gradient: &wgpu::Buffer,
    ) -> Result<()> {
        let first = self.first_trained();
        let mut own = gradient;
        for (index, layer) in self.model.layers()[..count].iter().enumerate().skip(first).rev() {
            let below = self.below(index, x);
            let onward = index > first;
            let next = &self.gradients[usize::from(own == &self.gradients[0])];
            let statistics = &self.values(index).statistics;
            let pass = Backward { batch, update, below, d: own, dx: next, statistics, onward };
            if layer.record_backward(gpu, out, &pass)? == Left::Next {
                own = next;
            }
        }
        Ok(())
    }
}
