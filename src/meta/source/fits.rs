//! Whether tasks of an origin fit a network: no kernel is given labels, pixels or draws that it has no room for.

use crate::error::{Error, Result};
use crate::kernels::check_functions;
use crate::meta::arrays::ArrayPart;
use crate::meta::checks;
use crate::meta::source::Origin;
use crate::model::{Layout, Loss, Model};
use crate::tasks::{Batches, GlyphsSpec, SineSpec};

/// Examples of a class that a sampler tells apart.
const MOST_EXAMPLES: usize = 256;

/// Pixels a side of a glyph: the kernel keeps 8 bytes a row in workgroup memory, of which devices have 16 KiB.
const LARGEST_GLYPH: usize = 1024;

impl Origin {
    /// Checks that tasks of this origin in minibatches of `batches` fit `model`; with their queries, or without.
    ///
    /// # Errors
    /// [`Error::Config`] that names the number which does not fit.
    pub(in crate::meta) fn check(
        &self,
        model: &Model,
        batches: &Batches,
        with_queries: bool,
    ) -> Result<()> {
        checks::batches(batches)?;
        let per_class = |queries| if with_queries { queries } else { 0 };
        match self {
            Self::Sine(spec) => sine(spec, model, batches),
            Self::Glyphs(spec) => {
                glyphs(spec)?;
                let queries = per_class(spec.episodes.queries);
                episodes(model, batches, queries, [1, spec.size, spec.size])
            }
            Self::Episodes { images, part, queries } => {
                let queries = per_class(*queries);
                episodes(model, batches, queries, images.shape.sides())?;
                let (count, fewest) = images.part(*part).classes_and_fewest();
                enough_classes(count, batches.way, part.name())?;
                let needed = batches.group.saturating_add(queries);
                if fewest < needed {
                    let message = format!(
                        "a {} task needs {needed} images of a class, but one has only {fewest}; lower it, or the \
                         queries",
                        part.name()
                    );
                    return Err(Error::config("batches.group", message));
                }
                Ok(())
            }
            Self::Listed { images, queries, .. } => {
                checks::counted("the queries of a task", &[batches.way, per_class(*queries)])?;
                classes(model, batches, images.shape.sides())
            }
            Self::Arrays { arrays, part, queries } => {
                let own = arrays.part(*part)?;
                arrays_fit(
                    own,
                    arrays.has_classes(),
                    model,
                    batches,
                    per_class(*queries),
                    part.name(),
                )
            }
            Self::Functions { functions, queries } => {
                checks::counted("the queries of a task", &[*queries])?;
                if batches.way != 1 {
                    let message = format!(
                        "{} classes, but functions draw a task as one group; give 1",
                        batches.way
                    );
                    return Err(Error::config("batches.way", message));
                }
                check_functions(functions, model)
            }
            Self::Rows { queries, .. } => checks::counted("the queries of a task", &[*queries]),
        }
    }
}

fn sine(spec: &SineSpec, model: &Model, batches: &Batches) -> Result<()> {
    if model.inputs() != 1 || model.outputs() != 1 || model.loss() != Loss::Mse {
        let message =
            "sine tasks need a network of one input, one output and the mean squared error";
        return Err(Error::config("model", message));
    }
    checks::ordered("tasks.amplitude", spec.amplitude)?;
    checks::ordered("tasks.phase", spec.phase)?;
    checks::ordered("tasks.range", spec.range)?;
    checks::counted("tasks.points", &[spec.points])?;
    if spec.points < 2 {
        let message = format!("a grid of {} points; give 2 or more", spec.points);
        return Err(Error::config("tasks.points", message));
    }
    if batches.way != 1 || batches.group > spec.points {
        let message = format!(
            "{} support points of a grid of {}; give fewer, of one class",
            batches.support(),
            spec.points
        );
        return Err(Error::config("batches", message));
    }
    Ok(())
}

fn glyphs(spec: &GlyphsSpec) -> Result<()> {
    let variation = &spec.variation;
    for (key, value) in [
        ("tasks.jitter", variation.jitter),
        ("tasks.rotation", variation.rotation),
        ("tasks.scale", variation.scale),
        ("tasks.shear", variation.shear),
        ("tasks.shift", variation.shift),
    ] {
        checks::ordered(key, [0.0, value])?;
    }
    checks::ordered("tasks.width", variation.width)?;
    checks::positive("tasks.width", variation.width[0])?;
    if spec.size > LARGEST_GLYPH {
        let message = format!("{} is too large; give at most {LARGEST_GLYPH}", spec.size);
        return Err(Error::config("tasks.size", message));
    }
    Ok(())
}

/// Tasks, or classes, that have enough examples for their support set and `queries` queries.
fn arrays_fit(
    part: &ArrayPart,
    classes: bool,
    model: &Model,
    batches: &Batches,
    queries: usize,
    name: &str,
) -> Result<()> {
    let needed = batches.group.saturating_add(queries);
    checks::counted("the queries of a task", &[batches.way, queries])?;
    if classes {
        most_examples(needed)?;
        outputs_for(model, batches.way)?;
        enough_classes(part.count, batches.way, name)?;
    } else if batches.way != 1 {
        let message = format!("{} classes, but tasks of a list are one group; give 1", batches.way);
        return Err(Error::config("batches.way", message));
    }
    if part.fewest < needed {
        let what = if classes { "class" } else { "task" };
        let message = format!(
            "a {name} task needs {needed} examples of a {what}, but one has only {}; lower it, or the queries",
            part.fewest
        );
        return Err(Error::config("batches.group", message));
    }
    Ok(())
}

/// Refuses more classes a task than there are.
fn enough_classes(count: usize, way: usize, name: &str) -> Result<()> {
    if count >= way {
        return Ok(());
    }
    let message = format!(
        "{way} classes a task, but there are only {count} to draw {name} tasks from; lower it"
    );
    Err(Error::config("batches.way", message))
}

/// Refuses more examples of a class than a sampler tells apart.
fn most_examples(examples: usize) -> Result<()> {
    if examples <= MOST_EXAMPLES {
        return Ok(());
    }
    let message = format!("{examples} examples of a class; at most {MOST_EXAMPLES} can be drawn");
    Err(Error::config("batches.group", message))
}

/// Refuses a network that cannot tell `way` classes apart.
fn outputs_for(model: &Model, way: usize) -> Result<()> {
    if model.loss() != Loss::CrossEntropy {
        return Err(Error::config("model.loss", "classes need the loss cross-entropy"));
    }
    if way > model.outputs() {
        let message =
            format!("the last layer has {} units for {way} classes; give it more", model.outputs());
        return Err(Error::config("model.layers", message));
    }
    Ok(())
}

/// Episodes that are drawn: with so many `queries` a class, of images `[C, H, W]`.
fn episodes(model: &Model, batches: &Batches, queries: usize, image: [usize; 3]) -> Result<()> {
    most_examples(batches.group.saturating_add(queries))?;
    checks::counted("the queries of a task", &[batches.way, queries])?;
    classes(model, batches, image)
}

/// A network that tells the classes of a task apart by images `[C, H, W]`.
fn classes(model: &Model, batches: &Batches, image: [usize; 3]) -> Result<()> {
    let [channels, height, width] = image;
    let numbers = channels.saturating_mul(height).saturating_mul(width);
    // To a dense layer, an image is a row of numbers.
    let row = model.input_layout() == Layout::Row && model.inputs() == numbers;
    if !row && model.spec().input != image {
        let message = format!(
            "{:?} has {} numbers, but the images are {image:?}, {numbers} numbers; give input = {image:?}",
            model.spec().input,
            model.inputs()
        );
        return Err(Error::config("model.input", message));
    }
    outputs_for(model, batches.way)
}
