//! What a layer is given to record its forward and its backward pass.

use crate::dispatch::{Argument, InnerSteps, Update};
use crate::layers::activation::Activation;
use crate::layers::place::Place;

/// Batches of examples that a kernel takes at once. Several may share a task's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Batches G.
    pub count: usize,
    /// Batches with the same parameters: batch g has those of task g / sharers.
    pub sharers: usize,
    /// Examples B of a batch.
    pub examples: usize,
    /// Vectors of a parameter set.
    pub stride: usize,
    /// The inner step; it names the first batch's task.
    pub inner: (&'a InnerSteps, usize),
}

impl<'a> Batch<'a> {
    /// The inner step as an argument.
    pub(crate) fn argument(&self) -> Argument<'a> {
        Argument::Inner(self.inner.0, self.inner.1)
    }

    /// Words of so many of every example.
    pub(crate) fn values(&self, words: usize) -> usize {
        self.count * self.examples * words
    }

    /// Words of so many of every parameter set.
    pub(crate) fn sets(&self, words: usize) -> usize {
        self.count.div_ceil(self.sharers) * words
    }

    /// Multiply-adds of a pass through `layer`.
    pub(crate) fn products(&self, layer: &Place) -> u64 {
        (self.count * self.examples) as u64 * layer.products()
    }
}

/// What a layer makes, `[G, B, …output]`.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// After the activation.
    pub h: &'a wgpu::Buffer,
    /// Before the activation; written only if `keep_z`.
    pub z: &'a wgpu::Buffer,
    /// Whether the backward pass needs `z`.
    pub keep_z: bool,
}

impl Outputs<'_> {
    /// How often each value is written.
    pub(crate) fn copies(&self) -> usize {
        1 + usize::from(self.keep_z)
    }
}

/// What lies below a layer on the way back: its inputs and the activation that made them.
#[derive(Clone, Copy, Debug)]
pub struct Below<'a> {
    /// The activation that made `h`; the identity for the inputs of the network.
    pub activation: Activation,
    /// `[G, B, …input]`: after the activation.
    pub h: &'a wgpu::Buffer,
    /// Before the activation; read for GELU alone.
    pub z: &'a wgpu::Buffer,
}

impl Below<'_> {
    /// How many values the slope of the activation is made from: none where it is one, h or h and z.
    pub(crate) fn reads(&self) -> usize {
        match self.activation {
            Activation::Linear => 0,
            Activation::Gelu => 2,
            _ => 1,
        }
    }
}

/// A forward pass through a layer.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The batches.
    pub batch: Batch<'a>,
    /// `[T, packed]`
    pub theta: &'a wgpu::Buffer,
    /// `[G, B, …input]`
    pub x: &'a wgpu::Buffer,
    /// `[G, B, …output]`
    pub out: Outputs<'a>,
    /// What the layer keeps of a batch for the way back ([`Layer::statistics`](crate::layers::Layer::statistics)).
    pub statistics: &'a wgpu::Buffer,
}

/// A backward pass through a layer, with the inner step on its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// The batches.
    pub batch: Batch<'a>,
    /// The inner step.
    pub update: &'a Update<'a>,
    /// `[G, B, …input]`: the layer's inputs, and what made them.
    pub below: Below<'a>,
    /// `[G, B, …output]`: the gradient by the outputs before their activation.
    pub d: &'a wgpu::Buffer,
    /// `[G, B, …input]`: the gradient by the inputs before theirs, where it is wanted and not in place of `d`.
    pub dx: &'a wgpu::Buffer,
    /// As in [`Forward`].
    pub statistics: &'a wgpu::Buffer,
    /// Whether a layer below wants the gradient by the inputs.
    pub onward: bool,
}

/// Where a layer leaves the gradient by its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// In `d`.
    InPlace,
    /// In `dx`.
    Next,
}
