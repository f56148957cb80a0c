//! Tasks that functions of the user's own draw: against the twin of their random numbers, and trainings on them against
//! float64.

use reptile::gpu::Gpu;
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, InnerSpec, Origin, OuterSpec, PlanKind, StartingPoint, Trainer,
    TrainerSetup, try_functions,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding, padded};
use reptile::reference::network::Targets;
use reptile::reference::reptile as reference;
use reptile::reference::sampling::{OwnRandom, Pool, order};
use reptile::rng::{Phase, Stream};
use reptile::tasks::{Batches, TaskFunctions};

use crate::common::{assert_close, network, widen, with};
use crate::harness::{Device, On, Tests, named};
use crate::trainer::meta;

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(functions_draw_what_their_twins_draw));
    tests.on(On::EVERY, named!(trainings_on_functions_agree_with_float64));
    tests.on(On::FIRST_OR_PLAIN, named!(what_functions_do_wrong_is_told));
}

pub const SEED: u64 = 9 << 34;

/// Planes through a point, in three numbers, with a second output that is normal.
pub const PLANES: &str = "
    struct Task { slope: vec3<f32>, at: f32 }
    fn draw_task(random: ptr<function, Random>) -> Task {
        let a = uniform(random);
        let b = uniform(random);
        return Task(vec3<f32>(a, b, uniform(random)), f32(below(random, 7u)));
    }
    fn draw_example(
        task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>,
        y: ptr<function, array<f32, OUTPUTS>>,
    ) {
        (*y)[0] = task.at;
        for (var i = 0u; i < INPUTS; i++) {
            (*x)[i] = uniform(random);
            (*y)[0] += task.slope[i % 3u] * (*x)[i];
        }
        (*y)[1] = normal(random) + 0.01 * f32(example_number(random));
    }";

/// Images whose label is where they are brightest.
pub const IMAGES: &str = "
    struct Task { turn: u32 }
    fn draw_task(random: ptr<function, Random>) -> Task { return Task(below(random, 3u)); }
    fn draw_example(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> u32 {
        let label = below(random, 3u);
        for (var i = 0u; i < INPUTS; i++) {
            (*x)[i] = 0.25 * uniform(random);
        }
        (*x)[(5u * label + task.turn) % INPUTS] += 1.0;
        return label;
    }";

#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    pub model: Model,
    text: &'static str,
    pub batches: Batches,
    queries: usize,
}

/// Of some examples: inputs, values, labels.
#[derive(Default)]
pub struct Examples {
    pub x: Vec<f32>,
    pub values: Vec<f64>,
    pub labels: Vec<u32>,
}

impl Case {
    pub fn all() -> [Self; 2] {
        let spec = ModelSpec::builder(&[2, 3, 3]).loss(Loss::CrossEntropy);
        let spec = spec.conv2d(5, 3, 1, Padding::SAME).activation(Activation::Tanh);
        let images = Model::new(spec.dense(3, Activation::Linear)).unwrap();
        let planes = network(3, &[(9, Activation::Tanh)], 2, Loss::Mse);
        let of = |name, model, text| Case {
            name,
            model,
            text,
            batches: Batches::new([1, 9], 4, 5),
            queries: 4,
        };
        [of("planes", planes, PLANES), of("images", images, IMAGES)]
    }

    fn origin(&self, queries: usize) -> Origin {
        Origin::Functions { functions: TaskFunctions::new(self.name, self.text), queries }
    }

    /// Examples `of` a task.
    pub fn drawn(&self, stream: &Stream, of: std::ops::Range<usize>) -> Examples {
        let mut random = OwnRandom::of_task(stream);
        let inputs = self.model.inputs();
        let mut all = Examples::default();
        if self.text == PLANES {
            let slope: Vec<f64> = (0..3).map(|_| f64::from(random.uniform())).collect();
            let at = f64::from(random.below(7));
            for number in of {
                let mut random = OwnRandom::of_example(stream, number as u32);
                let x: Vec<f32> = (0..inputs).map(|_| random.uniform()).collect();
                let sum: f64 = x.iter().zip(&slope).map(|(x, slope)| f64::from(*x) * slope).sum();
                let drift = f64::from(0.01 * number as f32);
                all.values.extend([at + sum, random.normal() + drift]);
                all.x.extend(x);
            }
            return all;
        }
        let turn = random.below(3);
        for number in of {
            let mut random = OwnRandom::of_example(stream, number as u32);
            let label = random.below(3);
            let mut x: Vec<f32> = (0..inputs).map(|_| 0.25 * random.uniform()).collect();
            x[(5 * label + turn) as usize % inputs] += 1.0;
            all.labels.push(label);
            all.x.extend(x);
        }
        all
    }
}

fn functions_draw_what_their_twins_draw(Device { name, gpu, .. }: &Device) {
    for case in Case::all() {
        let (model, count, first) = (&case.model, 5, 3);
        let (origin, batches) = (case.origin(case.queries), case.batches.clone());
        let setup = AdaptationSetup::new(model, origin, InnerRule::SGD, 0.02, batches);
        let setup = with(setup, |it| {
            (it.phase, it.seed, it.scored) = (Phase::Test, SEED, true);
        });
        let mut adaptation = Adaptation::new(gpu, setup, count).unwrap();
        adaptation.start_from(&StartingPoint::new(model.initial(3))).unwrap();
        adaptation.run(first).unwrap();
        let tasks = adaptation.tasks();
        let support = case.batches.support();
        for (of, rows) in [
            (0..support, tasks.support_rows().unwrap()),
            (support..support + case.queries, tasks.query_rows().unwrap()),
        ] {
            let what = format!("{}, examples {of:?}, {name}", case.name);
            let length = count * of.len();
            let x: Vec<f32> = gpu.read(rows[0], 0, length * model.inputs_padded()).unwrap();
            let inputs = model.unpack_inputs(&x);
            assert_eq!(model.pack_inputs(&inputs), x, "the padding is zero, {what}");
            let mut wanted = Examples::default();
            for task in 0..count {
                let stream = Stream::new(SEED, Phase::Test, 0, (first + task) as u32);
                let own = case.drawn(&stream, of.clone());
                wanted.x.extend(own.x);
                wanted.values.extend(own.values);
                wanted.labels.extend(own.labels);
            }
            assert_close(&what, &inputs, &widen(&wanted.x), 1e-6);
            if model.loss() == Loss::CrossEntropy {
                let labels: Vec<u32> = gpu.read(rows[1], 0, length).unwrap();
                assert_eq!(labels, wanted.labels, "{what}");
            } else {
                let outputs = model.outputs();
                let y: Vec<f32> = gpu.read(rows[1], 0, length * padded(outputs)).unwrap();
                let y = y.chunks_exact(padded(outputs)).flat_map(|row| &row[..outputs]);
                assert_close(&what, &y.copied().collect::<Vec<_>>(), &wanted.values, 2e-6);
            }
        }
    }
}

/// Parameters after three meta-iterations.
pub fn in_float64(case: &Case, setup: &TrainerSetup) -> Vec<f64> {
    let (model, batches, meta_batch) = (&case.model, &case.batches, setup.outer.meta_batch);
    let mut learner = reference::Learner::new(widen(&model.initial(SEED)), meta_batch);
    for iteration in 0..3 {
        let drawn = |number| {
            let stream = Stream::new(SEED, Phase::Train, iteration, number);
            let pool = Pool { way: 1, group: batches.group, tail: 0 };
            let order = order(&stream, pool, batches.steps, batches.batch, false);
            let own = case.drawn(&stream, 0..batches.group);
            (widen(&own.x), own, order)
        };
        let drawn: Vec<_> = (0..meta_batch as u32).map(drawn).collect();
        let tasks: Vec<reference::Task<'_>> = drawn
            .iter()
            .map(|(x, own, order)| reference::Task {
                x,
                targets: match model.loss() {
                    Loss::Mse => Targets::Values(&own.values),
                    Loss::CrossEntropy => Targets::Labels(&own.labels),
                },
                order,
                batch: batches.batch,
                tail: 0,
            })
            .collect();
        let meta = meta(setup, u64::from(iteration));
        reference::meta_iteration(model, &mut learner, &meta, &tasks);
    }
    learner.theta
}

fn trainings_on_functions_agree_with_float64(Device { name, gpu, .. }: &Device) {
    for case in Case::all() {
        let (inner, outer) = (InnerSpec::sgd(0.03, 4, 5), OuterSpec::interpolation(0.4, 3));
        let setup =
            TrainerSetup::new(&case.model, case.origin(0), inner, outer, case.batches.clone());
        let setup = with(setup, |it| (it.seed, it.iterations) = (SEED, 10));
        let wanted = in_float64(&case, &setup);
        for plan in [PlanKind::Layered, PlanKind::Fused] {
            if plan == PlanKind::Fused && !case.model.is_mlp() {
                continue;
            }
            let setup = with(setup.clone(), |it| it.plan = plan);
            let mut trainer = Trainer::new(gpu, setup).unwrap();
            trainer.advance(3, |_| true).unwrap();
            let got = &trainer.snapshot().unwrap().parameters[0];
            assert_close(&format!("{}, {plan:?}, {name}", case.name), got, &wanted, 3e-5);
        }
    }
}

/// What `try_functions` says of `text`.
fn refusal(gpu: &Gpu, model: &Model, text: &str) -> Option<String> {
    let functions = TaskFunctions::new("mine.wgsl", text);
    try_functions(gpu, model, &functions).err().map(|error| error.to_string())
}

fn what_functions_do_wrong_is_told(Device { gpu, .. }: &Device) {
    let [planes, images] = Case::all();
    for case in [&planes, &images] {
        assert_eq!(refusal(gpu, &case.model, case.text), None);
    }
    let refused = |case: &Case, from: &str, to: &str| {
        let text = case.text.replace(from, to);
        assert_ne!(text, case.text);
        refusal(gpu, &case.model, &text).unwrap_or_default()
    };
    let cases = [
        (refused(&images, "return label;", "return label + 1u;"), "label beyond 2"),
        (
            refused(&planes, "= normal(random)", "= bitcast<f32>(0x7F800000u + below(random, 1u))"),
            "target 1 of example",
        ),
        (refused(&planes, "(*x)[i] = uniform", "(*x)[i] = 1e38 * 1e2 * f32(i) + uniform"), "mine"),
        (refused(&planes, "(*y)[0] = task.at;", "(*y)[2] = task.at;"), "out of"),
        (refused(&planes, "task.slope[", "task.slopes["), "mine.wgsl:"),
    ];
    for (text, part) in cases {
        assert!(text.contains(part) && text.contains("mine.wgsl"), "{part}: {text}");
    }
    // An index that only shows on the device is kept within the array.
    let beyond = planes.text.replace("(*y)[1] =", "(*y)[1u + below(random, 1000u)] =");
    assert_eq!(refusal(gpu, &planes.model, &beyond), None);
}
