//! What a run keeps of its arrays: digests, and by which numbers inputs are normalised.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::Model;
use crate::tasks::{ArraySet, ArrayTargets, SplitPart};

/// Digests of the parts, and the normalisation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredArrays {
    /// SHA-256 (hex) of the training, validation and test part, where there are such.
    digests: [Option<String>; 3],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normalization: Option<Normalization>,
    /// Of one file for all parts: the tasks, or classes, that were dealt into them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dealt: Option<usize>,
}

/// Mean and standard deviation of inputs: of each number, or of each channel of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// Consecutive numbers of an input that share them: the pixels of a channel.
    shared_by: usize,
}

/// SHA-256 of the numbers of a part as the file has them.
pub(super) fn digest(set: &ArraySet) -> String {
    let mut hash = Sha256::new();
    let groups: &[u8] = bytemuck::cast_slice(&set.groups);
    let (kind, y): (u8, &[u8]) = match &set.y {
        ArrayTargets::Values(values) => (0, bytemuck::cast_slice(values)),
        ArrayTargets::Labels(labels) => (1, bytemuck::cast_slice(labels)),
        ArrayTargets::Classes => (2, &[]),
    };
    hash.update([kind]);
    for part in [bytemuck::cast_slice(&set.x), y, groups] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl StoredArrays {
    pub(super) fn new(
        digests: [Option<String>; 3],
        normalization: Option<Normalization>,
        dealt: Option<usize>,
    ) -> Self {
        Self { digests, normalization, dealt }
    }

    /// Of one file for all parts: the tasks, or classes, that were dealt into them.
    pub(super) fn dealt(&self) -> Option<usize> {
        self.dealt
    }

    /// The parts that are not what they were; one that came later is none of them.
    pub(super) fn changed(&self, now: &[Option<String>; 3]) -> Vec<String> {
        let parts = SplitPart::ALL.into_iter().zip(self.digests.iter().zip(now));
        let changed = parts.filter(|(_, (stored, now))| stored.is_some() && stored != now);
        changed.map(|(part, _)| part.name().to_string()).collect()
    }

    /// How inputs are normalised, if they are.
    pub fn normalization(&self) -> Option<&Normalization> {
        self.normalization.as_ref()
    }

    /// The same for other arrays, which have not been read yet.
    #[must_use]
    pub fn of_others(&self) -> Self {
        let normalization = self.normalization.clone();
        Self { digests: [const { None }; 3], normalization, dealt: None }
    }
}

impl Normalization {
    /// That of the examples of `set`.
    pub(super) fn of(set: &ArraySet, model: &Model) -> Self {
        let input = &model.spec().input;
        let shared_by = if input.len() == 3 { input[1] * input[2] } else { 1 };
        let kinds = model.inputs() / shared_by;
        let each = |sums: &mut [f64], add: &dyn Fn(usize, f64) -> f64| {
            for (place, value) in set.x.iter().enumerate() {
                let kind = place / shared_by % kinds;
                sums[kind] += add(kind, f64::from(*value));
            }
        };
        let count = (set.x.len() / kinds) as f64;
        let (mut mean, mut variance) = (vec![0.0; kinds], vec![0.0; kinds]);
        each(&mut mean, &|_, value| value / count);
        each(&mut variance, &|kind, value| (value - mean[kind]).powi(2) / count);
        // What never changes, but for the rounding of its numbers, is left as it is, but for its mean.
        let deviation = |(variance, mean): (&f64, &f64)| {
            let deviation = variance.sqrt() as f32;
            if deviation > f32::EPSILON * mean.abs() as f32 { deviation } else { 1.0 }
        };
        let deviation: Vec<f32> = variance.iter().zip(&mean).map(deviation).collect();
        Self { mean: mean.iter().map(|mean| *mean as f32).collect(), deviation, shared_by }
    }

    /// Refuses what is not for the inputs of `model`.
    ///
    /// # Errors
    /// A sentence that names both numbers.
    pub(super) fn check(&self, model: &Model) -> Result<(), String> {
        let numbers = self.mean.len().checked_mul(self.shared_by);
        let sound = self.deviation.iter().all(|it| it.is_finite() && *it > 0.0)
            && self.mean.iter().all(|mean| mean.is_finite());
        if numbers == Some(model.inputs()) && self.deviation.len() == self.mean.len() && sound {
            return Ok(());
        }
        Err(format!(
            "the run's means and standard deviations are of {} numbers, and the network reads {}: the stored split is \
             damaged, or of another run",
            numbers.unwrap_or(0),
            model.inputs()
        ))
    }

    /// The mean of each number of an input, or of each channel of an image.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation, likewise.
    pub fn deviation(&self) -> &[f32] {
        &self.deviation
    }

    /// Normalises examples `[…, inputs]`.
    pub fn apply(&self, x: &mut [f32]) {
        let kinds = self.mean.len();
        for (place, value) in x.iter_mut().enumerate() {
            let kind = place / self.shared_by % kinds;
            *value = (*value - self.mean[kind]) / self.deviation[kind];
        }
    }
}
