//! Whole inner loops in every plan, on every device, against float64.

mod common;

use common::{
    activation, assert_close, devices, for_random, image_network, integers, network, numbers, widen,
};
use proptest::prelude::*;
use reptile::gpu::Gpu;
use reptile::kernels::InnerRule;
use reptile::meta::{Adaptation, AdaptationSetup, Origin, PlanKind, StartingPoint};
use reptile::model::{Activation, Loss, Model};
use reptile::reference::network::{Targets, forward};
use reptile::reference::optimizer::{InnerOptimizer, OptimizerState};
use reptile::reference::reptile::{Inner, Task, inner_loop};
use reptile::rng::Phase;
use reptile::tasks::Batches;

const ALL: [&str; 4] = ["plain", "baseline", "checked", "rolled"];
const FAST: [&str; 2] = ["plain", "baseline"];

/// An adaptation of some tasks of rows.
#[derive(Clone, Debug)]
struct Case {
    model: Model,
    transductive: bool,
    adam: Option<f32>,
    weight_decay: f32,
    tasks: usize,
    support: usize,
    queries: usize,
    steps: usize,
    batch: usize,
    seed: u64,
}

impl Case {
    fn rule(&self) -> InnerRule {
        self.adam.map_or(InnerRule::Sgd, |beta1| InnerRule::Adam {
            beta1,
            beta2: 0.999,
            epsilon: 1e-6,
        })
    }

    fn rate(&self) -> f32 {
        if self.adam.is_some() { 0.002 } else { 0.03 }
    }

    fn x(&self) -> Vec<f32> {
        numbers(self.seed, self.tasks * self.support * self.model.inputs())
    }

    fn values(&self) -> Vec<f32> {
        numbers(self.seed + 1, self.tasks * self.support * self.model.outputs())
    }

    fn labels(&self) -> Vec<u32> {
        integers(self.seed + 1, self.tasks * self.support, self.model.outputs())
    }

    fn order(&self) -> Vec<u32> {
        integers(self.seed + 2, self.tasks * self.steps * self.batch, self.support)
    }

    fn query(&self) -> Vec<f32> {
        numbers(self.seed + 3, self.tasks * self.queries * self.model.inputs())
    }
}

/// Parameters, support losses and query outputs of all tasks, one after another.
struct Results<T> {
    parameters: Vec<T>,
    losses: Vec<T>,
    outputs: Vec<T>,
}

fn on_device(gpu: &Gpu, case: &Case, plan: PlanKind) -> Option<Results<f32>> {
    let model = &case.model;
    let setup = AdaptationSetup {
        model: model.clone(),
        rule: case.rule(),
        rate: case.rate(),
        weight_decay: case.weight_decay,
        plan,
        batches: Batches {
            way: 1,
            group: case.support,
            tail: 0,
            steps: case.steps,
            batch: case.batch,
            replacement: false,
        },
        origin: Origin::Rows { queries: case.queries, ordered: true },
        phase: Phase::Adapt,
        seed: 0,
        scored: false,
        transductive: vec![case.transductive],
    };
    let mut adaptation = match Adaptation::new(gpu, setup, case.tasks) {
        Ok(adaptation) => adaptation,
        Err(error) if plan == PlanKind::Fused && error.to_string().contains("plan") => return None,
        Err(error) => panic!("{error}"),
    };
    adaptation.start_from(&StartingPoint {
        parameters: model.initial(case.seed),
        state: [None, None],
        adam_steps: 0,
        rates: None,
        sums: None,
    });
    let tasks = adaptation.tasks();
    tasks.upload_support_x(gpu, model, &case.x());
    match case.model.loss() {
        Loss::Mse => tasks.upload_support_values(gpu, model, &case.values()),
        Loss::CrossEntropy => tasks.upload_support_labels(gpu, &case.labels()),
    }
    tasks.upload_order(gpu, &case.order());
    tasks.upload_query_x(gpu, model, &case.query());
    adaptation.run(0).unwrap();
    let [_, outputs] = adaptation.query_outputs().unwrap();
    Some(Results {
        parameters: adaptation.adapted().unwrap().concat(),
        losses: adaptation.support_losses().unwrap(),
        outputs: outputs.unwrap(),
    })
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

fn in_float64(case: &Case) -> Results<f64> {
    let model = &case.model;
    let theta = widen(&model.initial(case.seed));
    let optimizer = case.adam.map_or(InnerOptimizer::Sgd, |beta1| InnerOptimizer::Adam {
        beta1: beta1.to_string().parse().unwrap(),
        beta2: 0.999,
        epsilon: 1e-6,
    });
    let inner = Inner {
        optimizer,
        rate: f64::from(case.rate()),
        weight_decay: f64::from(case.weight_decay),
    };
    let (x, values, labels) = (widen(&case.x()), widen(&case.values()), case.labels());
    let (order, query) = (case.order(), widen(&case.query()));
    let mut results = Results { parameters: vec![], losses: vec![], outputs: vec![] };
    for task in 0..case.tasks {
        let own = |width: usize| task * case.support * width..(task + 1) * case.support * width;
        let targets = match case.model.loss() {
            Loss::Mse => Targets::Values(&values[own(case.model.outputs())]),
            Loss::CrossEntropy => Targets::Labels(&labels[own(1)]),
        };
        let steps = case.steps * case.batch;
        let task_data = Task {
            x: &x[own(case.model.inputs())],
            targets,
            order: &order[task * steps..(task + 1) * steps],
            batch: case.batch,
            tail: 0,
        };
        let state = OptimizerState::zeros(theta.len());
        let adapted = inner_loop(model, &theta, state, inner, &task_data);
        let queries = case.queries * case.model.inputs();
        let query = &query[task * queries..][..queries];
        let outputs = predictions(case, &adapted.parameters, task_data.x, query);
        results.parameters.extend(adapted.parameters);
        results.losses.extend(adapted.losses);
        results.outputs.extend(outputs);
    }
    results
}

/// Compares both plans with float64 on every device in `modes`; the fused one must run where it fits.
fn check(case: &Case, modes: &[&str], fused_fits: bool) {
    let wanted = in_float64(case);
    for device in devices().iter().filter(|device| modes.contains(&device.mode)) {
        for plan in [PlanKind::Layered, PlanKind::Fused] {
            let Some(got) = on_device(&device.gpu, case, plan) else {
                assert!(!fused_fits, "{}: the fused plan must take {case:?}", device.name);
                continue;
            };
            let what = |part: &str| format!("{part}, {plan:?}, {}, {case:?}", device.name);
            assert_close(&what("parameters"), &got.parameters, &wanted.parameters, 3e-5);
            assert_close(&what("support losses"), &got.losses, &wanted.losses, 3e-5);
            assert_close(&what("query outputs"), &got.outputs, &wanted.outputs, 3e-5);
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let shape = (
        1..20_usize,
        proptest::collection::vec((1..70_usize, activation()), 1..4),
        2..8_usize,
        prop_oneof![Just(Loss::Mse), Just(Loss::CrossEntropy)],
    );
    let learner = (
        prop_oneof![Just(None), Just(None), Just(Some(0.0_f32)), Just(Some(0.9_f32))],
        prop_oneof![Just(1.0_f32), Just(0.99_f32)],
    );
    let sizes = (1..6_usize, 1..15_usize, 1..6_usize, 1..7_usize, 1..14_usize);
    (shape, learner, sizes, 0..1000_u64).prop_map(
        |((inputs, hidden, outputs, loss), (adam, weight_decay), sizes, seed)| {
            let (tasks, support, queries, steps, batch) = sizes;
            Case {
                model: network(inputs, &hidden, outputs, loss),
                transductive: false,
                adam,
                weight_decay,
                tasks,
                support,
                queries,
                steps,
                batch,
                seed,
            }
        },
    )
}

#[test]
fn random_networks_agree_with_float64_in_both_plans() {
    for_random(10, case(), |case| check(case, &FAST, false));
}

/// The sine network of the paper's authors, 32 steps.
fn sine_case() -> Case {
    Case {
        model: network(1, &[(64, Activation::Tanh), (64, Activation::Tanh)], 1, Loss::Mse),
        transductive: false,
        adam: None,
        weight_decay: 1.0,
        tasks: 3,
        support: 10,
        queries: 5,
        steps: 32,
        batch: 10,
        seed: 5,
    }
}

#[test]
fn the_fused_plan_takes_the_sine_network_on_every_device() {
    check(&sine_case(), &ALL, true);
}

#[test]
fn fused_and_layered_agree_to_one_part_in_100000_after_32_steps() {
    let case = sine_case();
    for device in devices().iter() {
        let layered = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
        let fused = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
        let what = format!("fused against layered, {}", device.name);
        assert_close(&what, &fused.parameters, &widen(&layered.parameters), 1e-5);
    }
}

#[test]
fn wide_narrow_and_linear_networks_and_large_batches_agree_with_float64() {
    let case = |inputs, hidden: &[_], outputs| Case {
        model: network(inputs, hidden, outputs, Loss::Mse),
        steps: 4,
        ..sine_case()
    };
    check(&case(1, &[(128, Activation::Relu)], 1), &ALL, true);
    check(&case(1, &[(20, Activation::Tanh)], 1), &ALL, true);
    check(&case(9, &[], 3), &ALL, true);
    let hidden = [(40, Activation::Relu), (30, Activation::Tanh)];
    let large = Case {
        model: network(50, &hidden, 10, Loss::CrossEntropy),
        support: 120,
        batch: 100,
        steps: 3,
        ..sine_case()
    };
    check(&large, &FAST, false);
}

#[test]
fn random_networks_for_images_agree_with_float64() {
    let sizes = (1..4_usize, 2..8_usize, 1..4_usize, 1..4_usize, 2..7_usize);
    let adam = prop_oneof![Just(None), Just(Some(0.0_f32)), Just(Some(0.9_f32))];
    let strategy = (image_network(), any::<bool>(), adam, sizes, 0..1000_u64);
    let case = strategy.prop_map(|(model, transductive, adam, sizes, seed)| {
        let (tasks, support, queries, steps, batch) = sizes;
        let weight_decay = 1.0;
        Case {
            model,
            transductive,
            adam,
            weight_decay,
            tasks,
            support,
            queries,
            steps,
            batch,
            seed,
        }
    });
    for_random(10, case, |case| check(case, &FAST, false));
}

/// Some drivers end loops after 65,535 rounds: long inner loops are cut into several dispatches.
#[test]
fn long_inner_loops_agree_in_both_plans() {
    let case = Case { steps: 4000, tasks: 1, batch: 2, weight_decay: 0.999, ..sine_case() };
    for device in devices().iter().filter(|device| FAST.contains(&device.mode)) {
        let layered = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
        let fused = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
        let what = format!("fused against layered, {}", device.name);
        assert_close(&what, &fused.parameters, &widen(&layered.parameters), 2e-3);
        assert_close(&what, &fused.losses[..64], &widen(&layered.losses[..64]), 1e-4);
        assert!(fused.losses[case.steps - 1] != 0.0, "the last step was done, {what}");
    }
}
