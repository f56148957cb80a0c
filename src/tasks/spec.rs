//! The `[tasks]` part of a configuration.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tasks::arrays::ArraysSpec;
use crate::tasks::function::FunctionSpec;
use crate::tasks::part::TestClasses;

/// Where tasks come from.
///
/// Specs that share the keys of [`EpisodeSpec`] cannot refuse unknown keys by themselves (serde
/// flattens or denies, not both); a configuration refuses them first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TaskSpec {
    /// Sine waves to be regressed.
    Sine(SineSpec),
    /// N-way K-shot episodes over handwritten characters.
    Omniglot(OmniglotSpec),
    /// N-way K-shot episodes over a folder of images.
    Images(ImagesSpec),
    /// N-way K-shot episodes over glyphs that are drawn anew.
    Glyphs(GlyphsSpec),
    /// Tasks over arrays in files: of a list, or N-way episodes over labelled examples.
    Arrays(ArraysSpec),
    /// Tasks that functions of the user's own draw.
    Wgsl(FunctionSpec),
}

impl TaskSpec {
    /// The kind, as a configuration names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sine(_) => "sine",
            Self::Omniglot(_) => "omniglot",
            Self::Images(_) => "images",
            Self::Glyphs(_) => "glyphs",
            Self::Arrays(_) => "arrays",
            Self::Wgsl(_) => "wgsl",
        }
    }

    /// The sizes of N-way tasks over images, or none for others.
    pub fn episodes(&self) -> Option<&EpisodeSpec> {
        match self {
            Self::Sine(_) | Self::Arrays(_) | Self::Wgsl(_) => None,
            Self::Omniglot(spec) => Some(&spec.episodes),
            Self::Images(spec) => Some(&spec.episodes),
            Self::Glyphs(spec) => Some(&spec.episodes),
        }
    }

    /// Classes of a task (1 where tasks are not drawn from classes), and support examples a class in training and in
    /// evaluation. Those of arrays are 0 where their files say how many, and have not been read.
    pub fn groups(&self) -> [usize; 3] {
        let episodes = |spec: &EpisodeSpec| [spec.way, spec.train_shots, spec.shots];
        match self {
            Self::Sine(spec) => [1, spec.points, spec.shots],
            Self::Omniglot(spec) => episodes(&spec.episodes),
            Self::Images(spec) => episodes(&spec.episodes),
            Self::Glyphs(spec) => episodes(&spec.episodes),
            Self::Arrays(spec) => {
                [spec.way.unwrap_or(0), spec.train_shots.unwrap_or(0), spec.shots]
            }
            Self::Wgsl(spec) => [1, spec.train_shots(), spec.shots],
        }
    }

    /// Classes of a task, where that is known: of lists and functions where it was said.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Wgsl(spec) => spec.way,
            _ => Some(self.groups()[0]).filter(|way| *way > 1),
        }
    }

    /// Whether they are over the data set that `other` is over, as far as the specifications tell.
    pub fn has_data_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Omniglot(_), Self::Omniglot(_)) => true,
            (Self::Images(a), Self::Images(b)) => {
                a.set == b.set && (a.set.is_some() || a.data == b.data)
            }
            (Self::Arrays(a), Self::Arrays(b)) => {
                (&a.data, &a.train, &a.val, &a.test) == (&b.data, &b.train, &b.val, &b.test)
            }
            (Self::Wgsl(a), Self::Wgsl(b)) => a.file == b.file,
            _ => false,
        }
    }

    /// Whether tasks are drawn from a data set in files.
    pub fn is_over_files(&self) -> bool {
        matches!(self, Self::Omniglot(_) | Self::Images(_) | Self::Arrays(_) | Self::Wgsl(_))
    }

    /// All paths that it names.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Sine(_) | Self::Glyphs(_) => Vec::new(),
            Self::Omniglot(spec) => {
                let own = spec.tests_training_classes();
                let test_classes = spec.test_classes.as_mut().filter(|_| !own);
                let places = [spec.data.as_mut(), spec.train_classes.as_mut(), test_classes];
                places.into_iter().flatten().collect()
            }
            Self::Images(spec) => spec.data.iter_mut().collect(),
            Self::Arrays(spec) => spec.paths_mut(),
            Self::Wgsl(spec) => vec![&mut spec.file],
        }
    }

    /// Where the data set is said to lie, if there is one: its folder, or the file of arrays or functions.
    pub fn data(&self) -> Option<&Path> {
        match self {
            Self::Sine(_) | Self::Glyphs(_) => None,
            Self::Omniglot(spec) => spec.data.as_deref(),
            Self::Images(spec) => spec.data.as_deref(),
            Self::Arrays(spec) => spec.data.as_deref(),
            Self::Wgsl(spec) => Some(&spec.file),
        }
    }

    /// Looks for the data set at `place`: its folder; of arrays the file, or the folder that their files are in.
    pub fn set_data(&mut self, place: &Path) {
        match self {
            Self::Sine(_) | Self::Glyphs(_) => {}
            Self::Omniglot(spec) => spec.data = Some(place.to_path_buf()),
            Self::Images(spec) => spec.data = Some(place.to_path_buf()),
            Self::Arrays(spec) => spec.move_to(place),
            Self::Wgsl(spec) => spec.file = place.to_path_buf(),
        }
    }

    /// Forgets where the data set lies.
    pub fn forget_data(&mut self) {
        match self {
            Self::Sine(_) | Self::Glyphs(_) => {}
            Self::Omniglot(spec) => spec.data = None,
            Self::Images(spec) => spec.data = None,
            Self::Arrays(spec) => {
                [spec.data, spec.train, spec.val, spec.test] = [const { None }; 4];
            }
            Self::Wgsl(spec) => spec.file = PathBuf::new(),
        }
    }
}

/// Tasks y = A sin(x + φ), A and φ uniform, on an even grid of points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SineSpec {
    /// Lowest and highest amplitude A. Default [0.1, 5].
    pub amplitude: [f32; 2],
    /// Lowest and highest phase φ in radians. Default [0, 2π].
    pub phase: [f32; 2],
    /// First and last point of the grid. Default [−5, 5].
    pub range: [f32; 2],
    /// Points of the grid: the support set of a training task, the query set of a test task.
    /// Default 50.
    pub points: usize,
    /// Support points of a test task, drawn from the grid. Default 10.
    pub shots: usize,
}

impl Default for SineSpec {
    fn default() -> Self {
        Self {
            amplitude: [0.1, 5.0],
            phase: [0.0, std::f32::consts::TAU],
            range: [-5.0, 5.0],
            points: 50,
            shots: 10,
        }
    }
}

/// The sizes of N-way K-shot tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpisodeSpec {
    /// Classes of a task N (the authors' `classes`).
    pub way: usize,
    /// Support examples a class of a test task (the authors' `shots`).
    pub shots: usize,
    /// Support examples a class of a training task (the authors' `train_shots`).
    pub train_shots: usize,
    /// Query examples a class of a test task. Default 1.
    #[serde(default = "queries")]
    pub queries: usize,
}

impl EpisodeSpec {
    /// Tasks of `way` classes with `shots` support examples of each, `train_shots` in training, and one query of each.
    pub fn new([way, shots]: [usize; 2], train_shots: usize) -> Self {
        Self { way, shots, train_shots, queries: queries() }
    }

    /// Examples of a class that a test task takes, support and query.
    pub fn test_examples(&self) -> usize {
        self.shots.saturating_add(self.queries)
    }
}

/// Episodes over Omniglot (Lake, Salakhutdinov and Tenenbaum 2015).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OmniglotSpec {
    /// Folder with `images_background.zip` and `images_evaluation.zip` or the extracted folders;
    /// without it, the folder `omniglot` below REPTILE_DATA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The sizes of a task.
    #[serde(flatten)]
    pub episodes: EpisodeSpec,
    /// Side of an image in pixels after resizing. Default 28.
    #[serde(default = "size")]
    pub size: usize,
    /// Each training character also counts, turned by 90, 180 and 270 degrees, as a class. Default
    /// true.
    #[serde(default = "yes")]
    pub rotations: bool,
    /// Characters in the training part of the split; the others are for testing. Default 1200.
    #[serde(default = "train_count")]
    pub train_count: usize,
    /// Seed of the split. Default 0.
    #[serde(default)]
    pub split_seed: u64,
    /// File with the training classes, a path a line, instead of a random split. Read when a run begins: its classes
    /// are stored with the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_classes: Option<PathBuf>,
    /// File with the test classes; or the word `train`: those of training, without turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_classes: Option<PathBuf>,
}

impl OmniglotSpec {
    /// Tasks of the sizes `episodes`; the other settings at their defaults.
    pub fn new(episodes: EpisodeSpec) -> Self {
        Self {
            data: None,
            episodes,
            size: size(),
            rotations: yes(),
            train_count: train_count(),
            split_seed: 0,
            train_classes: None,
            test_classes: None,
        }
    }

    /// Whether test tasks are of the training classes: `test_classes` is the word `train` (a file of that name is `./train`).
    pub fn tests_training_classes(&self) -> bool {
        self.test_classes.as_deref() == Some(Path::new("train"))
    }
}

/// Episodes over a folder of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImagesSpec {
    /// Folder with `train`, `test` and, if there is one, `val`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Without `data`: the folder's name below REPTILE_DATA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The sizes of a task.
    #[serde(flatten)]
    pub episodes: EpisodeSpec,
    /// Side of an image in pixels after resizing.
    pub size: usize,
    /// 3 = red, green and blue, 1 = grey (0.2126 R + 0.7152 G + 0.0722 B). Default 3.
    #[serde(default = "channels")]
    pub channels: usize,
    /// What transparent images are laid on: `white`, `black` or `#rrggbb`. Default white.
    #[serde(default, skip_serializing_if = "is_white")]
    pub background: Background,
    /// Which classes test tasks are of. Default others than those of training.
    #[serde(default, skip_serializing_if = "TestClasses::is_own")]
    pub test_classes: TestClasses,
}

impl ImagesSpec {
    /// Tasks of the sizes `episodes` over images of `size` × `size` pixels, red, green and blue; `data` or `set` says where they are.
    pub fn new(episodes: EpisodeSpec, size: usize) -> Self {
        let (channels, background) = (channels(), Background::WHITE);
        let test_classes = TestClasses::Own;
        Self { data: None, set: None, episodes, size, channels, background, test_classes }
    }

    /// How images of `size` × `size` pixels in so many channels are read, whatever tasks they are for.
    pub fn of_one(size: usize, channels: usize) -> Self {
        Self { channels, ..Self::new(EpisodeSpec::new([1, 1], 1), size) }
    }
}

/// A colour: red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Background(pub [u8; 3]);

impl Background {
    /// All light.
    pub const WHITE: Self = Self([255; 3]);
}

impl Default for Background {
    fn default() -> Self {
        Self::WHITE
    }
}

impl TryFrom<String> for Background {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = match text.as_str() {
            "white" => "ffffff",
            "black" => "000000",
            other => other.strip_prefix('#').unwrap_or_default(),
        };
        let all = digits.len() == 6 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| all);
        let Some(value) = value else {
            return Err(format!(
                "tasks.background: `{text}` is no colour; give \"white\", \"black\" or \"#rrggbb\""
            ));
        };
        let [_, red, green, blue] = value.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl From<Background> for String {
    fn from(Background([red, green, blue]): Background) -> Self {
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

fn is_white(background: &Background) -> bool {
    *background == Background::WHITE
}

/// Episodes over glyphs: a class is a few random strokes, an example is that class drawn once more,
/// a little otherwise. Every task has classes of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GlyphsSpec {
    /// The sizes of a task.
    #[serde(flatten)]
    pub episodes: EpisodeSpec,
    /// Side of an image in pixels. Default 28.
    #[serde(default = "size")]
    pub size: usize,
    /// How an example differs from its class.
    #[serde(flatten)]
    pub variation: Variation,
}

impl GlyphsSpec {
    /// Tasks of the sizes `episodes`; the other settings at their defaults.
    pub fn new(episodes: EpisodeSpec) -> Self {
        Self { episodes, size: size(), variation: Variation::default() }
    }
}

/// How a glyph's examples differ. Each number is drawn uniformly for each example; lengths are in
/// sides of the image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Variation {
    /// Largest shift of a control point along each axis. Default 0.05.
    pub jitter: f32,
    /// Largest turn in radians, either way. Default 0.2.
    pub rotation: f32,
    /// Largest change of the factor 1 on each axis. Default 0.2.
    pub scale: f32,
    /// Largest shear. Default 0.2.
    pub shear: f32,
    /// Largest shift of the whole glyph along each axis. Default 0.1.
    pub shift: f32,
    /// Lowest and highest width of the strokes. Default [0.036, 0.054].
    pub width: [f32; 2],
}

impl Default for Variation {
    fn default() -> Self {
        Self {
            jitter: 0.05,
            rotation: 0.2,
            scale: 0.2,
            shear: 0.2,
            shift: 0.1,
            width: [0.036, 0.054],
        }
    }
}

fn queries() -> usize {
    1
}

fn size() -> usize {
    28
}

fn yes() -> bool {
    true
}

fn train_count() -> usize {
    1200
}

fn channels() -> usize {
    3
}
