//! The bytes of a checkpoint: its tensors, fields and digests, written and checked.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use super::{Checkpoint, Header, RunInfo};
use crate::disk::tensor_file::{self, Data, TensorFile};
use crate::meta::{Sets, TrainingState};
use crate::model::{Model, TensorInfo};
use crate::store::digests;

/// The format tag of the files.
pub const FORMAT: &str = "reptile-checkpoint-1";

/// The tensor of the losses of a memory's entries.
const MEMORY_LOSSES: &str = "memory.loss";

/// Sets of one kind: the names of their tensors get `prefix` in front, their shapes `lead`.
struct Group<'a> {
    prefix: &'static str,
    lead: Vec<usize>,
    /// As many as the product of `lead`, each P numbers in canonical layout.
    sets: &'a Sets,
}

impl Checkpoint {
    /// The bytes of the file.
    ///
    /// # Errors
    /// A sentence that names the tensor that is not finite or does not fit `model`.
    pub(super) fn to_bytes(&self, model: &Model) -> Result<Vec<u8>, String> {
        if self.state.runs == 0 {
            return Err("it has 0 runs; at least one is expected".into());
        }
        let mut tensors = BTreeMap::new();
        for group in self.groups() {
            group.check(model)?;
            for info in model.tensors() {
                let (name, shape) = (group.name(info), group.shape(info));
                let values = group.sets.iter().flat_map(|set| &set[range(info)]);
                let values: Vec<f32> = values.copied().collect();
                tensor_file::check_finite(&name, &shape, &values)?;
                tensors.insert(name, Data::floats(shape, &values));
            }
        }
        let losses = &self.state.memory_losses;
        if !losses.is_empty() {
            let shape = vec![self.state.runs, losses.len() / self.state.runs];
            // What is not finite is stored as the largest number.
            let finite = |loss: &f32| if loss.is_finite() { *loss } else { f32::MAX };
            let losses: Vec<f32> = losses.iter().flatten().map(finite).collect();
            tensors.insert(MEMORY_LOSSES.into(), Data::floats(shape, &losses));
        }
        Ok(digests::sealed(self.fields(), &tensors))
    }

    /// The checkpoint in `file`.
    ///
    /// # Errors
    /// A sentence that names the tensor or field that is wrong, and how.
    pub(super) fn from_file(model: &Model, file: &TensorFile<'_>) -> Result<Self, String> {
        let Header { iteration, adam_steps, runs, run } = Header::parse(&file.metadata)?;
        let lead = run_axis(runs);
        let read = |prefix| Group::read(model, file, prefix, &lead);
        let parameters = read("")?;
        let [inner_second, inner_first] = read_inner(model, file, runs)?;
        let first = if has(file, "outer.u/") { "outer.u/" } else { "outer.m/" };
        let [outer_first, outer_second] =
            [optional(model, file, first, &lead)?, optional(model, file, "outer.v/", &lead)?];
        // ARUBA has both, other strategies the second alone.
        let [ways, squares] = [
            optional(model, file, "strategy.b/", &lead)?,
            optional(model, file, "strategy.g/", &lead)?,
        ];
        let state = TrainingState {
            iteration,
            adam_steps,
            runs,
            parameters,
            inner_second,
            inner_first,
            outer_first,
            outer_second,
            rates: if has(file, "strategy.") { read("strategy.rate/")? } else { Sets::new() },
            ways,
            squares,
            round_momentum: optional(model, file, "rounds.u/", &lead)?,
            ..read_memory(model, file, runs)?
        };
        let checkpoint = Self { run, state };
        checkpoint.refuse_others(model, file)?;
        digests::check(file)?;
        Ok(checkpoint)
    }

    /// All sets that there are.
    fn groups(&self) -> Vec<Group<'_>> {
        let state = &self.state;
        let runs = state.runs;
        // Only slots have several sets of a run.
        let of_slots = |sets: &[Vec<f32>]| match sets.len() / runs {
            0 | 1 => run_axis(runs),
            slots => vec![runs, slots],
        };
        let momentum = if state.outer_second.is_empty() { "outer.u/" } else { "outer.m/" };
        let entries = || vec![runs, state.memory_losses.len() / runs];
        let all = [
            ("", run_axis(runs), &state.parameters),
            ("inner.v/", of_slots(&state.inner_second), &state.inner_second),
            ("inner.m/", of_slots(&state.inner_first), &state.inner_first),
            (momentum, run_axis(runs), &state.outer_first),
            ("outer.v/", run_axis(runs), &state.outer_second),
            ("strategy.rate/", run_axis(runs), &state.rates),
            ("strategy.b/", run_axis(runs), &state.ways),
            ("strategy.g/", run_axis(runs), &state.squares),
            ("rounds.u/", run_axis(runs), &state.round_momentum),
            ("memory/", entries(), &state.memory),
            ("memory.v/", entries(), &state.memory_second),
            ("memory.m/", entries(), &state.memory_first),
            ("memory.h/", entries(), &state.memory_statistics),
        ];
        let group = |(prefix, lead, sets)| Group { prefix, lead, sets };
        let there = |group: &Group<'_>| group.prefix.is_empty() || !group.sets.is_empty();
        all.map(group).into_iter().filter(there).collect()
    }

    /// The fields of the file.
    fn fields(&self) -> BTreeMap<String, String> {
        let fields = [
            ("format", FORMAT.to_owned()),
            ("iteration", self.state.iteration.to_string()),
            ("adam_steps", self.state.adam_steps.to_string()),
            ("seed", self.run.seed.to_string()),
            ("runs", self.state.runs.to_string()),
            ("config_hash", self.run.config_hash.clone()),
            ("config", self.run.config.clone()),
        ];
        let mut fields = BTreeMap::from(fields.map(|(name, value)| (name.to_owned(), value)));
        fields.extend(self.run.split.clone().map(|split| ("split".to_owned(), split)));
        if self.run.arithmetic != 1 {
            fields.insert("arithmetic".to_owned(), self.run.arithmetic.to_string());
        }
        if self.run.ranks != 1 {
            fields.insert("ranks".to_owned(), self.run.ranks.to_string());
        }
        fields
    }

    /// Refuses a file with tensors that are not part of this checkpoint.
    fn refuse_others(&self, model: &Model, file: &TensorFile<'_>) -> Result<(), String> {
        let groups = self.groups();
        let own = |name: &str| {
            !self.state.memory_losses.is_empty() && name == MEMORY_LOSSES
                || groups
                    .iter()
                    .any(|group| model.tensors().iter().any(|info| group.name(info) == name))
        };
        match file.tensors.keys().find(|name| !own(name)) {
            Some(name) => Err(format!("tensor `{name}` does not belong to this model")),
            None => Ok(()),
        }
    }
}

impl Group<'_> {
    fn name(&self, info: &TensorInfo) -> String {
        format!("{}{}", self.prefix, info.name)
    }

    fn shape(&self, info: &TensorInfo) -> Vec<usize> {
        shape(&self.lead, info)
    }

    /// Refuses sets whose number or length is not what `lead` and `model` say.
    fn check(&self, model: &Model) -> Result<(), String> {
        let (expected, length) = (self.lead.iter().product::<usize>(), model.parameter_count());
        let tensor = format!("`{}{}`", self.prefix, model.tensors()[0].name);
        if self.sets.len() != expected {
            let found = self.sets.len();
            return Err(format!("{tensor}…: {found} parameter sets where {expected} belong"));
        }
        match self.sets.iter().position(|set| set.len() != length) {
            None => Ok(()),
            Some(at) => {
                let found = self.sets[at].len();
                Err(format!("{tensor}…: set {at} has {found} numbers, the model {length}"))
            }
        }
    }

    /// The sets in the tensors `prefix/NAME` of shape [...lead, ...shape].
    fn read(
        model: &Model,
        file: &TensorFile<'_>,
        prefix: &str,
        lead: &[usize],
    ) -> Result<Vec<Vec<f32>>, String> {
        let tensors = model.tensors();
        let part =
            |info: &TensorInfo| file.floats(&format!("{prefix}{}", info.name), &shape(lead, info));
        let parts: Vec<Vec<f32>> = tensors.iter().map(part).collect::<Result<_, _>>()?;
        let set = |index: usize| {
            let of_set = |(info, part): (&TensorInfo, &Vec<f32>)| {
                part[index * info.elements()..][..info.elements()].to_vec()
            };
            tensors.iter().zip(&parts).flat_map(of_set).collect()
        };
        Ok((0..lead.iter().product()).map(set).collect())
    }
}

impl Header {
    /// The fields of `file`, checked against their digests.
    ///
    /// # Errors
    /// A sentence that names the field that is missing, not a number or changed.
    pub(super) fn from_file(file: &TensorFile<'_>) -> Result<Self, String> {
        let header = Self::parse(&file.metadata)?;
        digests::check_fields(file)?;
        Ok(header)
    }

    fn parse(metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        match metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(format!("metadata field `format` is `{other}`, not `{FORMAT}`"));
            }
            None => {
                return Err(format!(
                    "not a checkpoint of this program: metadata field `format` (`{FORMAT}`) is \
                     missing"
                ));
            }
        }
        let header = Self {
            iteration: number(metadata, "iteration")?,
            adam_steps: number(metadata, "adam_steps")?,
            runs: number(metadata, "runs")?,
            run: RunInfo {
                seed: number(metadata, "seed")?,
                config_hash: field(metadata, "config_hash")?.to_owned(),
                config: field(metadata, "config")?.to_owned(),
                split: metadata.get("split").cloned(),
                arithmetic: match metadata.contains_key("arithmetic") {
                    true => number(metadata, "arithmetic")?,
                    false => 1,
                },
                ranks: match metadata.contains_key("ranks") {
                    true => number(metadata, "ranks")?,
                    false => 1,
                },
            },
        };
        if header.runs == 0 {
            return Err("metadata field `runs` is 0; at least one run is expected".into());
        }
        Ok(header)
    }
}

/// Second and first moments of the inner optimiser.
fn read_inner(model: &Model, file: &TensorFile<'_>, runs: usize) -> Result<[Sets; 2], String> {
    if !has(file, "inner.v/") && !has(file, "inner.m/") {
        return Ok(Default::default());
    }
    // An optimiser keeps either, or both.
    let first = &model.tensors()[0];
    let any = |prefix| file.tensors.get(&format!("{prefix}{}", first.name));
    let found = any("inner.v/").or_else(|| any("inner.m/")).map(|tensor| tensor.shape());
    // A state for each slot has two axes in front, whatever the number of runs.
    let slots = found.filter(|s| s.len() == first.shape.len() + 2 && s[0] == runs).map(|s| s[1]);
    let lead = slots.map_or_else(|| run_axis(runs), |slots| vec![runs, slots]);
    // What the digests list was there once.
    let read = |prefix| match digests::lists(file, prefix) {
        true => Group::read(model, file, prefix, &lead),
        false => optional(model, file, prefix, &lead),
    };
    Ok([read("inner.v/")?, read("inner.m/")?])
}

/// A state that has nothing but the memory.
fn read_memory(model: &Model, file: &TensorFile<'_>, runs: usize) -> Result<TrainingState, String> {
    let Some(tensor) = file.tensors.get(MEMORY_LOSSES) else { return Ok(TrainingState::default()) };
    let &[found, entries] = tensor.shape() else {
        return Err(format!("tensor `{MEMORY_LOSSES}` is not [R, n]"));
    };
    if found != runs {
        return Err(format!("tensor `{MEMORY_LOSSES}` is of {found} runs, not {runs}"));
    }
    let lead = [runs, entries];
    let read = |prefix| optional(model, file, prefix, &lead);
    let losses = file.floats(MEMORY_LOSSES, &lead)?;
    Ok(TrainingState {
        memory: Group::read(model, file, "memory/", &lead)?,
        memory_second: read("memory.v/")?,
        memory_first: read("memory.m/")?,
        memory_statistics: read("memory.h/")?,
        memory_losses: losses.into_iter().map(|loss| vec![loss]).collect(),
        ..TrainingState::default()
    })
}

/// The sets of tensors that begin with `prefix`; none if no tensor does.
fn optional(
    model: &Model,
    file: &TensorFile<'_>,
    prefix: &'static str,
    lead: &[usize],
) -> Result<Sets, String> {
    if has(file, prefix) { Group::read(model, file, prefix, lead) } else { Ok(Sets::new()) }
}

/// The axis of the runs in front of a tensor: none for a single run.
fn run_axis(runs: usize) -> Vec<usize> {
    if runs > 1 { vec![runs] } else { Vec::new() }
}

fn shape(lead: &[usize], info: &TensorInfo) -> Vec<usize> {
    [lead, &info.shape].concat()
}

fn range(info: &TensorInfo) -> Range<usize> {
    info.offset..info.offset + info.elements()
}

fn has(file: &TensorFile<'_>, prefix: &str) -> bool {
    file.tensors.keys().any(|name| name.starts_with(prefix))
}

fn field<'a>(metadata: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, String> {
    let value = metadata.get(name).ok_or_else(|| format!("metadata field `{name}` is missing"))?;
    Ok(value)
}

fn number<T: FromStr>(metadata: &BTreeMap<String, String>, name: &str) -> Result<T, String> {
    let text = field(metadata, name)?;
    text.parse().map_err(|_| format!("metadata field `{name}` is `{text}`, not a whole number"))
}
