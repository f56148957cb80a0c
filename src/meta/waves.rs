//! The tasks of a meta-iteration, in as many waves as the device needs: their buffers are used again,
//! and the sums over tasks go on from wave to wave in the same order.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Memory, size_of_f32s};
use crate::kernels::{Axis, RunSteps, Tiles};
use crate::meta::inner::{
    InnerLoop, Plan, choose, chunk_candidates, plan_layers, seen_buffer, set_buffers,
};
use crate::meta::setup::{RING, TrainerSetup, remedy};
use crate::meta::source::{Origin, TaskBuffers};
use crate::meta::spec::{PlanKind, StatePolicy};

impl TrainerSetup {
    /// The plan of the inner loops on `gpu`, and the runs of inner steps that it takes.
    fn plan_on(&self, gpu: &Gpu) -> Result<Plan> {
        let (rule, rows, split) = (self.rule(), self.origin.has_rows(), self.splits_last());
        choose(gpu, &self.model, rule, rows, self.wanted_plan(), &self.batches, split)
    }

    /// Whether the inner loops run fused on `gpu`.
    ///
    /// # Errors
    /// [`Error::Config`] if the plan is impossible.
    #[cfg_attr(not(feature = "tune"), allow(dead_code))]
    pub(crate) fn is_fused(&self, gpu: &Gpu) -> Result<bool> {
        Ok(self.plan_on(gpu)?.0 == PlanKind::Fused)
    }

    /// How many tasks may go through the layers at a time.
    ///
    /// # Errors
    /// As [`sizes`].
    #[cfg_attr(not(feature = "tune"), allow(dead_code))]
    pub(crate) fn chunk_candidates(&self, gpu: &Gpu) -> Result<Tiles> {
        let setup = self.on_device();
        chunk_candidates(gpu, &setup.model, setup.first_wave(gpu)?, setup.batches.batch)
    }

    /// Tasks of all runs that the device takes at once.
    ///
    /// # Errors
    /// As [`sizes`].
    #[cfg_attr(not(feature = "tune"), allow(dead_code))]
    pub(crate) fn tasks_at_once(&self, gpu: &Gpu) -> Result<usize> {
        Ok(self.on_device().first_wave(gpu)?.tasks())
    }

    #[cfg_attr(not(feature = "tune"), allow(dead_code))]
    fn first_wave(&self, gpu: &Gpu) -> Result<Axis> {
        Ok(Axis { runs: self.runs, per_run: sizes(gpu, self, usize::MAX)?[0] })
    }
}

/// Some tasks of every run.
#[derive(Clone, Debug)]
pub(super) struct Wave {
    /// Number of the first of them in its run.
    pub first_task: usize,
    pub axis: Axis,
    pub tasks: Arc<TaskBuffers>,
    pub inner: Arc<InnerLoop>,
}

/// Tasks of a run in each wave: as many as the device binds and dispatches at once, at most `most`, in
/// waves of equal size but for the last.
///
/// # Errors
/// [`Error::Limit`] if it has no room for one task of every run, or for the state of all slots;
/// [`Error::Config`] if the plan is impossible.
pub(super) fn sizes(gpu: &Gpu, setup: &TrainerSetup, most: usize) -> Result<Vec<usize>> {
    let one = Axis { runs: setup.runs, per_run: 1 };
    let mut memory = Memory::default();
    plan_tasks(&mut memory, gpu, setup, one)?;
    memory.check(gpu, remedy)?;
    let profile = gpu.profile();
    // Sums over tasks take a round of a task, those of telemetry two or more.
    let rounds = profile.loop_rounds.map_or(u64::MAX, |rounds| rounds as u64 / 2);
    let at_once = (profile.largest_binding / memory.largest().max(1))
        .min(u64::from(profile.largest_grid) / setup.runs.max(1) as u64)
        .min(rounds)
        .min(most as u64)
        .max(1) as usize;
    let all = setup.outer.meta_batch;
    let waves = all.div_ceil(at_once).max(1);
    let (settings, available) =
        (RunSteps::bytes(gpu, setup.runs, RING).saturating_mul(waves as u64), u64::from(u32::MAX));
    if settings > available {
        return Err(Error::Limit {
            unit: "bytes",
            what: format!("iteration settings of {waves} waves of tasks"),
            needed: settings,
            available,
            remedy: "lower outer.meta_batch, runs or the layers' sizes".into(),
        });
    }
    if waves > 1 && setup.inner.state == StatePolicy::Slot && setup.rule().kept().any() {
        let set = size_of_f32s(setup.runs * all * setup.model.packed_len());
        return Err(Error::Limit {
            unit: "bytes",
            what: "the optimiser state of every task slot".into(),
            needed: set,
            available: profile.largest_binding,
            remedy: "lower outer.meta_batch or runs, or set inner.state = \"mean\"".into(),
        });
    }
    if waves > 1 && matches!(setup.origin, Origin::Rows { .. }) {
        let message = format!(
            "{all} tasks that the caller fills are there at once, and this device takes {at_once}; lower it, runs or the \
             layers' sizes"
        );
        return Err(Error::config("outer.meta_batch", message));
    }
    let size = all.div_ceil(waves);
    Ok((0..all).step_by(size.max(1)).map(|first| size.min(all - first)).collect())
}

/// Adds the buffers of a wave of `axis` to `memory`.
///
/// # Errors
/// As [`sizes`].
pub(super) fn plan(memory: &mut Memory, gpu: &Gpu, setup: &TrainerSetup, axis: Axis) -> Result<()> {
    let (kind, segments) = plan_tasks(memory, gpu, setup, axis)?;
    plan_layers(memory, gpu, &setup.model, axis, &segments, kind)
}

/// The buffers that grow with the number of tasks.
fn plan_tasks(memory: &mut Memory, gpu: &Gpu, setup: &TrainerSetup, axis: Axis) -> Result<Plan> {
    let (model, batches) = (&setup.model, &setup.batches);
    let plan = setup.plan_on(gpu)?;
    set_buffers(model, setup.rule(), axis, &plan.1).plan(memory);
    if plan.0 == PlanKind::Layered {
        memory.read(size_of_f32s(axis.tasks() * model.packed_len()));
    }
    if setup.telemetry {
        seen_buffer(model, axis).plan(memory);
    }
    TaskBuffers::plan(memory, gpu, model, &setup.origin, axis, batches, &[]);
    Ok(plan)
}

/// Allocates waves of `sizes` tasks a run; those of one size share their buffers.
///
/// # Errors
/// As [`InnerLoop::new`].
pub(super) fn allocate(gpu: &Gpu, setup: &TrainerSetup, sizes: &[usize]) -> Result<Vec<Wave>> {
    let (model, rule, split) = (&setup.model, setup.rule(), setup.splits_last());
    let steps = (setup.outer.meta_batch as u64).saturating_mul(setup.batches.steps as u64);
    let work = setup.iterations.saturating_mul(steps);
    let mut waves: Vec<Wave> = Vec::with_capacity(sizes.len());
    let mut first_task = 0;
    for size in sizes {
        let axis = Axis { runs: setup.runs, per_run: *size };
        let wave = match waves.iter().find(|wave| wave.axis == axis) {
            Some(wave) => Wave { first_task, ..wave.clone() },
            None => {
                let (origin, batches) = (setup.origin.clone(), setup.batches.clone());
                let tasks = TaskBuffers::new(gpu, model, origin, axis, batches, false)?;
                let plan = setup.wanted_plan();
                let mut inner = InnerLoop::new(gpu, model, rule, &tasks, plan, split, work)?;
                if setup.telemetry {
                    inner = inner.seeing(gpu)?;
                }
                Wave { first_task, axis, tasks: Arc::new(tasks), inner: Arc::new(inner) }
            }
        };
        waves.push(wave);
        first_task += size;
    }
    Ok(waves)
}
