//! What a stream that was stopped goes on from, in one safetensors file of the folder that the report will be in.
//!
//! Tensors: `reptile` and `joint` `[P]`, the parameters of these learners in canonical layout; `error` f64 `[n, 3]`, and
//! `samples` u32 `[n, 3]` (0: not reached), of the n tasks that have arrived. Metadata (strings): `format`, `protocol`
//! (JSON), `config` (TOML), `seed`, `arithmetic`, `split` (JSON, of tasks over a data set), `folder` and `tasks` (where the
//! tasks' files lie, and their digest), and the digests of all of it (`src/store/digests.rs`).

use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;

use super::{Arrival, Arrivals, Protocol};
use crate::config::Config;
use crate::data::arrays::Targets;
use crate::disk::tensor_file::{Data, TensorFile, little_endian};
use crate::disk::{atomic, read};
use crate::error::{Error, Result};
use crate::store::checkpoint::RunInfo;
use crate::store::digests;

/// The format tag of the file.
const FORMAT: &str = "reptile-online-1";
/// Its name in the folder.
const FILE: &str = "state.safetensors";

/// A stream behind one of its tasks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// Its configuration, the split of its data set, and the arithmetic that made it.
    pub run: RunInfo,
    /// Where the files of its tasks lie, if they are files.
    pub folder: Option<PathBuf>,
    /// The digest of these files.
    pub tasks: Option<String>,
    /// The numbers that the stream is gone through with.
    pub protocol: Protocol,
    /// Tasks that have arrived.
    pub arrivals: Vec<Arrival>,
    /// Of Reptile and of joint training, `[P]` each in canonical layout.
    pub parameters: [Vec<f32>; 2],
}

impl Arrivals<'_> {
    /// SHA-256 over the files' numbers; none of drawn tasks.
    pub(super) fn digest(&self) -> Option<String> {
        let Self::Files(files) = self else { return None };
        let mut all = Vec::new();
        for file in *files {
            all.extend((file.support_x.len() as u64).to_le_bytes());
            all.extend_from_slice(bytemuck::cast_slice(&file.support_x));
            match &file.support_y {
                Targets::Values(values) => all.extend_from_slice(bytemuck::cast_slice(values)),
                Targets::Labels(labels) => all.extend_from_slice(bytemuck::cast_slice(labels)),
            }
        }
        Some(digests::sha256(&all))
    }
}

impl State {
    /// Whether `folder` holds one.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Writes it into `folder`, whole or not at all, in place of an older one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        atomic::write(&folder.join(FILE), &self.to_bytes())
    }

    /// Reads that in `folder`.
    ///
    /// # Errors
    /// [`Error::Data`] that names the tensor or field that is missing, changed or of a wrong shape; [`Error::Io`].
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let bytes = read::bytes(&path)?;
        Self::from_bytes(&bytes).map_err(|message| {
            let remedy = "put it back, or begin the stream anew in another folder";
            Error::data(path, format!("{message}; {remedy}"))
        })
    }

    /// Removes that in `folder`, if there is one: the report is written by now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(folder: &Path) -> Result<()> {
        atomic::remove(&folder.join(FILE))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let RunInfo { seed, config, split, arithmetic, .. } = &self.run;
        let protocol = serde_json::to_string(&self.protocol).expect("plain data");
        let folder = self.folder.as_ref().map(|folder| folder.display().to_string());
        let fields = [
            ("format", Some(FORMAT.to_owned())),
            ("protocol", Some(protocol)),
            ("config", Some(config.clone())),
            ("seed", Some(seed.to_string())),
            ("arithmetic", Some(arithmetic.to_string())),
            ("split", split.clone()),
            ("folder", folder),
            ("tasks", self.tasks.clone()),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let shape = || vec![self.arrivals.len(), 3];
        let errors = self.arrivals.iter().flat_map(|one| one.error);
        let samples = self.arrivals.iter().flat_map(|one| one.samples_to_threshold);
        let bytes = errors.flat_map(f64::to_le_bytes).collect();
        let errors = Data { dtype: Dtype::F64, shape: shape(), bytes };
        let bytes = samples.flat_map(|it| (it.unwrap_or(0) as u32).to_le_bytes()).collect();
        let samples = Data { dtype: Dtype::U32, shape: shape(), bytes };
        let own = |set: &Vec<f32>| Data::floats(vec![set.len()], set);
        let [reptile, joint] = self.parameters.each_ref().map(own);
        let tensors =
            [("error", errors), ("samples", samples), ("reptile", reptile), ("joint", joint)];
        let tensors = tensors.map(|(name, data)| (name.to_owned(), data));
        digests::sealed(fields.collect(), &tensors.into())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = TensorFile::parse(bytes)?;
        if file.metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(format!("is not the state of a stream: its `format` is not `{FORMAT}`"));
        }
        digests::check(&file)?;
        let field = |name: &str| {
            let field = file.metadata.get(name);
            field.ok_or_else(|| format!("metadata field `{name}` is missing"))
        };
        let number = |name: &str| {
            let text = field(name)?;
            text.parse::<u64>().map_err(|_| format!("metadata field `{name}` is `{text}`"))
        };
        let config = field("config")?;
        let parsed = Config::from_toml(config, "its configuration");
        let model = parsed.and_then(|it| it.validate()).map_err(|error| error.to_string())?;
        let protocol: Protocol = serde_json::from_str(field("protocol")?)
            .map_err(|error| format!("metadata field `protocol`: {error}"))?;
        let set = |name: &str| file.floats(name, &[model.parameter_count()]);
        let errors = file.tensors.get("error").ok_or("tensor `error` is missing")?;
        let &[count, 3] = errors.shape() else { return Err("tensor `error` is not [n, 3]".into()) };
        if errors.dtype() != Dtype::F64 || count > protocol.tasks {
            return Err(format!("tensor `error` is not of up to {} tasks", protocol.tasks));
        }
        let errors: Vec<f64> = little_endian(errors.data(), f64::from_le_bytes).collect();
        let samples = file.words("samples", &[count, 3])?;
        let (errors, samples) = (errors.as_chunks::<3>().0, samples.as_chunks::<3>().0);
        let arrival = |(task, (error, samples)): (usize, (&[f64; 3], &[u32; 3]))| Arrival {
            task,
            error: *error,
            samples_to_threshold: samples.map(|it| (it > 0).then_some(it as usize)),
        };
        let run = RunInfo {
            arithmetic: u32::try_from(number("arithmetic")?).unwrap_or(0),
            ..RunInfo::new(number("seed")?, config.clone(), file.metadata.get("split").cloned())
        };
        Ok(Self {
            run,
            folder: file.metadata.get("folder").map(PathBuf::from),
            tasks: file.metadata.get("tasks").cloned(),
            protocol,
            arrivals: errors.iter().zip(samples).enumerate().map(arrival).collect(),
            parameters: [set("reptile")?, set("joint")?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::presets;

    fn state() -> State {
        let config = Config::from_toml(presets::get("sine").unwrap(), "sine").unwrap();
        let count = config.validate().unwrap().parameter_count();
        let arrival = |task, error, needed| Arrival {
            task,
            error: [error, f64::NAN, f64::INFINITY],
            samples_to_threshold: [needed, None, Some(3)],
        };
        State {
            run: RunInfo { config_hash: String::new(), ..RunInfo::of(&config, None) },
            folder: Some("/tasks".into()),
            tasks: Some("ab".into()),
            protocol: Protocol::new(3, vec![2, 3], 5, 0.1),
            arrivals: vec![arrival(0, 0.1, Some(2)), arrival(1, 1.0 / 3.0, None)],
            parameters: [vec![0.5; count], vec![-1.0; count]],
        }
    }

    #[test]
    fn a_state_reads_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!State::is_in(folder.path()));
        state().save(folder.path()).unwrap();
        let read = State::load(folder.path()).unwrap();
        assert_eq!(read.to_bytes(), state().to_bytes(), "what is not finite too");
        assert_eq!((read.run, read.protocol), (state().run, state().protocol));
        assert_eq!(read.arrivals[1].samples_to_threshold, [None, None, Some(3)]);
        State::remove(folder.path()).unwrap();
        assert!(!State::is_in(folder.path()));
    }

    #[test]
    fn a_changed_state_is_refused_by_name() {
        let bytes = state().to_bytes();
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        let message = State::from_bytes(&changed).unwrap_err();
        assert!(message.contains("`samples` was changed"), "{message}");
        let more = State { protocol: Protocol::new(1, vec![2], 5, 0.1), ..state() };
        let message = State::from_bytes(&more.to_bytes()).unwrap_err();
        assert!(message.contains("up to 1 tasks"), "{message}");
        let less = State { parameters: [vec![1.0], vec![1.0]], ..state() };
        let message = State::from_bytes(&less.to_bytes()).unwrap_err();
        assert!(message.contains("`reptile` has the shape [1], but"), "{message}");
    }
}
