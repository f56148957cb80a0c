//! Adaptations to tasks of every kind, compared with float64.

use std::sync::Arc;

use reptile::gpu::Gpu;
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, DeviceImages, Origin, PlanKind, StartingPoint, TaskBuffers,
};
use reptile::model::{Loss, Model};
use reptile::optimizers::{self, InnerOptimizer, OptimizerState, Settings};
use reptile::reference::glyphs::{GlyphFamily, glyph};
use reptile::reference::network::{Targets, forward};
use reptile::reference::reptile::{Inner, Task, inner_loop};
use reptile::reference::sampling::{Pool, episode, order};
use reptile::reference::storage::stored_in_float32;
use reptile::rng::{Phase, Stream};
use reptile::tasks::{
    Batches, Bits, EpisodeSpec, GlyphsSpec, ImageClass, Split, SplitClass, SplitPart, Variation,
};

use crate::common::{
    assert_close, assert_close_from, integers, numbers, random_images, widen, with,
};
use crate::harness::Device;

/// What tasks are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Rows of numbers with their minibatches, uploaded.
    Arrays,
    /// Glyphs of this side, drawn on the device.
    Glyphs { side: usize },
    /// Episodes over images of this side in device memory.
    Images { side: usize, channels: usize, bits: Bits },
}

/// An adaptation of some tasks.
#[derive(Clone, Debug)]
pub struct Case {
    pub model: Model,
    pub kind: Kind,
    pub transductive: bool,
    pub adam: Option<f32>,
    pub weight_decay: f32,
    pub tasks: usize,
    /// Support examples of a task; of a class, where there are classes.
    pub support: usize,
    /// Queries likewise.
    pub queries: usize,
    pub steps: usize,
    pub batch: usize,
    pub seed: u64,
}

/// The examples of all tasks and the order of their minibatches, one task after another.
pub struct Data {
    /// `[T, N, in]`
    pub x: Vec<f32>,
    pub values: Vec<f32>,
    pub labels: Vec<u32>,
    /// `[T, K · B]`
    pub order: Vec<u32>,
    /// `[T, Q, in]`
    pub query: Vec<f32>,
}

impl Case {
    /// Behind a batch-norm, the gradient by a bias or by the weights of an input that never changes is zero but
    /// for rounding, of which Adam with a small ε would make whole steps.
    const EPSILON: f32 = 1e-4;

    fn rule(&self) -> InnerRule {
        InnerRule::Optimizer(self.optimizer())
    }

    fn optimizer(&self) -> optimizers::Inner {
        self.adam.map_or(optimizers::Inner::SGD, |beta1| {
            let settings = with(Settings::DEFAULT, |it| {
                it.beta1 = beta1;
                it.epsilon = Self::EPSILON;
            });
            optimizers::Inner::new(InnerOptimizer::Adam, settings)
        })
    }

    fn rate(&self) -> f32 {
        if self.adam.is_some() { 0.002 } else { 0.03 }
    }

    /// Classes that examples are grouped by.
    fn way(&self) -> usize {
        if self.kind == Kind::Arrays { 1 } else { self.model.outputs() }
    }

    /// Examples of a task: support, queries.
    fn counts(&self) -> [usize; 2] {
        [self.support, self.queries].map(|count| self.way() * count)
    }

    fn batches(&self) -> Batches {
        Batches::new([self.way(), self.support], self.batch, self.steps)
    }

    fn glyphs(&self, size: usize) -> GlyphsSpec {
        let (way, shots, queries) = (self.way(), self.support, self.queries);
        let episodes = with(EpisodeSpec::new([way, shots], shots), |it| it.queries = queries);
        with(GlyphsSpec::new(episodes), |it| it.size = size)
    }

    /// Random images of as many classes as a task has and two more, each in one part.
    fn images(&self) -> Split {
        let Kind::Images { side, channels, bits } = self.kind else { panic!("no images") };
        let mut classes = Vec::new();
        let mut images = 0;
        for n in 0..self.way() + 2 {
            let own = self.support + self.queries + n % 3;
            classes.push(ImageClass {
                name: n.to_string(),
                first_image: images,
                images: own as u32,
            });
            images += own as u32;
        }
        let part = |rotation| -> Vec<SplitClass> {
            (0..classes.len()).map(|class| SplitClass { class, rotation }).collect()
        };
        let (train, test) = (part(0), part(3));
        let images = random_images(self.seed, side, channels, bits, classes);
        Split { images, train, val: Vec::new(), test }
    }

    fn origin(&self, gpu: &Gpu) -> Origin {
        let queries = self.queries;
        match self.kind {
            Kind::Arrays => Origin::Rows { queries, ordered: true },
            Kind::Glyphs { side } => Origin::Glyphs(self.glyphs(side)),
            Kind::Images { .. } => Origin::Episodes {
                images: Arc::new(DeviceImages::new(gpu, &self.images()).unwrap()),
                part: SplitPart::Test,
                queries,
            },
        }
    }

    /// The tasks: those that are uploaded, or as the samplers' twins draw them. Glyphs, whose edges depend on
    /// rounding, are taken from `drawn` on the device, once they are seen to be near to their twins.
    fn data(&self, gpu: &Gpu, drawn: &TaskBuffers) -> Data {
        let counts = self.counts();
        if self.kind == Kind::Arrays {
            let [inputs, outputs] = [self.model.inputs(), self.model.outputs()];
            let [support, queries] = counts.map(|count| self.tasks * count);
            return Data {
                x: numbers(self.seed, support * inputs),
                values: numbers(self.seed + 1, support * outputs),
                labels: integers(self.seed + 1, support, outputs),
                order: integers(self.seed + 2, self.tasks * self.steps * self.batch, counts[0]),
                query: numbers(self.seed + 3, queries * inputs),
            };
        }
        let mut data =
            Data { x: vec![], values: vec![], labels: vec![], order: vec![], query: vec![] };
        for task in 0..self.tasks {
            let stream = Stream::new(self.seed, Phase::Test, 0, task as u32);
            let pool = Pool { way: self.way(), group: self.support, tail: 0 };
            data.order.extend(order(&stream, pool, self.steps, self.batch, false));
            data.labels.extend((0..counts[0]).map(|example| (example / self.support) as u32));
            match self.kind {
                Kind::Glyphs { side } => {
                    let [x, query] = [&mut data.x, &mut data.query];
                    x.extend(self.drawn_glyphs(side, &stream, 0..self.support));
                    query.extend(self.drawn_glyphs(
                        side,
                        &stream,
                        self.support..self.support + self.queries,
                    ));
                }
                _ => {
                    let [support, query] = self.drawn_images(&stream);
                    data.x.extend(support);
                    data.query.extend(query);
                }
            }
        }
        if let Kind::Glyphs { .. } = self.kind {
            let sets = [drawn.support_rows().unwrap()[0], drawn.query_rows().unwrap()[0]];
            for (own, buffer) in [&mut data.x, &mut data.query].into_iter().zip(sets) {
                let rows = own.len() / self.model.inputs();
                let floats = gpu.read(buffer, 0, rows * self.model.inputs_padded()).unwrap();
                let images = self.model.unpack_inputs(&floats);
                assert_eq!(self.model.pack_inputs(&images), floats, "the padding is zero");
                // Of black on white; an edge is a quarter of a pixel.
                assert_close("glyphs", &images, &widen(own), 2e-4);
                *own = images;
            }
        }
        data
    }

    /// Examples `which` of each class of a task.
    fn drawn_glyphs(
        &self,
        side: usize,
        stream: &Stream,
        which: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let Variation { jitter, rotation, scale, shear, shift, width, .. } = Variation::default();
        let family = GlyphFamily { jitter, rotation, scale, shear, shift, width };
        let one = |class: usize, example: usize| {
            glyph(stream, &family, [class as u32, example as u32], side)
        };
        (0..self.way())
            .flat_map(|class| which.clone().flat_map(move |example| one(class, example)))
            .map(|pixel| pixel as f32)
            .collect()
    }

    /// Support and query images of a task.
    fn drawn_images(&self, stream: &Stream) -> [Vec<f32>; 2] {
        let split = self.images();
        let (set, classes) = (&split.images, split.classes(SplitPart::Test));
        let class = |number: u32| classes[number as usize];
        let images = |number: u32| set.classes[class(number).class].images;
        let [way, shots, queries] =
            [self.way(), self.support, self.queries].map(|count| count as u32);
        let drawn = episode(stream, classes.len() as u32, &images, way, shots, queries);
        [drawn.support, drawn.query].map(|examples| {
            let pixels = |(number, image): &(u32, u32)| -> Vec<f32> {
                let SplitClass { class, rotation } = class(*number);
                let image = (set.classes[class].first_image + image) as usize;
                (0..set.pixels()).map(|pixel| set.pixel(image, rotation, pixel)).collect()
            };
            examples.iter().flat_map(pixels).collect()
        })
    }
}

/// Parameters, support losses and query outputs of all tasks, one after another.
pub struct Results<T> {
    pub parameters: Vec<T>,
    pub losses: Vec<T>,
    pub outputs: Vec<T>,
}

/// What `plan` makes of the tasks, and the tasks; nothing if it cannot take them.
pub fn on_device(gpu: &Gpu, case: &Case, plan: PlanKind) -> Option<(Results<f32>, Data)> {
    let model = &case.model;
    let mut setup =
        AdaptationSetup::new(model, case.origin(gpu), case.rule(), case.rate(), case.batches());
    setup.weight_decay = case.weight_decay;
    setup.plan = plan;
    setup.phase = Phase::Test;
    setup.seed = case.seed;
    setup.transductive = vec![case.transductive];
    let mut adaptation = match Adaptation::new(gpu, setup, case.tasks) {
        Ok(adaptation) => adaptation,
        Err(error) if plan == PlanKind::Fused && error.to_string().contains("plan") => return None,
        Err(error) => panic!("{error}"),
    };
    adaptation.start_from(&StartingPoint::new(model.initial(case.seed))).unwrap();
    if case.kind == Kind::Arrays {
        let tasks = adaptation.tasks();
        let data = case.data(gpu, tasks);
        tasks.upload_support_x(gpu, model, &data.x).unwrap();
        match case.model.loss() {
            Loss::Mse => tasks.upload_support_values(gpu, model, &data.values).unwrap(),
            Loss::CrossEntropy => tasks.upload_support_labels(gpu, &data.labels).unwrap(),
        }
        tasks.upload_order(gpu, &data.order).unwrap();
        tasks.upload_query_x(gpu, model, &data.query).unwrap();
    }
    adaptation.run(0).unwrap();
    let [_, outputs] = adaptation.query_outputs().unwrap();
    let results = Results {
        parameters: adaptation.adapted().unwrap().concat(),
        losses: adaptation.support_losses().unwrap(),
        outputs: outputs.unwrap(),
    };
    Some((results, case.data(gpu, adaptation.tasks())))
}

/// The predictions of one task's queries, in one batch or each in one with the support set.
fn predictions(case: &Case, parameters: &[f64], support: &[f64], query: &[f64]) -> Vec<f64> {
    let (model, outputs) = (&case.model, case.model.outputs());
    if case.transductive || !model.has_batch_statistics() {
        return forward(model, parameters, query);
    }
    let alone = |query: &[f64]| {
        let rows = forward(model, parameters, &[support, query].concat());
        rows[rows.len() - outputs..].to_vec()
    };
    query.chunks_exact(model.inputs()).flat_map(alone).collect()
}

fn in_float64(case: &Case, data: &Data) -> Results<f64> {
    let model = &case.model;
    let theta = widen(&model.initial(case.seed));
    let inner = Inner {
        optimizer: case.optimizer(),
        rate: f64::from(case.rate()),
        weight_decay: f64::from(case.weight_decay),
    };
    let (x, values, query) = (widen(&data.x), widen(&data.values), widen(&data.query));
    let [support, queries] = case.counts();
    let mut results = Results { parameters: vec![], losses: vec![], outputs: vec![] };
    for task in 0..case.tasks {
        let own = |width: usize| task * support * width..(task + 1) * support * width;
        let targets = match case.model.loss() {
            Loss::Mse => Targets::Values(&values[own(case.model.outputs())]),
            Loss::CrossEntropy => Targets::Labels(&data.labels[own(1)]),
        };
        let steps = case.steps * case.batch;
        let task_data = Task {
            x: &x[own(case.model.inputs())],
            targets,
            order: &data.order[task * steps..(task + 1) * steps],
            batch: case.batch,
            tail: 0,
        };
        let state = OptimizerState::zeros(theta.len());
        let adapted = inner_loop(model, &theta, state, inner, &task_data);
        let width = queries * case.model.inputs();
        let query = &query[task * width..][..width];
        let outputs = predictions(case, &adapted.parameters, task_data.x, query);
        results.parameters.extend(adapted.parameters);
        results.losses.extend(adapted.losses);
        results.outputs.extend(outputs);
    }
    results
}

/// How many times `tolerance` float64 is from itself if it rounds to float32 between its layers, and nowhere else: what no
/// device can be expected to stay below. Zero where `got` is within the tolerance, which is all that matters then.
fn cost_of_float32(case: &Case, data: &Data, got: &[f32], wanted: &[f64], tolerance: f64) -> f64 {
    let largest = wanted.iter().fold(0.1_f64, |largest, value| largest.max(value.abs()));
    let far = |a: &[f64]| {
        let distances = a.iter().zip(wanted).map(|(a, b)| (a - b).abs());
        distances.fold(0.0, f64::max) / largest / tolerance
    };
    if far(&widen(got)) <= 1.0 {
        return 0.0;
    }
    far(&stored_in_float32(|| in_float64(case, data)).outputs)
}

/// Compares both plans with float64, and with each other; the fused one must run where it fits.
///
/// # Errors
/// If outputs are too far, but the network passes on so much of float32's rounding that half of the tolerance is used up
/// before a kernel adds a number: it says nothing of the device.
pub fn check(
    Device { name, gpu, .. }: &Device,
    case: &Case,
    fused_fits: bool,
) -> Result<(), String> {
    let mut layered = None;
    for plan in [PlanKind::Layered, PlanKind::Fused] {
        let Some((got, data)) = on_device(gpu, case, plan) else {
            assert!(!fused_fits, "{name}: the fused plan must take {case:?}");
            continue;
        };
        let wanted = in_float64(case, &data);
        let what = |part: &str| format!("{part}, {plan:?}, {name}, {case:?}");
        assert_close(&what("parameters"), &got.parameters, &wanted.parameters, 3e-5);
        // Logits near zero are differences of larger numbers.
        let close = |part: &str, got: &[f32], wanted: &[f64]| {
            assert_close_from(&what(part), got, wanted, 3e-5, 0.1);
        };
        close("support losses", &got.losses, &wanted.losses);
        let cost = cost_of_float32(case, &data, &got.outputs, &wanted.outputs, 3e-5);
        if cost > 0.5 {
            return Err(format!(
                "float32 between layers alone costs {cost:.2} × the tolerance: {}",
                what("query outputs")
            ));
        }
        close("query outputs", &got.outputs, &wanted.outputs);
        let first = layered.get_or_insert_with(|| widen(&got.outputs));
        close("query outputs of both plans", &got.outputs, first);
    }
    Ok(())
}
