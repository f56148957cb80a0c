//! The `[tasks]` part, and whether the network fits it.

use std::path::{Component, Path};

use super::{at_least, count, in_toml, ordered};
use crate::error::{Error, Result};
use crate::model::{Layout, Loss, Model};
use crate::tasks::{
    ArraysSpec, EpisodeSpec, FunctionSpec, GlyphsSpec, ImagesSpec, OmniglotSpec, SineSpec,
    TaskSpec, Variation,
};

/// Pixels a side: the kernel keeps 8 bytes a row in workgroup memory, of which devices have 16 KiB.
const LARGEST_GLYPH: usize = 1024;

/// Checks `spec` for `model`.
pub(super) fn tasks(spec: &TaskSpec, model: &Model) -> Result<()> {
    match spec {
        TaskSpec::Sine(spec) => sine(spec, model),
        TaskSpec::Omniglot(spec) => omniglot(spec, model),
        TaskSpec::Images(spec) => images(spec, model),
        TaskSpec::Glyphs(spec) => glyphs(spec, model),
        TaskSpec::Arrays(spec) => arrays(spec, model),
        TaskSpec::Wgsl(spec) => functions(spec, model),
    }
}

fn functions(spec: &FunctionSpec, model: &Model) -> Result<()> {
    utf8("tasks.file", Some(&spec.file))?;
    sizes(
        spec.way,
        [("shots", Some(spec.shots)), ("train_shots", spec.train_shots), ("queries", spec.queries)],
    )?;
    if model.loss() == Loss::Mse && spec.way.is_some() {
        let message = "classes need loss = \"cross-entropy\"; leave it out";
        return Err(Error::config("tasks.way", message));
    }
    outputs(spec.way, model)
}

/// Counts that may be left out.
fn sizes(way: Option<usize>, others: [(&str, Option<usize>); 3]) -> Result<()> {
    for (name, size) in [("way", way)].into_iter().chain(others) {
        size.map_or(Ok(()), |size| count(&format!("tasks.{name}"), size as u64))?;
    }
    Ok(())
}

/// A network with an output for each class.
fn outputs(way: Option<usize>, model: &Model) -> Result<()> {
    match way.filter(|way| *way > model.outputs()) {
        None => Ok(()),
        Some(way) => {
            let units = model.outputs();
            let message = format!("the last layer has {units} units for {way} classes (tasks.way)");
            Err(Error::config("model.layers", message))
        }
    }
}

fn arrays(spec: &ArraysSpec, model: &Model) -> Result<()> {
    in_toml("tasks.split_seed", spec.split_seed)?;
    let own = [("tasks.train", &spec.train), ("tasks.val", &spec.val), ("tasks.test", &spec.test)];
    for (key, path) in own.into_iter().chain([("tasks.data", &spec.data)]) {
        utf8(key, path.as_deref())?;
    }
    let named = own.into_iter().find(|(_, path)| path.is_some());
    match (&spec.data, named) {
        (Some(_), Some((key, _))) => {
            let message =
                "tasks.data is one file for all parts; give that, or a file for each part";
            return Err(Error::config(key, message));
        }
        (None, _) if spec.train.is_none() => {
            let message = "no file is given: name the one of the training part in tasks.train, or one for all parts \
                           in tasks.data";
            return Err(Error::config("tasks.train", message));
        }
        _ => {}
    }
    let [train, ..] = spec.parts;
    let sum: f64 = spec.parts.iter().sum();
    if spec.parts.iter().any(|share| !(0.0..=1.0).contains(share))
        || sum > 1.0 + 1e-9
        || train <= 0.0
    {
        let message = format!(
            "{:?} are no shares of training, validation and tests; give three numbers from 0 to 1 that add up to 1 or \
             less, the first above 0",
            spec.parts
        );
        return Err(Error::config("tasks.parts", message));
    }
    sizes(
        spec.way,
        [("shots", Some(spec.shots)), ("train_shots", spec.train_shots), ("queries", spec.queries)],
    )?;
    outputs(spec.way, model)
}

fn sine(spec: &SineSpec, model: &Model) -> Result<()> {
    if model.inputs() != 1 || model.outputs() != 1 || model.loss() != Loss::Mse {
        let message = "sine tasks need input = [1], one output and loss = \"mse\"";
        return Err(Error::config("model", message));
    }
    ordered("tasks.amplitude", spec.amplitude)?;
    ordered("tasks.phase", spec.phase)?;
    ordered("tasks.range", spec.range)?;
    if spec.range[0] == spec.range[1] {
        let message = "the grid has one point; give two different ends";
        return Err(Error::config("tasks.range", message));
    }
    count("tasks.points", spec.points as u64)?;
    at_least("tasks.points", spec.points as u64, 2)?;
    count("tasks.shots", spec.shots as u64)?;
    if spec.shots > spec.points {
        let message =
            format!("{} support points of a grid of {}; give fewer", spec.shots, spec.points);
        return Err(Error::config("tasks.shots", message));
    }
    Ok(())
}

fn omniglot(spec: &OmniglotSpec, model: &Model) -> Result<()> {
    in_toml("tasks.split_seed", spec.split_seed)?;
    count("tasks.train_count", spec.train_count as u64)?;
    utf8("tasks.data", spec.data.as_deref())?;
    utf8("tasks.train_classes", spec.train_classes.as_deref())?;
    utf8("tasks.test_classes", spec.test_classes.as_deref())?;
    episodes(&spec.episodes, [1, spec.size], model)
}

fn images(spec: &ImagesSpec, model: &Model) -> Result<()> {
    utf8("tasks.data", spec.data.as_deref())?;
    let plain = |part| matches!(part, Component::Normal(_));
    if let Some(set) = &spec.set
        && (set.is_empty() || !Path::new(set).components().all(plain))
    {
        let message = format!(
            "`{set}` is no name of a folder below REPTILE_DATA; name other places in tasks.data"
        );
        return Err(Error::config("tasks.set", message));
    }
    if ![1, 3].contains(&spec.channels) {
        let message = format!("{} is not possible; give 3 (colour) or 1 (grey)", spec.channels);
        return Err(Error::config("tasks.channels", message));
    }
    episodes(&spec.episodes, [spec.channels, spec.size], model)
}

fn glyphs(spec: &GlyphsSpec, model: &Model) -> Result<()> {
    let Variation { jitter, rotation, scale, shear, shift, width } = spec.variation;
    for (key, value, most) in [
        ("tasks.jitter", jitter, 1.0),
        ("tasks.rotation", rotation, std::f32::consts::PI),
        ("tasks.scale", scale, 1.0),
        ("tasks.shear", shear, 1.0),
        ("tasks.shift", shift, 1.0),
    ] {
        if !(0.0..=most).contains(&value) {
            let message = format!("{value} is not possible; give a number from 0 to {most}");
            return Err(Error::config(key, message));
        }
    }
    ordered("tasks.width", width)?;
    if width[0] <= 0.0 || width[1] > 1.0 {
        let message = "strokes of no width or beyond the image; give a range above 0 and up to 1";
        return Err(Error::config("tasks.width", message));
    }
    if spec.size > LARGEST_GLYPH {
        let message = format!("{} is too large; give at most {LARGEST_GLYPH}", spec.size);
        return Err(Error::config("tasks.size", message));
    }
    episodes(&spec.episodes, [1, spec.size], model)
}

/// A path that a run's config.toml can hold.
fn utf8(key: &str, path: Option<&Path>) -> Result<()> {
    match path.filter(|path| path.to_str().is_none()) {
        None => Ok(()),
        Some(path) => {
            let message = format!("{} is not UTF-8; give another path", path.display());
            Err(Error::config(key, message))
        }
    }
}

/// N-way tasks over images of so many channels and pixels a side.
fn episodes(spec: &EpisodeSpec, [channels, size]: [usize; 2], model: &Model) -> Result<()> {
    count("tasks.way", spec.way as u64)?;
    at_least("tasks.way", spec.way as u64, 2)?;
    count("tasks.size", size as u64)?;
    let counts = [
        ("tasks.shots", spec.shots),
        ("tasks.train_shots", spec.train_shots),
        ("tasks.queries", spec.queries),
    ];
    for (key, value) in counts {
        count(key, value as u64)?;
    }
    for (key, value) in
        [("tasks.train_shots", spec.train_shots), ("tasks.shots", spec.test_examples())]
    {
        if value > 256 {
            return Err(Error::config(
                key,
                format!("{value} examples a class; at most 256 can be drawn"),
            ));
        }
    }
    let (input, numbers) =
        (&model.spec().input, channels.saturating_mul(size).saturating_mul(size));
    // To a dense layer, an image is a row of numbers.
    let row = model.input_layout() == Layout::Row && model.inputs() == numbers;
    if !row && *input != [channels, size, size] {
        let message = format!(
            "{input:?} has {} numbers, but images of size {size} have {numbers}; give input = \
             [{channels}, {size}, {size}]",
            model.inputs(),
        );
        return Err(Error::config("model.input", message));
    }
    if model.outputs() < spec.way {
        let message = format!(
            "the last layer has {} units for {} classes (tasks.way)",
            model.outputs(),
            spec.way
        );
        return Err(Error::config("model.layers", message));
    }
    if model.loss() != Loss::CrossEntropy {
        return Err(Error::config("model.loss", "classes need loss = \"cross-entropy\""));
    }
    Ok(())
}
