//! Parameter sets between host (canonical) and device (packed).

use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::Model;

/// Everything that training goes on from, in canonical layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Meta-iterations done.
    pub iteration: u64,
    /// Inner Adam steps that the state has seen.
    pub adam_steps: u64,
    /// Independent runs R.
    pub runs: usize,
    /// `[R][P]`
    pub parameters: Vec<Vec<f32>>,
    /// `[R][P]`, or `[R · M][P]` with the policy `slot`; empty where there is none.
    pub inner_second: Vec<Vec<f32>>,
    /// Likewise.
    pub inner_first: Vec<Vec<f32>>,
    /// `[R][P]` momentum or Adam's first moment; empty where there is none.
    pub outer_first: Vec<Vec<f32>>,
    /// `[R][P]` Adam's second moment; empty where there is none.
    pub outer_second: Vec<Vec<f32>>,
}

impl Snapshot {
    /// The state of single runs of snapshots at one iteration, as the runs of one snapshot.
    ///
    /// # Panics
    /// If there is no run.
    pub fn of_runs(runs: &[(&Self, usize)]) -> Self {
        let pick = |sets: fn(&Self) -> &Vec<Vec<f32>>| -> Vec<Vec<f32>> {
            let of_run = |&(from, run): &(&Self, usize)| {
                let per_run = sets(from).len() / from.runs;
                sets(from)[run * per_run..][..per_run].to_vec()
            };
            runs.iter().flat_map(of_run).collect()
        };
        Self {
            iteration: runs[0].0.iteration,
            adam_steps: runs[0].0.adam_steps,
            runs: runs.len(),
            parameters: pick(|from| &from.parameters),
            inner_second: pick(|from| &from.inner_second),
            inner_first: pick(|from| &from.inner_first),
            outer_first: pick(|from| &from.outer_first),
            outer_second: pick(|from| &from.outer_second),
        }
    }

    /// Whether everything of a run is finite.
    pub fn is_finite(&self, run: usize) -> bool {
        let sets = [
            &self.parameters,
            &self.inner_second,
            &self.inner_first,
            &self.outer_first,
            &self.outer_second,
        ];
        sets.into_iter().all(|sets| {
            let per_run = sets.len() / self.runs;
            sets[run * per_run..][..per_run].iter().flatten().all(|value| value.is_finite())
        })
    }

    /// The inner optimiser state that a new task of `run` starts from: second and first moment,
    /// the mean over slots where each slot has its own; none if there is none.
    pub fn task_state(&self, run: usize) -> [Option<Vec<f32>>; 2] {
        [&self.inner_second, &self.inner_first].map(|sets| {
            let per_run = sets.len() / self.runs;
            (per_run > 0).then(|| mean(&sets[run * per_run..][..per_run]))
        })
    }
}

fn mean(sets: &[Vec<f32>]) -> Vec<f32> {
    (0..sets[0].len())
        .map(|i| sets.iter().map(|set| set[i]).sum::<f32>() / sets.len() as f32)
        .collect()
}

/// Writes canonical `sets` to a packed buffer `[sets, packed]`.
pub(crate) fn upload(gpu: &Gpu, model: &Model, buffer: &wgpu::Buffer, sets: &[Vec<f32>]) {
    let packed: Vec<f32> = sets.iter().flat_map(|set| model.pack(set)).collect();
    gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&packed));
}

/// Reads `count` packed sets back as canonical ones.
///
/// # Errors
/// [`crate::Error::DeviceLost`] if the device does not answer.
pub(crate) fn download(
    gpu: &Gpu,
    model: &Model,
    buffer: &wgpu::Buffer,
    count: usize,
) -> Result<Vec<Vec<f32>>> {
    let packed: Vec<f32> = gpu.read(buffer, 0, count * model.packed_len())?;
    Ok(packed.chunks_exact(model.packed_len()).map(|set| model.unpack(set)).collect())
}
