//! The memory of a trainer: a ring of the parameter sets that its last tasks were adapted to, on the device and
//! shared by all tasks.

use crate::error::Result;
use crate::gpu::{self, BufferList, Gpu, Recording};
use crate::kernels::{InnerRule, MemoryInsert, RunSteps, Statistic, memory_insert, memory_sums};
use crate::meta::setup::TrainerSetup;
use crate::meta::spec::MemorySpec;
use crate::meta::waves::Wave;

/// A memory's buffers, `[R, n, packed]` each; those that a job has no use for are empty.
#[derive(Debug)]
pub(super) struct Entries {
    pub spec: MemorySpec,
    pub parameters: wgpu::Buffer,
    /// The inner optimiser's second and first moments.
    pub state: [wgpu::Buffer; 2],
    /// What the entries' tasks told the strategy.
    pub statistics: wgpu::Buffer,
    /// [R, n]: the loss of each entry's last inner step.
    pub losses: wgpu::Buffer,
}

/// Whether a strategy is updated by all entries: what ARUBA sums up are all tasks ever already.
fn has_statistics(rule: InnerRule) -> bool {
    matches!(rule, InnerRule::Rates { statistic: Some(Statistic::Query | Statistic::Products), .. })
}

/// Which kinds of sets there are: parameters, second and first moments, statistics.
pub(super) fn kinds(setup: &TrainerSetup) -> [bool; 4] {
    let rule = setup.rule();
    let any = setup.memory.capacity > 0;
    [any, any && rule.kept().second, any && rule.kept().first, any && has_statistics(rule)]
}

impl Entries {
    /// Bytes of all.
    pub fn bytes(setup: &TrainerSetup) -> u64 {
        let mut memory = gpu::Memory::default();
        Self::plan(&mut memory, setup);
        memory.total()
    }

    fn buffers(setup: &TrainerSetup) -> BufferList<5> {
        let entries = setup.runs * setup.memory.capacity;
        let floats = entries * setup.model.packed_len();
        let [parameters, second, first, statistics] =
            kinds(setup).map(|used| ("memory", if used { floats } else { 0 }));
        BufferList([parameters, second, first, statistics, ("losses of the memory", entries)])
    }

    /// Adds the buffers to `memory`.
    pub fn plan(memory: &mut gpu::Memory, setup: &TrainerSetup) {
        if setup.memory.capacity > 0 {
            Self::buffers(setup).plan(memory);
        }
    }

    /// Allocates them; none if there is no memory.
    pub fn new(gpu: &Gpu, setup: &TrainerSetup) -> Result<Option<Self>> {
        if setup.memory.capacity == 0 {
            return Ok(None);
        }
        let [parameters, second, first, statistics, losses] = Self::buffers(setup).allocate(gpu)?;
        let state = [second, first];
        Ok(Some(Self { spec: setup.memory.clone(), parameters, state, statistics, losses }))
    }

    /// Records that a wave's tasks take their slots; `theta` `[R, packed]` is what they started from.
    pub fn record_insert(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        runs: &RunSteps,
        setup: &TrainerSetup,
        wave: &Wave,
        theta: &wgpu::Buffer,
    ) -> Result<()> {
        let (inner, rule) = (&wave.inner, setup.rule());
        let sources = [
            (&inner.theta, &self.parameters, 1),
            (&inner.state.second, &self.state[0], 1),
            (&inner.state.first, &self.state[1], 1),
            (&inner.state.second, &self.statistics, rule.planes()),
        ];
        let used = kinds(setup).into_iter().zip(sources).enumerate().filter(|(_, (used, _))| *used);
        for (kind, (_, (sets, entries, planes))) in used {
            let insert = MemoryInsert {
                axis: wave.axis,
                tasks: setup.outer.meta_batch,
                capacity: self.spec.capacity,
                vectors: setup.model.packed_len() / 4,
                planes,
                blend: if kind == 0 { self.spec.blend } else { 1.0 },
                parameters: kind == 0,
                steps: setup.batches.steps,
                guard: setup.strategy.guard(),
                sets,
                theta,
                losses: &inner.losses,
                entries,
                entry_losses: &self.losses,
            };
            memory_insert(gpu, out, runs, &insert)?;
        }
        Ok(())
    }

    /// Records a strategy's `sums` over all entries, where it takes them.
    pub fn record_sums(
        &self,
        gpu: &Gpu,
        out: &mut Recording,
        runs: &RunSteps,
        setup: &TrainerSetup,
        sums: &wgpu::Buffer,
    ) -> Result<()> {
        if !has_statistics(setup.rule()) {
            return Ok(());
        }
        let sizes = [setup.runs, self.spec.capacity, setup.model.packed_len() / 4];
        memory_sums(gpu, out, runs, sizes, &self.statistics, sums)
    }
}
