//! What `adapt` writes: the parameters that a base was adapted to, for T tasks, in one safetensors file.
//!
//! Tensors, all f32: each parameter by its name [T, ...shape]; `support_loss` `[T, K]`; with
//! queries `query_output` `[T, Q, outputs]`. Metadata (strings): `format`, `base` (SHA-256 of the
//! checkpoint's file), `steps`, `batch`, `rate`, `optimizer`, `seed`, `tasks` (`test`: the run's test tasks
//! from the first one on; `arrays`: a file of the user's), `recipe` (JSON: how to adapt again), and the digests of all of it
//! (`src/store/digests.rs`).

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::disk::tensor_file::{Data, TensorFile};
use crate::error::{Error, Result};
use crate::meta::{InnerOptimizer, PlanKind};
use crate::model::{Model, TensorInfo};
use crate::store::digests;

/// How a state is adapted: with the base, the tasks and the device, all that decides about the bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recipe {
    /// Which of the base's runs.
    pub run: usize,
    /// Inner steps K.
    pub steps: usize,
    /// Minibatch size B.
    pub batch: usize,
    /// Inner rate, in place of the run's own (and of rates that it has learned).
    pub rate: Option<f32>,
    /// Inner optimiser, in place of the run's own (and of rates that it has learned).
    pub optimizer: Option<InnerOptimizer>,
    /// c of ARUBA++, in place of the run's own.
    #[serde(default)]
    pub refine: Option<f32>,
    /// Adam starts from zero.
    pub reset_optimizer: bool,
    /// Each task starts from the entry of the run's memory that fits its support set best.
    #[serde(default)]
    pub warm_start: bool,
    /// Seed of the minibatches, and of test tasks.
    pub seed: u64,
    /// How the inner loops run.
    pub plan: PlanKind,
    /// Classes of the tasks, where they are fewer than the network's outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

/// The format tag of the files.
pub const FORMAT: &str = "reptile-adapted-2";

/// What [`Settings::tasks`] says of what a compression left over.
pub const RESIDUAL: &str = "residual";

/// How the tasks were adapted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// SHA-256 of the checkpoint's file, from `sha256_file`.
    pub base: String,
    /// Inner steps K.
    pub steps: usize,
    /// Support examples in a minibatch.
    pub batch: usize,
    /// Inner rate of the first step.
    pub rate: f32,
    /// `sgd`, `adam` or `learned rates`.
    pub optimizer: String,
    /// Seed of the minibatches' order.
    pub seed: u64,
    /// `test`, `arrays`, `memory` (entries of a run's memory) or `residual` (what a compression left over).
    pub tasks: String,
    /// A [`Recipe`] as JSON.
    pub recipe: String,
}

impl Settings {
    /// How to adapt again.
    ///
    /// # Errors
    /// [`Error::Config`] if the field is none.
    pub fn recipe(&self) -> Result<Recipe> {
        serde_json::from_str(&self.recipe).map_err(|error| {
            Error::config(
                "recipe",
                format!("this metadata field of the models is damaged: {error}"),
            )
        })
    }

    /// As metadata of a file.
    pub(crate) fn fields(&self) -> BTreeMap<String, String> {
        let Self { base, steps, batch, rate, optimizer, seed, tasks, recipe } = self;
        let fields = [
            ("base", base.clone()),
            ("steps", steps.to_string()),
            ("batch", batch.to_string()),
            ("rate", rate.to_string()),
            ("optimizer", optimizer.clone()),
            ("seed", seed.to_string()),
            ("tasks", tasks.clone()),
            ("recipe", recipe.clone()),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// From the metadata of a file.
    pub(crate) fn read(fields: &BTreeMap<String, String>) -> Result<Self, String> {
        fn get<T: FromStr>(fields: &BTreeMap<String, String>, name: &str) -> Result<T, String> {
            let text = fields.get(name).ok_or_else(|| {
                format!(
                    "metadata field `{name}` is missing; write the file anew with `reptile adapt`"
                )
            })?;
            text.parse().map_err(|_| format!("metadata field `{name}` is `{text}`"))
        }
        Ok(Self {
            base: get(fields, "base")?,
            steps: get(fields, "steps")?,
            batch: get(fields, "batch")?,
            rate: get(fields, "rate")?,
            optimizer: get(fields, "optimizer")?,
            seed: get(fields, "seed")?,
            tasks: get(fields, "tasks")?,
            recipe: get(fields, "recipe")?,
        })
    }
}

/// T adapted tasks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Adapted {
    /// `[T]` parameter sets in canonical layout.
    pub parameters: Vec<Vec<f32>>,
    /// [T, K]: the loss of each minibatch before its step; none where the models were compressed.
    pub support_loss: Option<Vec<f32>>,
    /// [T, Q, outputs]: predictions or logits of the queries, if there were any.
    pub query_output: Option<Vec<f32>>,
    /// Stored as metadata.
    pub settings: Settings,
}

impl Adapted {
    /// The bytes of the file. Values may be non-finite: a task can diverge while the others do not.
    ///
    /// # Panics
    /// If a parameter set is not the model's length or a tensor not T times its row.
    pub fn to_bytes(&self, model: &Model) -> Vec<u8> {
        let tasks = self.parameters.len();
        let mut tensors: BTreeMap<String, Data> =
            model.tensors().iter().map(|info| (info.name.clone(), self.stacked(info))).collect();
        let steps = self.settings.steps;
        if let Some(losses) = &self.support_loss {
            assert_eq!(losses.len(), tasks * steps, "support_loss is [T, K]");
            tensors.insert("support_loss".into(), Data::floats(vec![tasks, steps], losses));
        }
        if let Some(output) = &self.query_output {
            let queries = output.len() / (tasks * model.outputs()).max(1);
            let shape = vec![tasks, queries, model.outputs()];
            assert_eq!(
                shape.iter().product::<usize>(),
                output.len(),
                "query_output is [T, Q, out]"
            );
            tensors.insert("query_output".into(), Data::floats(shape, output));
        }
        let mut fields = self.settings.fields();
        fields.insert("format".into(), FORMAT.into());
        digests::sealed(fields, &tensors)
    }

    /// One tensor of all tasks, [T, ...shape].
    fn stacked(&self, info: &TensorInfo) -> Data {
        let shape = [&[self.parameters.len()], info.shape.as_slice()].concat();
        let values = self.parameters.iter().flat_map(|set| &set[info.offset..][..info.elements()]);
        Data::floats(shape, &values.copied().collect::<Vec<_>>())
    }

    /// The adapted models of `model` in a file's `bytes`.
    ///
    /// # Errors
    /// A sentence that names the tensor or field that is missing, changed, of a wrong shape or not finite.
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Result<Self, String> {
        let file = TensorFile::parse(bytes)?;
        match file.metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some("reptile-adapted-1") => {
                return Err("was written by an earlier version, without digests, so that nobody can tell whether it is whole; \
                            write it anew with `reptile adapt`"
                    .into());
            }
            _ => {
                return Err(format!(
                    "not adapted models: its `format` is not `{FORMAT}`; `reptile adapt` writes those, and \
                     `reptile decompress` restores them"
                ));
            }
        }
        digests::check(&file).map_err(|message| format!("{message}; adapt the models anew"))?;
        let settings = Settings::read(&file.metadata)?;
        let first = &model.tensors()[0].name;
        let shape = file.tensors.get(first).map(|tensor| tensor.shape());
        let Some(&[tasks, ..]) = shape else { return Err(format!("tensor `{first}` is missing")) };
        // So many tasks are only believed once all tensors have the numbers of so many.
        let values = |info: &TensorInfo| {
            file.floats(&info.name, &[&[tasks], info.shape.as_slice()].concat())
        };
        let tensors = model.tensors().iter().map(values).collect::<Result<Vec<_>, _>>()?;
        let mut parameters = vec![vec![0.0; model.parameter_count()]; tasks];
        for (info, values) in model.tensors().iter().zip(tensors) {
            for (set, values) in parameters.iter_mut().zip(values.chunks_exact(info.elements())) {
                set[info.offset..][..info.elements()].copy_from_slice(values);
            }
        }
        let shape_of = |name: &str| file.tensors.get(name).map(|tensor| tensor.shape());
        let losses = shape_of("support_loss");
        let losses = losses.map(|_| file.floats("support_loss", &[tasks, settings.steps]));
        let output = shape_of("query_output").map(|found| {
            let queries = found.get(1).copied().unwrap_or(0);
            file.floats("query_output", &[tasks, queries, model.outputs()])
        });
        let (support_loss, query_output) = (losses.transpose()?, output.transpose()?);
        Ok(Self { parameters, support_loss, query_output, settings })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::{Activation, ModelSpec};

    fn model() -> Model {
        let spec = ModelSpec::builder(&[2]).dense(2, Activation::Tanh).dense(3, Activation::Linear);
        Model::new(spec).unwrap()
    }

    /// Two tasks, four steps, five queries.
    fn adapted(model: &Model) -> Adapted {
        let length = model.parameter_count();
        let set = |task: usize| (0..length).map(|i| (task * 100 + i) as f32).collect();
        Adapted {
            parameters: (0..2).map(set).collect(),
            support_loss: Some((0..8).map(|i| i as f32).collect()),
            query_output: Some((0..30).map(|i| i as f32).collect()),
            settings: Settings {
                base: "ab".into(),
                steps: 4,
                batch: 10,
                rate: 0.02,
                optimizer: "sgd".into(),
                seed: 7,
                tasks: "arrays".into(),
                recipe: "{}".into(),
            },
        }
    }

    #[test]
    fn tensors_have_the_documented_names_shapes_and_values() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let path = folder.path().join("out.safetensors");
        adapted(&model).write_new(&model, &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let file = TensorFile::parse(&bytes).unwrap();
        let weight = file.floats("dense1.weight", &[2, 2, 2]).unwrap();
        assert_eq!(weight, [0.0, 1.0, 2.0, 3.0, 100.0, 101.0, 102.0, 103.0]);
        let bias = file.floats("dense2.bias", &[2, 3]).unwrap();
        assert_eq!(bias, [12.0, 13.0, 14.0, 112.0, 113.0, 114.0]);
        assert_eq!(file.floats("support_loss", &[2, 4]).unwrap()[5], 5.0);
        assert_eq!(file.floats("query_output", &[2, 5, 3]).unwrap()[29], 29.0);
        assert_eq!(file.tensors.len(), 6);
        let field = |name: &str| file.metadata[name].as_str();
        assert_eq!((field("format"), field("base")), (FORMAT, "ab"));
        assert_eq!((field("steps"), field("batch"), field("rate")), ("4", "10", "0.02"));
        assert_eq!((field("optimizer"), field("seed")), ("sgd", "7"));
        assert_eq!(Adapted::load(&model, &path).unwrap(), adapted(&model));
    }

    #[test]
    fn a_count_of_tasks_needs_their_numbers() {
        let model = model();
        for count in [1 << 60, 1_000_000_000, 3] {
            let bytes = adapted(&model).to_bytes(&model);
            let file = TensorFile::parse(&bytes).unwrap();
            let mut tensors: BTreeMap<String, Data> = file
                .tensors
                .iter()
                .map(|(name, it)| {
                    let values = file.floats(name, it.shape()).unwrap();
                    (name.clone(), Data::floats(it.shape().to_vec(), &values))
                })
                .collect();
            let first = &model.tensors()[0].name;
            tensors.insert(first.clone(), Data::floats(vec![count, 0], &[]));
            let mut fields = file.metadata;
            fields.retain(|name, _| !name.starts_with("digest"));
            let bytes = digests::sealed(fields, &tensors);
            let message = Adapted::from_bytes(&model, &bytes).unwrap_err();
            assert!(message.contains(first.as_str()) && message.contains("shape"), "{message}");
        }
    }

    #[test]
    fn losses_and_outputs_have_the_shapes_of_the_settings() {
        let model = model();
        let read = |change: fn(&mut Adapted)| {
            let mut own = adapted(&model);
            let bytes = own.to_bytes(&model);
            change(&mut own);
            let file = TensorFile::parse(&bytes).unwrap();
            let data = |(name, it): (&String, &safetensors::tensor::TensorView<'_>)| {
                let values = file.floats(name, it.shape()).unwrap();
                (name.clone(), Data::floats(it.shape().to_vec(), &values))
            };
            let mut tensors: BTreeMap<String, Data> = file.tensors.iter().map(data).collect();
            if own.query_output.is_none() {
                tensors.insert("query_output".into(), Data::floats(vec![2, 4], &[0.0; 8]));
            }
            let mut fields = own.settings.fields();
            fields.insert("format".into(), FORMAT.into());
            Adapted::from_bytes(&model, &digests::sealed(fields, &tensors)).unwrap_err()
        };
        let message = read(|own| own.settings.steps = 0);
        assert!(message.contains("`support_loss` has the shape [2, 4], but [2, 0]"), "{message}");
        let message = read(|own| own.query_output = None);
        assert!(
            message.contains("`query_output` has the shape [2, 4], but [2, 4, 3]"),
            "{message}"
        );
    }

    #[test]
    fn a_flipped_bit_is_refused_by_name() {
        let model = model();
        let bytes = adapted(&model).to_bytes(&model);
        let mut changed = bytes.clone();
        // The lowest bit of the last support loss: a number like any other.
        let at = changed.len() - 4;
        changed[at] ^= 1;
        let message = Adapted::from_bytes(&model, &changed).unwrap_err();
        assert!(message.starts_with("tensor `support_loss` was changed"), "{message}");
        assert!(message.ends_with("adapt the models anew"), "{message}");
        let mut older = bytes.clone();
        let at = bytes.windows(FORMAT.len()).position(|it| it == FORMAT.as_bytes()).unwrap();
        older[at..][..FORMAT.len()].copy_from_slice(b"reptile-adapted-1");
        let message = Adapted::from_bytes(&model, &older).unwrap_err();
        assert!(message.contains("earlier version"), "{message}");
    }

    #[test]
    fn queries_are_optional() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let path = folder.path().join("out.safetensors");
        Adapted { query_output: None, ..adapted(&model) }.write_new(&model, &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let file = TensorFile::parse(&bytes).unwrap();
        assert!(!file.tensors.contains_key("query_output"));
        assert_eq!(file.tensors.len(), 5);
    }

    #[test]
    fn nothing_is_written_over() {
        let (folder, model) = (tempfile::tempdir().unwrap(), model());
        let path = folder.path().join("out.safetensors");
        fs::write(&path, "mine").unwrap();
        let message = adapted(&model).write_new(&model, &path).unwrap_err().to_string();
        assert!(message.contains("give another name"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
