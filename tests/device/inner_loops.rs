//! Whole inner loops in every plan, on every device, against float64.

use crate::adapted::{Case, Kind, check, on_device};
use crate::common::{assert_close, network, widen, with};
use crate::every_kernel::every_layer;
use crate::forms::{any_classifier, any_network};
use crate::harness::{Device, On, Tests, named};
use crate::tools::random_or_another;
use proptest::prelude::*;
use reptile::gpu::{AdapterChoice, AdapterEntry, Gpu, GpuOptions};
use reptile::layers::Flatten;
use reptile::meta::PlanKind;
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::tasks::Bits;

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST_OR_EVERY, named!(the_fused_plan_takes_the_sine_network));
    tests.on(On::PLAIN_OR_EVERY, named!(a_network_of_every_layer_agrees_with_float64));
    tests.cases(
        On::FAST,
        [3, 200],
        named!(networks_of_every_form_agree_with_float64_in_both_plans),
    );
    tests.on(On::FIRST_OR_FAST, named!(flattened_images_are_rows_to_the_fused_plan));
    tests.on(
        On::FIRST_OR_EVERY,
        named!(fused_and_layered_agree_to_one_part_in_100000_after_32_steps),
    );
    tests.on(On::FIRST_OR_EVERY, named!(wide_narrow_and_linear_networks_agree_with_float64));
    tests.on(On::FIRST_OR_FAST, named!(large_batches_agree_with_float64));
    tests.own(On::FIRST, named!(heads_that_sum_in_parts_agree_with_float64));
    tests.on(On::FIRST_OR_FAST, named!(long_inner_loops_agree_in_both_plans));
}

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

fn networks_of_every_form_agree_with_float64_in_both_plans(device: &Device, number: u64) {
    random_or_another(number, case(), |case| check(device, case, false));
}

/// What once stayed in the layout of images, and kernels for rows read it all the same.
fn flattened_images_are_rows_to_the_fused_plan(device: &Device) {
    let image = || ModelSpec::builder(&[3, 5, 5]).loss(Loss::CrossEntropy);
    let dense = |spec: ModelSpec, units| {
        Model::new(spec.dense(units, Activation::Relu).dense(3, Activation::Linear)).unwrap()
    };
    let flatten = |spec: ModelSpec| spec.layer(Flatten::default());
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
        check(device, &case(model, kind), fused_fits).unwrap();
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

fn the_fused_plan_takes_the_sine_network(device: &Device) {
    check(device, &sine_case(), true).unwrap();
}

fn a_network_of_every_layer_agrees_with_float64(device: &Device) {
    let kind = Kind::Images { side: 5, channels: 1, bits: Bits::Eight };
    let model = every_layer();
    let case = Case {
        model,
        kind,
        support: 3,
        batch: 4,
        steps: 3,
        adam: Some(0.9),
        weight_decay: 0.99,
        ..sine_case()
    };
    check(device, &case, false).unwrap();
}

fn fused_and_layered_agree_to_one_part_in_100000_after_32_steps(device: &Device) {
    let case = sine_case();
    let (layered, _) = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
    let (fused, _) = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
    let what = format!("fused against layered, {}", device.name);
    assert_close(&what, &fused.parameters, &widen(&layered.parameters), 1e-5);
}

fn wide_narrow_and_linear_networks_agree_with_float64(device: &Device) {
    for (inputs, hidden, outputs) in
        [(1, &[(128, Activation::Relu)][..], 1), (1, &[(20, Activation::Tanh)], 1), (9, &[], 3)]
    {
        let model = network(inputs, hidden, outputs, Loss::Mse);
        check(device, &Case { model, steps: 4, ..sine_case() }, true).unwrap();
    }
}

fn large_batches_agree_with_float64(device: &Device) {
    let hidden = [(40, Activation::Relu), (30, Activation::Tanh)];
    let large = Case {
        model: network(50, &hidden, 10, Loss::CrossEntropy),
        support: 120,
        batch: 100,
        steps: 3,
        ..sine_case()
    };
    check(device, &large, false).unwrap();
}

/// As on real GPUs, where many inputs and many rows are summed in parts.
fn heads_that_sum_in_parts_agree_with_float64(entry: &AdapterEntry) {
    let choice = with(AdapterChoice::default(), |it| it.device = Some(entry.index.to_string()));
    let options = with(GpuOptions::default(), |it| it.hardware = true);
    let gpu = Gpu::request(&choice, options).unwrap();
    let device = Device { name: format!("{}, hardware", entry.info.name), mode: "hardware", gpu };
    for (hidden, batch, adam) in [(64, 100, None), (16, 12, Some(0.9))] {
        let model = network(50, &[(hidden, Activation::Relu)], 10, Loss::CrossEntropy);
        let (support, steps) = (batch + 20, 3);
        check(&device, &Case { model, support, batch, steps, adam, ..sine_case() }, false).unwrap();
    }
    let texts = device.gpu.kernel_texts();
    let parted = |text: &String| !text.contains("const ROW_PARTS = 1u;");
    assert!(texts.iter().any(|(name, text)| *name == "head" && parted(text)));
}

/// Some drivers end loops after 65,535 rounds: long inner loops are cut into several dispatches.
fn long_inner_loops_agree_in_both_plans(device: &Device) {
    let case = Case { steps: 4000, tasks: 1, batch: 2, weight_decay: 0.999, ..sine_case() };
    let (layered, _) = on_device(&device.gpu, &case, PlanKind::Layered).unwrap();
    let (fused, _) = on_device(&device.gpu, &case, PlanKind::Fused).unwrap();
    let what = format!("fused against layered, {}", device.name);
    assert_close(&what, &fused.parameters, &widen(&layered.parameters), 2e-3);
    assert_close(&what, &fused.losses[..64], &widen(&layered.losses[..64]), 1e-4);
    assert!(fused.losses[case.steps - 1] != 0.0, "the last step was done, {what}");
}
