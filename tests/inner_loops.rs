//! Whole inner loops in every plan, on every device, against float64.

mod common;

use common::adapted::{Case, Kind, check, on_device};
use common::forms::{any_classifier, any_network};
use common::{assert_close, devices, for_random, network, widen};
use proptest::prelude::*;
use reptile::meta::PlanKind;
use reptile::model::{Activation, LayerSpec, Loss, Model, ModelSpec, Padding};
use reptile::tasks::Bits;

const ALL: [&str; 4] = ["plain", "baseline", "checked", "rolled"];
const FAST: [&str; 2] = ["plain", "baseline"];

/// Networks of every form for tasks of every kind.
fn case() -> impl Strategy<Value = Case> {
    let side = 1..10_usize;
    let of_arrays = any_network().prop_map(|model| (model, Kind::Arrays));
    let of_glyphs = (3..10_usize, 2..6_usize).prop_flat_map(|(side, way)| {
        any_classifier(1, side, way).prop_map(move |model| (model, Kind::Glyphs { side }))
    });
    let bits = prop_oneof![Just(Bits::One), Just(Bits::Eight)];
    let of_images = (side, 2..6_usize, prop_oneof![Just(1_usize), Just(3)], bits).prop_flat_map(
        |(side, way, channels, bits)| {
            any_classifier(channels, side, way)
                .prop_map(move |model| (model, Kind::Images { side, channels, bits }))
        },
    );
    let of = prop_oneof![3 => of_arrays, 2 => of_glyphs, 2 => of_images];
    let learner = (
        prop_oneof![2 => Just(None), 1 => Just(Some(0.0_f32)), 1 => Just(Some(0.9_f32))],
        prop_oneof![Just(1.0_f32), Just(0.99_f32)],
        any::<bool>(),
    );
    let sizes = (1..6_usize, 1..9_usize, 1..4_usize, 1..6_usize, 1..14_usize);
    (of, learner, sizes, 0..1000_u64).prop_map(|((model, kind), learner, sizes, seed)| {
        let (adam, weight_decay, transductive) = learner;
        let (tasks, support, queries, steps, batch) = sizes;
        Case {
            model,
            kind,
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
    })
}

/// Twenty networks, or, with `REPTILE_TESTS=long` (`make test-all`), two hundred.
#[test]
fn networks_of_every_form_agree_with_float64_in_both_plans() {
    let long = std::env::var("REPTILE_TESTS").is_ok_and(|tests| tests == "long");
    for_random(if long { 200 } else { 20 }, case(), |case| check(case, &FAST, false));
}

/// What once stayed in the layout of images, and kernels for rows read it all the same.
#[test]
fn flattened_images_are_rows_to_the_fused_plan() {
    let image = || ModelSpec::builder(&[3, 5, 5]).loss(Loss::CrossEntropy);
    let dense = |spec: ModelSpec, units| {
        Model::new(spec.dense(units, Activation::Relu).dense(3, Activation::Linear)).unwrap()
    };
    let flatten = |spec: ModelSpec| spec.layer(LayerSpec::Flatten);
    let images = Kind::Images { side: 5, channels: 3, bits: Bits::Eight };
    let case = |model, kind| Case { model, kind, support: 2, batch: 4, steps: 5, ..sine_case() };
    for (model, kind, fused_fits) in [
        (dense(flatten(image()), 16), Kind::Arrays, true),
        (dense(flatten(flatten(image())), 30), Kind::Arrays, true),
        (dense(flatten(flatten(image())), 30), images, false),
        (
            dense(flatten(ModelSpec::builder(&[1, 10, 10]).loss(Loss::CrossEntropy)), 16),
            Kind::Glyphs { side: 10 },
            true,
        ),
        (dense(flatten(image().activation(Activation::Tanh)), 8), Kind::Arrays, false),
        (dense(image().max_pool(2, Padding::SAME), 8), images, false),
    ] {
        check(&case(model, kind), &FAST, fused_fits);
    }
}

/// The sine network of the paper's authors, 32 steps.
fn sine_case() -> Case {
    Case {
        model: network(1, &[(64, Activation::Tanh), (64, Activation::Tanh)], 1, Loss::Mse),
        kind: Kind::Arrays,
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
        let (layered, _) = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
        let (fused, _) = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
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

/// Some drivers end loops after 65,535 rounds: long inner loops are cut into several dispatches.
#[test]
fn long_inner_loops_agree_in_both_plans() {
    let case = Case { steps: 4000, tasks: 1, batch: 2, weight_decay: 0.999, ..sine_case() };
    for device in devices().iter().filter(|device| FAST.contains(&device.mode)) {
        let (layered, _) = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
        let (fused, _) = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
        let what = format!("fused against layered, {}", device.name);
        assert_close(&what, &fused.parameters, &widen(&layered.parameters), 2e-3);
        assert_close(&what, &fused.losses[..64], &widen(&layered.losses[..64]), 1e-4);
        assert!(fused.losses[case.steps - 1] != 0.0, "the last step was done, {what}");
    }
}
