//! Batches of tasks that are not full give what batches of their sizes give.

use crate::common::{assert_close, integers, network, numbers, widen, with};
use crate::harness::{Device, On, Tests, all, named};
use reptile::Result;
use reptile::gpu::Gpu;
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, Origin, PlanKind, Score, StartingPoint, evaluate,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::optimizers::{Inner, InnerOptimizer, Settings};
use reptile::tasks::{Batches, SineSpec};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST_OR_FAST, named!(smaller_tasks_are_those_of_a_smaller_batch));
    tests.on(On::FIRST, named!(sizes_need_no_new_kernels_or_buffers));
    tests.on(On::FIRST, named!(sizes_wait_with_what_is_recorded));
    tests.on(On::FIRST, named!(impossible_sizes_are_refused));
    tests.on(On::FIRST_OR_FAST, named!(tasks_of_a_long_job_are_those_of_a_short_one));
}

/// Tasks of a batch.
const TASKS: usize = 3;
/// Support examples and queries that it is made for.
const MOST: [usize; 2] = [9, 6];

fn setup(model: Model, plan: PlanKind) -> AdaptationSetup {
    let mut setup = AdaptationSetup::new(
        &model,
        Origin::Rows { queries: MOST[1], ordered: false },
        InnerRule::SGD,
        0.05,
        Batches::new([1, MOST[0]], 5, 7),
    );
    setup.weight_decay = 0.99;
    setup.plan = plan;
    setup.seed = 3;
    setup.scored = true;
    setup
}

/// The setup of a batch that is made for so many.
fn exactly(setup: &AdaptationSetup, [support, queries]: [usize; 2]) -> AdaptationSetup {
    let Origin::Rows { ordered, .. } = setup.origin else { panic!("uploaded tasks") };
    let Batches { group, batch, .. } = setup.batches;
    let batch = if batch > group { batch } else { batch.min(support) };
    with(setup.clone(), |it| {
        (it.batches.group, it.batches.batch) = (support, batch);
        it.origin = Origin::Rows { queries, ordered };
    })
}

/// Uploads tasks that depend on their sizes alone.
fn upload(gpu: &Gpu, adaptation: &Adaptation, setup: &AdaptationSetup) -> Result<()> {
    let (tasks, model) = (adaptation.tasks(), &setup.model);
    let [support, queries] = adaptation.sizes().map(|count| TASKS * count);
    let seed = (100 * support + queries) as u64;
    tasks.upload_support_x(gpu, model, &numbers(seed, support * model.inputs()))?;
    tasks.upload_query_x(gpu, model, &numbers(seed + 1, queries * model.inputs()))?;
    match model.loss() {
        Loss::Mse => {
            let values = |seed, rows: usize| numbers(seed, rows * model.outputs());
            tasks.upload_support_values(gpu, model, &values(seed + 2, support))?;
            tasks.upload_query_values(gpu, model, &values(seed + 3, queries))?;
        }
        Loss::CrossEntropy => {
            tasks.upload_support_labels(gpu, &integers(seed + 2, support, model.outputs()))?;
            tasks.upload_query_labels(gpu, &integers(seed + 3, queries, model.outputs()))?;
        }
    }
    if matches!(setup.origin, Origin::Rows { ordered: true, .. }) {
        let exact = exactly(setup, adaptation.sizes()).batches;
        let length = TASKS * exact.steps * exact.batch;
        tasks.upload_order(gpu, &integers(seed + 4, length, exact.group))?;
    }
    Ok(())
}

/// All numbers of an outcome, each kind by itself.
fn parts((adapted, losses, outputs, scores): &Outcome) -> [Vec<f32>; 4] {
    let scores = scores.iter().flatten().flatten();
    [
        adapted.concat(),
        losses.clone(),
        outputs.iter().flatten().flatten().copied().collect(),
        scores.flat_map(|score| [score.loss, score.accuracy]).collect(),
    ]
}

/// What became of a batch: adapted parameters, support losses, outputs and scores.
type Outcome = (Vec<Vec<f32>>, Vec<f32>, [Option<Vec<f32>>; 2], Vec<Vec<[Score; 2]>>);

fn outcome(adaptation: &Adaptation) -> Outcome {
    adaptation.run(4).unwrap();
    (
        adaptation.adapted().unwrap(),
        adaptation.support_losses().unwrap(),
        adaptation.query_outputs().unwrap(),
        adaptation.scores().unwrap(),
    )
}

fn made(gpu: &Gpu, setup: &AdaptationSetup) -> Adaptation {
    let mut adaptation = Adaptation::new(gpu, setup.clone(), TASKS).unwrap();
    let (parameters, state) = (setup.model.initial(5), [None, None]);
    let start = with(StartingPoint::new(parameters), |it| it.state = state);
    adaptation.start_from(&start).unwrap();
    adaptation
}

fn small(loss: Loss) -> Model {
    network(2, &[(9, Activation::Tanh), (6, Activation::Gelu)], 3, loss)
}

fn image(norm: bool) -> Model {
    let spec = ModelSpec::builder(&[1, 4, 4]).conv2d(4, 3, 1, Padding::SAME);
    let spec = if norm { spec.batch_norm(Activation::Relu) } else { spec };
    let spec = spec.dense(3, Activation::Linear).loss(Loss::CrossEntropy);
    Model::new(spec).unwrap()
}

/// What batches that are not full come to, with every kernel that is told sizes.
pub fn smaller_batches(gpu: &Gpu) -> Vec<(String, Vec<f32>)> {
    let wide = network(2, &[(9, Activation::Tanh)], 40, Loss::CrossEntropy);
    let cases = [
        (small(Loss::Mse), PlanKind::Fused),
        (small(Loss::CrossEntropy), PlanKind::Layered),
        (wide, PlanKind::Layered),
    ];
    let cases = cases.into_iter().enumerate().map(|(number, (model, plan))| {
        let setup = setup(model, plan);
        let mut some = made(gpu, &setup);
        some.set_sizes(2, 3).unwrap();
        upload(gpu, &some, &setup).unwrap();
        (format!("smaller batch {number}"), parts(&outcome(&some)).concat())
    });
    cases.collect()
}

fn smaller_tasks_are_those_of_a_smaller_batch(Device { name, gpu, .. }: &Device) {
    let settings = with(Settings::DEFAULT, |it| {
        it.beta1 = 0.5;
        it.beta2 = 0.99;
        it.epsilon = 1e-5;
    });
    let adam = InnerRule::Optimizer(Inner::new(InnerOptimizer::Adam, settings));
    let of = |loss, plan| setup(small(loss), plan);
    let mut cases = vec![
        ("fused", of(Loss::Mse, PlanKind::Fused)),
        ("layered", of(Loss::CrossEntropy, PlanKind::Layered)),
        ("batch-norm", setup(image(true), PlanKind::Auto)),
        ("without batch-norm", setup(image(false), PlanKind::Auto)),
        ("adam", with(of(Loss::CrossEntropy, PlanKind::Fused), |it| it.rule = adam)),
        ("layered values", of(Loss::Mse, PlanKind::Layered)),
    ];
    let fused = |change: fn(&mut AdaptationSetup)| with(of(Loss::Mse, PlanKind::Fused), change);
    cases.extend([
        ("replacement", fused(|setup| setup.batches.replacement = true)),
        ("minibatches of more than there are", fused(|setup| setup.batches.batch = 12)),
        ("ordered", fused(|setup| setup.origin = Origin::Rows { queries: MOST[1], ordered: true })),
    ]);
    cases.push(("transductive", with(cases[2].1.clone(), |it| it.transductive = vec![true])));
    let wide = network(2, &[(9, Activation::Tanh)], 40, Loss::CrossEntropy);
    cases.push(("no head", setup(wide, PlanKind::Layered)));
    // The rest of them in `make test-all`.
    let few = ["fused", "layered", "batch-norm", "minibatches of more than there are"];
    for (what, setup) in cases.into_iter().filter(|(what, _)| all() || few.contains(what)) {
        let mut some = made(gpu, &setup);
        assert_eq!(some.sizes(), MOST);
        let more: &[[usize; 2]] = if all() { &[[7, 6], [1, 1], [5, 2]] } else { &[] };
        for sizes in [[2, 3], MOST].iter().chain(more) {
            let sizes = *sizes;
            some.set_sizes(sizes[0], sizes[1]).unwrap();
            upload(gpu, &some, &setup).unwrap();
            let exact = exactly(&setup, sizes);
            let full = made(gpu, &exact);
            upload(gpu, &full, &exact).unwrap();
            assert_eq!(some.support_rows().ok(), full.support_rows().ok());
            assert_eq!(some.query_rows().ok(), full.query_rows().ok());
            let [got, wanted] = [&some, &full].map(outcome);
            if sizes == MOST {
                assert_eq!(got, wanted, "{what}, {name}: a full batch");
            }
            for (part, (got, wanted)) in parts(&got).iter().zip(parts(&wanted)).enumerate() {
                let what = format!("{what}, {sizes:?}, part {part}, {name}");
                assert_close(&what, got, &widen(&wanted), 2e-6);
            }
        }
    }
}

fn sizes_need_no_new_kernels_or_buffers(Device { name, gpu, .. }: &Device) {
    for model in [small(Loss::Mse), image(false)] {
        let setup = setup(model, PlanKind::Auto);
        let mut some = made(gpu, &setup);
        some.set_sizes(1, 1).unwrap();
        let (kernels, parameters) = (gpu.pipelines(), some.parameters().clone());
        for support in 1..=MOST[0] {
            some.set_sizes(support, 1 + support % MOST[1]).unwrap();
            upload(gpu, &some, &setup).unwrap();
            outcome(&some);
        }
        assert_eq!(gpu.pipelines(), kernels, "{name}");
        assert_eq!(some.parameters(), &parameters, "{name}");
    }
}

/// Two sizes in one submission: the order is drawn for each, and what is recorded stays as it is.
fn sizes_wait_with_what_is_recorded(Device { name, gpu, .. }: &Device) {
    let mut setup = setup(small(Loss::Mse), PlanKind::Auto);
    setup.scored = false;
    let mut some = made(gpu, &setup);
    upload(gpu, &some, &setup).unwrap();
    let (_, values) = (some.run(0).unwrap(), some.support_rows().unwrap());
    let bytes = some.parameters().size();
    let kept: Vec<_> = (0..2).map(|_| gpu.storage("kept", bytes).unwrap()).collect();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    for (support, kept) in [8, 3].into_iter().zip(&kept) {
        some.set_sizes(support, 1).unwrap();
        some.record(&mut encoder, 0).unwrap();
        encoder.copy_buffer_to_buffer(some.parameters(), 0, kept, 0, Some(bytes));
    }
    gpu.queue().submit([encoder.finish()]);
    for (support, kept) in [8, 3].into_iter().zip(&kept) {
        let exact = exactly(&setup, [support, 1]);
        let alone = made(gpu, &exact);
        let first = |all: &[f32], width: usize| -> Vec<f32> {
            let of = |task: &[f32]| task[..support * width].to_vec();
            all.chunks_exact(MOST[0] * width).flat_map(of).collect()
        };
        let (tasks, model) = (alone.tasks(), &setup.model);
        tasks.upload_support_x(gpu, model, &first(&values[0], 2)).unwrap();
        tasks.upload_support_values(gpu, model, &first(&values[1], 3)).unwrap();
        alone.run(0).unwrap();
        let read = |buffer| gpu.read::<f32>(buffer, 0, bytes as usize / 4).unwrap();
        let (got, wanted) = (read(kept), widen(&read(alone.parameters())));
        assert_close(&format!("{support} examples, {name}"), &got, &wanted, 2e-6);
    }
}

fn impossible_sizes_are_refused(Device { gpu, .. }: &Device) {
    let mut some = made(gpu, &setup(small(Loss::Mse), PlanKind::Auto));
    for (sizes, part) in [
        ([0, 1], "`support`: 0"),
        ([10, 1], "made for 1 to 9"),
        ([usize::MAX, 1], "`support`"),
        ([1, 0], "`queries`: 0"),
        ([1, 7], "made for 1 to 6"),
    ] {
        let text = some.set_sizes(sizes[0], sizes[1]).unwrap_err().to_string();
        assert!(text.contains(part), "{part}: {text}");
        assert_eq!(some.sizes(), MOST);
    }
    some.set_sizes(2, 1).unwrap();
    let long = some.tasks().upload_support_x(gpu, &small(Loss::Mse), &[0.0; 3 * 9 * 2]);
    assert!(long.unwrap_err().to_string().contains("a task has 4"));
    let mut setup = setup(network(1, &[], 1, Loss::Mse), PlanKind::Auto);
    setup.origin = Origin::Sine(SineSpec::default());
    let mut drawn = Adaptation::new(gpu, setup, 1).unwrap();
    let text = drawn.set_sizes(2, 1).unwrap_err().to_string();
    assert!(text.contains("uploaded as rows"), "{text}");
}

/// Kernels for long jobs add numbers in another order, where there are any.
fn tasks_of_a_long_job_are_those_of_a_short_one(device: &Device) {
    let gpu = &device.gpu;
    let model = network(1, &[(64, Activation::Tanh), (64, Activation::Relu)], 1, Loss::Mse);
    let origin = Origin::Sine(SineSpec::default());
    let batches = Batches::new([1, 6], 2, 4);
    let setup = AdaptationSetup::new(&model, origin, InnerRule::SGD, 0.05, batches);
    let short = with(setup, |it| it.scored = true);
    let long = with(short.clone(), |it| it.expected_tasks = 1 << 20);
    let start = StartingPoint::new(model.initial(1));
    let losses = |setup: &AdaptationSetup| -> [Vec<f32>; 2] {
        let scores = evaluate(gpu, setup, &start, 5).unwrap().remove(0);
        [0, 1].map(|when| scores.iter().map(|pair| pair[when].loss).collect())
    };
    let ([before, after], [before_long, after_long]) = (losses(&short), losses(&long));
    assert_eq!(before, before_long, "nothing was adapted yet");
    assert_close("losses", &after_long, &widen(&after), 1e-4);
    // A lane has the rows of four of 64 units at least.
    let registers = gpu.profile().broadcast_lanes().is_some();
    assert_eq!(after != after_long, registers, "{after:?}");
    assert_ne!(after, before);
}
