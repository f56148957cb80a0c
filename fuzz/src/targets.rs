//! The readers: each is given the bytes of a file and says why it refuses them, if it does.

use std::path::{Path, PathBuf};

use reptile::config::Config;
use reptile::data::arrays::TaskArrays;
use reptile::data::{EpisodeList, Reading, StoredSplit, array_tasks, image_folder, omniglot};
use reptile::data::{labelled, unlabelled};
use reptile::experiments::bench::Report;
use reptile::experiments::reproduce::{Plan, Results, write_table};
use reptile::experiments::sweep::{Prepared, SweepSpec};
use reptile::model::Model;
use reptile::session::online::State;
use reptile::store::adapted::Adapted;
use reptile::store::checkpoint::CheckpointFile;
use reptile::store::compressed::Compressed;
use reptile::store::{Weights, metrics};
use reptile::tasks::{
    ArraysSpec, EpisodeSpec, ImagesSpec, OmniglotSpec, Split, SplitPart, TaskSpec,
};
use tempfile::TempDir;

use super::seeds;

/// A reader: its name, and what it does with the bytes of a file in a room.
pub type Target = (&'static str, fn(&Room, &[u8]) -> Result<(), String>);

/// All readers.
pub const TARGETS: [Target; 20] = [
    ("checkpoint", checkpoint),
    ("weights", weights),
    ("tasks", tasks),
    ("adapted", adapted),
    ("compressed", compressed),
    ("arrays", arrays),
    ("episodes", episodes),
    ("configuration", configuration),
    ("sweep", sweep),
    ("metrics", metrics_file),
    ("sweep_state", sweep_state),
    ("reproduce", reproduce),
    ("results", results),
    ("online", online),
    ("zip", zip),
    ("image", image),
    ("classes", classes),
    ("csv", csv),
    ("split", split),
    ("bench", bench),
];

/// What readers need beside the file.
pub struct Room {
    folder: TempDir,
    /// Of the runs among the seeds: of sine waves, and of classes.
    regression: Model,
    classification: Model,
    split: Split,
}

impl Room {
    /// A folder with a small data set in it.
    ///
    /// # Panics
    /// If it cannot be made, or the seeds cannot be read.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let model = |name| {
            let config = Config::load(seeds::folder().join(name)).expect("a configuration");
            config.validate().expect("a network")
        };
        seeds::omniglot(folder.path());
        seeds::pictures(&folder.path().join("pictures"));
        std::fs::create_dir(folder.path().join("run")).expect("a folder");
        let spec = omniglot_spec(folder.path());
        let split = omniglot::read(&spec, uncached(), &mut |_, _| {}).expect("its images").split;
        let [regression, classification] =
            ["configuration/sine.toml", "configuration/classes.toml"].map(model);
        Self { folder, regression, classification, split }
    }

    /// The file `name` with these bytes.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file can be written");
        path
    }

    fn models(&self) -> [&Model; 2] {
        [&self.regression, &self.classification]
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

fn uncached() -> Reading<'static> {
    let mut reading = Reading::ALL;
    reading.uncached = true;
    reading
}

fn omniglot_spec(folder: &Path) -> OmniglotSpec {
    let mut spec = OmniglotSpec::new(EpisodeSpec::new([2, 1], 2));
    (spec.data, spec.size, spec.train_count) = (Some(folder.into()), 5, 3);
    spec
}

fn text<T>(result: Result<T, reptile::Error>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// The first that takes the bytes; what the last one says if none does.
fn any<T>(of: impl IntoIterator<Item = Result<T, String>>) -> Result<T, String> {
    let mut said = Err(String::new());
    for result in of {
        if result.is_ok() {
            return result;
        }
        said = result;
    }
    said
}

fn checkpoint(_: &Room, bytes: &[u8]) -> Result<(), String> {
    let file = CheckpointFile::from_bytes("a.safetensors", bytes.to_vec());
    let header = text(file.header())?;
    if let Some(split) = &header.run.split {
        StoredSplit::from_json(split)?;
    }
    let config = text(Config::from_toml(&header.run.config, "a checkpoint"))?;
    let state = text(file.checkpoint(&text(config.validate())?))?.state;
    for run in 0..state.runs {
        text(state.starting_point(run))?;
        text(state.memory_points(&config.memory, config.outer.meta_batch, run))?;
    }
    Ok(())
}

fn weights(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let path = room.file("weights.safetensors", bytes);
    let read = |model: &Model| {
        let weights = text(Weights::read(model, &path))?;
        weights.onto(&mut vec![0.0; model.parameter_count()]);
        Ok(())
    };
    any(room.models().map(read))
}

fn tasks(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let path = room.file("tasks.safetensors", bytes);
    any(room.models().map(|model| text(TaskArrays::load(&path, model)).map(|_| ())))
}

fn adapted(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let read = |model: &Model| {
        let adapted = Adapted::from_bytes(model, bytes)?;
        text(adapted.settings.recipe())?;
        adapted.to_bytes(model);
        Ok(())
    };
    any(room.models().map(read))
}

fn compressed(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let read = |model: &Model| {
        let compressed = Compressed::from_bytes(model, bytes)?;
        text(compressed.settings.recipe())?;
        compressed.to_bytes();
        Ok(())
    };
    any(room.models().map(read))
}

/// Examples with classes, tasks of numbers, and labelled examples: in a zip of NumPy's, a `.npy` or safetensors.
fn arrays(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let path = match bytes {
        [b'P', b'K', ..] => room.file("arrays.npz", bytes),
        [0x93, ..] => {
            std::fs::create_dir_all(room.folder.path().join("npy")).expect("a folder");
            room.file("npy/y.npy", &seeds::bytes("labels.npy"));
            room.file("npy/x.npy", bytes)
        }
        _ => room.file("arrays.safetensors", bytes),
    };
    let read = |model: &Model| {
        let mut spec = ArraysSpec::new(1);
        spec.data = Some(path.clone());
        text(array_tasks::read(&spec, model, uncached())).map(|_| ())
    };
    let (model, of_files) = (&room.classification, TaskSpec::Arrays(ArraysSpec::new(1)));
    let labelled = text(labelled(&path, &of_files, model)).map(|_| ());
    let rows = text(unlabelled(&path, &of_files, model)).map(|_| ());
    any(room.models().map(read).into_iter().chain([labelled, rows]))
}

fn episodes(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let list = text(EpisodeList::load(room.file("episodes.json", bytes)))?;
    text(list.resolve(&room.split, SplitPart::Train)).map(|_| ())
}

fn configuration(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let mut config = text(Config::load(room.file("configuration.toml", bytes)))?;
    text(config.make_paths_absolute(None))?;
    text(config.validate())?;
    config.hash();
    let written = config.to_toml();
    text(Config::from_toml(&written, "what was written")).map(|_| ())
}

fn sweep(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let path = room.file("sweep.toml", bytes);
    let spec = text(SweepSpec::from_toml(&String::from_utf8_lossy(bytes), "a sweep"))?;
    // What else it names is not read here.
    let base = text(spec.base(room.folder.path()))?;
    text(spec.trials(&base))?;
    text(Prepared::read(&path)).map(|_| ())
}

fn metrics_file(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let path = room.file("metrics.jsonl", bytes);
    let records = text(metrics::read(&path))?;
    metrics::validations(&records);
    metrics::seconds(&records);
    text(metrics::truncate_after(path, 2))
}

fn sweep_state(room: &Room, bytes: &[u8]) -> Result<(), String> {
    room.file("run/state.json", bytes);
    text(Prepared::finished(&room.folder.path().join("run"))).map(|_| ())
}

fn reproduce(room: &Room, bytes: &[u8]) -> Result<(), String> {
    room.file("run/reproduce.json", bytes);
    let folder = room.folder.path().join("run");
    let plan = text(Plan::load(&folder))?;
    let trainings = text(plan.trainings())?;
    text(write_table(&folder, &plan, &trainings)).map(|_| ())
}

fn results(room: &Room, bytes: &[u8]) -> Result<(), String> {
    room.file("run/reproduce.json", bytes);
    let results = text(Results::load(&room.folder.path().join("run")))?;
    results.all_changes();
    Ok(())
}

fn online(room: &Room, bytes: &[u8]) -> Result<(), String> {
    room.file("run/state.safetensors", bytes);
    text(State::load(&room.folder.path().join("run"))).map(|_| ())
}

/// One of Omniglot's parts; the other is whole.
fn zip(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let folder = room.folder.path().join("zips");
    std::fs::create_dir_all(&folder).expect("a folder");
    let [first, second] = ["images_background.zip", "images_evaluation.zip"];
    std::fs::copy(room.folder.path().join(second), folder.join(second)).expect("a copy");
    std::fs::write(folder.join(first), bytes).expect("a file can be written");
    text(omniglot::read(&omniglot_spec(&folder), uncached(), &mut |_, _| {})).map(|_| ())
}

fn image(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let path = room.file("image.png", bytes);
    let spec = TaskSpec::Images(ImagesSpec::new(EpisodeSpec::new([2, 1], 2), 5));
    text(unlabelled(&path, &spec, &room.classification)).map(|_| ())
}

fn classes(room: &Room, bytes: &[u8]) -> Result<(), String> {
    let mut spec = omniglot_spec(room.folder.path());
    spec.train_classes = Some(room.file("classes.txt", bytes));
    text(omniglot::read(&spec, uncached(), &mut |_, _| {})).map(|_| ())
}

/// The list of a part of a data set in CSV.
fn csv(room: &Room, bytes: &[u8]) -> Result<(), String> {
    room.file("pictures/train.csv", bytes);
    let mut spec = ImagesSpec::new(EpisodeSpec::new([2, 1], 1), 5);
    spec.data = Some(room.folder.path().join("pictures"));
    text(image_folder::read(&spec, uncached(), &mut |_, _| {})).map(|_| ())
}

fn split(_: &Room, bytes: &[u8]) -> Result<(), String> {
    let split = StoredSplit::from_json(&String::from_utf8_lossy(bytes))?;
    split.trained_on(&split);
    split.to_json();
    Ok(())
}

fn bench(_: &Room, bytes: &[u8]) -> Result<(), String> {
    let report: Report = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    report.to_markdown();
    report.page();
    Ok(())
}
