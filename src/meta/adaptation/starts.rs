//! What the tasks of a batch start from: given by the host, or what a trainer has learned.

use super::{Adaptation, AdaptationSetup};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, size_of_f32s};
use crate::meta::trainer::Trainer;
use crate::meta::training_state::{self, StartingPoint};
use crate::optimizers::Kept;

impl Adaptation {
    /// Sets what every task starts from; seen by what is submitted afterwards.
    ///
    /// # Errors
    /// [`Error::Config`] if a set of `start` is not as long as the network's parameters.
    pub fn start_from(&mut self, start: &StartingPoint) -> Result<()> {
        self.start_from_all(&vec![start; self.axis.runs])
    }

    /// Sets the starting points (at most as many as there are), which have seen equally many inner Adam steps.
    ///
    /// # Errors
    /// [`Error::Config`] if there are more, if a set of one is not as long as the network's parameters, or if the inner
    /// optimiser counts its steps and they have seen different numbers of them.
    pub fn start_from_each(&mut self, starts: &[StartingPoint]) -> Result<()> {
        self.start_from_all(&starts.iter().collect::<Vec<_>>())
    }

    fn start_from_all(&mut self, starts: &[&StartingPoint]) -> Result<()> {
        let model = &self.setup.model;
        self.check_starts(starts)?;
        let constant = |value: f32| vec![value; model.parameter_count()];
        let (rate, refines) = (self.setup.rate, self.refines());
        let upload = |buffer: &wgpu::Buffer, set: &dyn Fn(&StartingPoint) -> Vec<f32>| {
            let sets: Vec<Vec<f32>> = starts.iter().map(|start| set(start)).collect();
            training_state::upload(&self.gpu, model, buffer, &sets);
        };
        upload(&self.theta, &|start| self.masked(start.parameters.clone()));
        // A state that lacks a moment is another rule's: then all of it starts from zero.
        let Kept { first, second } = self.setup.rule.kept();
        let complete = |start: &StartingPoint| {
            let there = |kind: usize| start.state[kind].is_some();
            (there(0) || !second) && (there(1) || !first)
        };
        for (index, buffer) in self.state.iter().enumerate() {
            upload(buffer, &|start| match &start.sums {
                Some([_, squares]) if refines && index == 0 => squares.clone(),
                None if refines && index == 0 => constant(1.0),
                _ if complete(start) => start.state[index].clone().unwrap_or_else(|| constant(0.0)),
                _ => constant(0.0),
            });
        }
        if self.setup.rule.has_rates() {
            upload(&self.rates, &|start| match &start.sums {
                Some([ways, _]) if refines => ways.clone(),
                None if refines => constant(rate * rate),
                _ => start.rates.clone().unwrap_or_else(|| constant(rate)),
            });
        }
        let seen = starts.first().filter(|start| complete(start));
        self.adam_steps = seen.map_or(0, |start| start.adam_steps);
        Ok(())
    }

    fn check_starts(&self, starts: &[&StartingPoint]) -> Result<()> {
        let (model, most) = (&self.setup.model, self.axis.runs);
        let parameters: Vec<&Vec<f32>> = starts.iter().map(|start| &start.parameters).collect();
        training_state::check_sets("starting parameters", model, parameters.into_iter(), most)?;
        for start in starts {
            let moments = start.state.iter().flatten();
            let rates = start.rates.iter().chain(start.sums.iter().flatten());
            let sets: Vec<&Vec<f32>> = moments.chain(rates).collect();
            let count = sets.len();
            training_state::check_sets("state of a start", model, sets.into_iter(), count)?;
        }
        let counts = |start: &&&StartingPoint| start.adam_steps != starts[0].adam_steps;
        if let Some(other) = starts.iter().find(counts).filter(|_| self.setup.rule.kept().any()) {
            let message = format!(
                "one has seen {} inner steps, another {}; adapt from them in batches of their own",
                starts[0].adam_steps, other.adam_steps
            );
            return Err(Error::config("starting points", message));
        }
        Ok(())
    }

    /// Records that tasks start from what run `run` of `trainer` has learned by then, without a way
    /// over the host.
    ///
    /// # Errors
    /// [`Error::Config`] if the trainer is on another device, has another network, no such run, an optimiser state for
    /// each slot (a new task has no slot to take it from), no state or rates of this inner optimiser, or no sums yet for
    /// [`Refined`](crate::meta::InnerRule::Refined).
    pub fn record_start(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        trainer: &Trainer,
        run: usize,
    ) -> Result<()> {
        if !self.gpu.is(trainer.gpu()) {
            let message = "the trainer is on another device; start from its snapshot";
            return Err(Error::config("trainer", message));
        }
        if trainer.model().spec() != self.setup.model.spec() {
            return Err(Error::config(
                "model",
                "the trainer's network is another one; adapt with that",
            ));
        }
        if run >= trainer.runs() {
            let message = format!("there is no run {run}; the trainer has {}", trainer.runs());
            return Err(Error::config("run", message));
        }
        let Some((state, adam_steps)) = trainer.task_state() else {
            let message = "`slot` has no state for a new task; use `mean` or `reset`";
            return Err(Error::config("inner.state", message));
        };
        let sums = trainer.strategy_sums().filter(|_| self.refines() && trainer.iteration() > 0);
        if self.refines() && sums.is_none() {
            let message = "the trainer has no sums of ARUBA yet to go on from";
            return Err(Error::config("strategy.refine", message));
        }
        let bytes = size_of_f32s(self.setup.model.packed_len());
        let Kept { first, second } = self.setup.rule.kept();
        let moments = [second, first];
        // Another optimiser would take the moments for something else.
        let own = trainer.setup().rule().goes_on_from(&self.setup.rule);
        if sums.is_none() && moments.contains(&true) && !own {
            let message = "the trainer's inner optimiser keeps no such state; start from its snapshot, with a state of \
                           zeros";
            return Err(Error::config("rule", message));
        }
        if sums.is_none() && self.setup.rule.has_rates() && trainer.rates().is_none() {
            let message =
                "the trainer learns no rates; start from its snapshot, with the setup's rate";
            return Err(Error::config("rule", message));
        }
        let theta = &self.theta;
        encoder.copy_buffer_to_buffer(
            trainer.parameters(),
            run as u64 * bytes,
            theta,
            0,
            Some(bytes),
        );
        if let Some((mask, offset)) = &self.mask {
            encoder.copy_buffer_to_buffer(mask, 0, theta, *offset, Some(mask.size()));
        }
        let mut copy = |from: &wgpu::Buffer, to: &wgpu::Buffer| {
            encoder.copy_buffer_to_buffer(from, run as u64 * bytes, to, 0, Some(bytes));
        };
        if let Some([ways, squares]) = sums {
            copy(ways, &self.rates);
            copy(squares, &self.state[0]);
            return Ok(());
        }
        if let Some(rates) = trainer.rates().filter(|_| self.setup.rule.has_rates()) {
            copy(rates, &self.rates);
        }
        for ((_, from), to) in moments.iter().zip(state).filter(|(used, _)| **used).zip(&self.state)
        {
            copy(from, to);
        }
        self.adam_steps = adam_steps;
        Ok(())
    }

    /// `parameters` `[P]` as the tasks see them: without the outputs that they have no classes for.
    pub(super) fn masked(&self, parameters: Vec<f32>) -> Vec<f32> {
        match self.setup.classes {
            Some(classes) => {
                let masked = self.setup.model.masked(parameters, classes);
                masked.expect("a setup's classes are checked")
            }
            None => parameters,
        }
    }
}

/// The numbers that mask spare outputs, in a buffer, and where they lie in a packed set.
pub(super) fn mask(gpu: &Gpu, setup: &AdaptationSetup) -> Result<Option<(wgpu::Buffer, u64)>> {
    let model = &setup.model;
    let Some(classes) = setup.classes.filter(|classes| *classes < model.outputs()) else {
        return Ok(None);
    };
    // Every other number is a zero.
    let packed = model.pack(&model.masked(vec![0.0; model.parameter_count()], classes)?);
    let place = |value: &f32| *value != 0.0;
    let first = packed.iter().position(place).unwrap_or(0);
    let count = packed.iter().filter(|value| place(value)).count();
    let own = &packed[first..first + count];
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("mask of spare outputs"),
        size: size_of_f32s(count),
        usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(own));
    Ok(Some((buffer, size_of_f32s(first))))
}
