//! The paper's two networks, other norms and every inner optimiser on every device against PyTorch.

use crate::common::{assert_close, with};
use crate::golden::{BATCH, BETA2, EPSILON, Expected, Golden, RATE, STEPS, Steps};
use crate::harness::{Device, On, Tests, all, named};
use reptile::gpu::Gpu;
use reptile::kernels::InnerRule;
use reptile::meta::{Adaptation, AdaptationSetup, Origin, PlanKind, StartingPoint};
use reptile::optimizers::{Inner, InnerOptimizer, Settings};
use reptile::tasks::Batches;

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST_OR_FAST, named!(omniglot_agrees_with_pytorch));
    tests.on(On::FIRST_OR_FAST, named!(norms_and_optimizers_agree_with_pytorch));
    tests.on_if_all(On::PLAIN, named!(mini_imagenet_agrees_with_pytorch));
}

const TOLERANCE: f64 = 1e-4;
/// For one window that takes another number, and for a few parameters that step the other way.
const FLIPS: f64 = 2e-2;
const STEPS_APART: f64 = 5e-2;

/// Adapts to the golden minibatches, `steps` of them; the first one's examples are the queries.
fn adapted(gpu: &Gpu, golden: &Golden, rule: InnerRule, rate: f32, steps: usize) -> Adaptation {
    let model = &golden.model;
    let mut setup = AdaptationSetup::new(
        model,
        Origin::Rows { queries: BATCH, ordered: true },
        rule,
        rate,
        Batches::new([1, STEPS * BATCH], BATCH, steps),
    );
    setup.plan = PlanKind::Layered;
    setup.scored = true;
    setup.transductive = vec![true];
    let mut adaptation = Adaptation::new(gpu, setup, 1).unwrap();
    let parameters = golden.parameters.clone();
    adaptation.start_from(&StartingPoint::new(parameters)).unwrap();
    let tasks = adaptation.tasks();
    tasks.upload_support_x(gpu, model, &golden.x).unwrap();
    tasks.upload_support_labels(gpu, &golden.labels).unwrap();
    tasks.upload_query_x(gpu, model, golden.minibatch(0).0).unwrap();
    tasks.upload_order(gpu, &(0..(steps * BATCH) as u32).collect::<Vec<_>>()).unwrap();
    adaptation.run(0).unwrap();
    adaptation
}

fn check(what: &str, got: &[f32], wanted: &[Expected], tolerance: f64) {
    for expected in wanted {
        let what = format!("{what} of {}", expected.name);
        assert_close(&what, &expected.pick(got), &expected.values, tolerance);
    }
}

/// Compares logits, gradient and five Adam steps; the tolerances are for the latter two.
fn agrees(golden: &Golden, Device { name, gpu, .. }: &Device, [gradient, adam]: [f64; 2]) {
    let what = |part: &str| format!("{part}, {}, {name}", golden.name);
    // A step so long that the parameters themselves do not count: the gradient is what it moved by.
    let long = 1e6;
    let step = adapted(gpu, golden, InnerRule::SGD, long, 1);
    let [logits, _] = step.query_outputs().unwrap();
    assert_close(&what("logits"), &logits.unwrap(), &golden.logits, TOLERANCE);
    assert_close(&what("loss"), &step.support_losses().unwrap(), &golden.losses[..1], TOLERANCE);
    let moved = step.adapted().unwrap().concat();
    let moved: Vec<f32> =
        golden.parameters.iter().zip(&moved).map(|(from, to)| (from - to) / long).collect();
    check(&what("gradient"), &moved, &golden.gradient, gradient);

    let settings = with(Settings::DEFAULT, |it| (it.beta2, it.epsilon) = (BETA2, EPSILON));
    let rule = InnerRule::Optimizer(Inner::new(InnerOptimizer::Adam, settings));
    let steps = adapted(gpu, golden, rule, RATE, STEPS);
    let losses = steps.support_losses().unwrap();
    assert_close(&what("losses"), &losses, &golden.losses, adam);
    check(&what("Adam"), &steps.adapted().unwrap().concat(), &golden.adam, adam);
    // Each rule has kernels of its own; the reference is compared with PyTorch in every run.
    let others = if all() { &golden.others[..] } else { &[] };
    for Steps { rule, rate, losses, parameters } in others {
        let what = |part: &str| what(&format!("{part}, {}", rule.optimizer));
        let steps = adapted(gpu, golden, InnerRule::Optimizer(*rule), *rate, STEPS);
        assert_close(&what("losses"), &steps.support_losses().unwrap(), losses, adam);
        check(&what("parameters"), &steps.adapted().unwrap().concat(), parameters, adam);
    }
}

fn norms_and_optimizers_agree_with_pytorch(device: &Device) {
    agrees(&Golden::norms(), device, [TOLERANCE; 2]);
}

fn omniglot_agrees_with_pytorch(device: &Device) {
    let golden = Golden::omniglot();
    agrees(&golden, device, [TOLERANCE; 2]);
}

/// Among the half million windows of a batch some hold almost equal numbers, and Adam's first step has
/// the size of its rate whatever the gradient: after the steps PyTorch in float32 is 5e-3 from itself
/// in float64, too. SwiftShader rounds products before it adds them, and takes another number than
/// float64 in one window already for the first gradient.
fn mini_imagenet_agrees_with_pytorch(device: &Device) {
    let golden = Golden::mini_imagenet();
    let flips = device.name.contains("SwiftShader");
    agrees(&golden, device, [if flips { FLIPS } else { TOLERANCE }, STEPS_APART]);
}
