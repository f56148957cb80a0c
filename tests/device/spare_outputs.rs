//! Tasks of fewer classes than the network has outputs: as with a network that has no others.

use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, InnerSpec, OuterSpec, PlanKind, StartingPoint, Trainer,
    TrainerSetup, evaluate,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::optimizers::{Inner, InnerOptimizer, Settings};
use reptile::rng::Phase;
use reptile::tasks::{Batches, EpisodeSpec, GlyphsSpec};

use crate::common::{assert_close, network, numbers, widen, with};
use crate::harness::{Device, On, Tests, named};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST_OR_EVERY, named!(spare_outputs_are_as_if_they_were_not_there));
    tests.on(On::FIRST, named!(a_trainers_parameters_are_masked_on_the_device));
}

const CLASSES: usize = 3;

/// A network of five outputs, and the same without the last two.
fn networks(image: bool) -> [Model; 2] {
    [5, CLASSES].map(|outputs| match image {
        false => network(25, &[(7, Activation::Tanh)], outputs, Loss::CrossEntropy),
        true => {
            let spec = ModelSpec::builder(&[1, 5, 5]).loss(Loss::CrossEntropy);
            let spec = spec.conv2d(4, 3, 2, Padding::SAME).batch_norm(Activation::Relu);
            Model::new(spec.dense(outputs, Activation::Linear)).unwrap()
        }
    })
}

/// The parameters of `large` without those of its spare outputs.
fn cut(large: &Model, parameters: &[f32]) -> Vec<f32> {
    let (mut first, mut left) = (0, Vec::new());
    let count = large.tensors().len();
    for (place, tensor) in large.tensors().iter().enumerate() {
        let length: usize = tensor.shape.iter().product();
        let own = &parameters[first..first + length];
        // The last weight and bias have a row for each output.
        let rows = tensor.shape[0];
        let kept = if place + 2 >= count { length / rows * CLASSES } else { length };
        left.extend_from_slice(&own[..kept]);
        first += length;
    }
    left
}

fn spare_outputs_are_as_if_they_were_not_there(Device { name, gpu, .. }: &Device) {
    let settings = with(Settings::DEFAULT, |it| (it.beta1, it.epsilon) = (0.9, 1e-4));
    let adam = InnerRule::Optimizer(Inner::new(InnerOptimizer::Adam, settings));
    for (image, plan, rule) in
        [(false, PlanKind::Fused, InnerRule::SGD), (true, PlanKind::Layered, adam)]
    {
        let [large, small] = networks(image);
        let start = numbers(3, large.parameter_count());
        let episodes = EpisodeSpec::new([CLASSES, 2], 2);
        let setup = |model: &Model| {
            let glyphs = with(GlyphsSpec::new(episodes.clone()), |it| it.size = 5);
            let batches = Batches::new([CLASSES, 2], 4, 5);
            with(AdaptationSetup::new(model, glyphs, rule, 0.05, batches), |it| {
                (it.plan, it.phase, it.scored, it.weight_decay) = (plan, Phase::Test, true, 0.99);
            })
        };
        let masked = with(setup(&large), |it| it.classes = Some(CLASSES));
        let scores = |setup: &AdaptationSetup, parameters: &[f32]| {
            let start = StartingPoint::new(parameters.to_vec());
            let pairs = evaluate(gpu, setup, &start, 6).unwrap().remove(0);
            let flat = pairs.iter().flatten();
            flat.flat_map(|score| [score.loss, score.accuracy]).collect::<Vec<f32>>()
        };
        let own = cut(&large, &start);
        let what = format!("{image}, {plan:?}, {name}");
        let wanted = scores(&setup(&small), &own);
        assert_close(&what, &scores(&masked, &start), &widen(&wanted), 2e-5);
        let adapted = |setup: &AdaptationSetup, parameters: &[f32]| {
            let mut adaptation = Adaptation::new(gpu, setup.clone(), 2).unwrap();
            adaptation.start_from(&StartingPoint::new(parameters.to_vec())).unwrap();
            adaptation.run(0).unwrap();
            adaptation.adapted().unwrap()
        };
        let wanted = adapted(&setup(&small), &own);
        for (got, wanted) in adapted(&masked, &start).into_iter().zip(wanted) {
            let got = masked.unmasked(got, &StartingPoint::new(start.clone()));
            assert_close(&what, &cut(&large, &got), &widen(&wanted), 2e-5);
            // The biases of the spare outputs are what they were.
            let spare = large.spare_biases(CLASSES).unwrap();
            assert_eq!(got[spare.clone()], start[spare], "{what}");
        }
        // Without the mask the spare outputs take their share.
        let with_all = scores(&setup(&large), &start);
        assert_ne!(with_all, scores(&masked, &start), "{what}");
    }
}

fn a_trainers_parameters_are_masked_on_the_device(Device { gpu, .. }: &Device) {
    let [large, _] = networks(false);
    let glyphs = with(GlyphsSpec::new(EpisodeSpec::new([5, 1], 2)), |it| it.size = 5);
    let (inner, outer) = (InnerSpec::sgd(0.1, 4, 3), OuterSpec::interpolation(0.5, 2));
    let setup = TrainerSetup::new(&large, glyphs, inner, outer, Batches::new([5, 2], 4, 3));
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    trainer.advance(2, |_| true).unwrap();
    let outputs = |classes: Option<usize>| {
        let builder = Adaptation::builder(&trainer).support(4).queries(2).steps(3);
        let builder = match classes {
            Some(classes) => builder.classes(classes),
            None => builder,
        };
        let adaptation = builder.build().unwrap();
        let tasks = adaptation.tasks();
        tasks.upload_support_x(gpu, &large, &numbers(5, 4 * 25)).unwrap();
        tasks.upload_support_labels(gpu, &[0, 1, 2, 1]).unwrap();
        tasks.upload_query_x(gpu, &large, &numbers(6, 2 * 25)).unwrap();
        adaptation.run(0).unwrap();
        adaptation.query_outputs().unwrap()[1].clone().unwrap()
    };
    let (all, three) = (outputs(None), outputs(Some(CLASSES)));
    for (all, three) in all.chunks_exact(5).zip(three.chunks_exact(5)) {
        assert!(three[CLASSES..].iter().all(|logit| *logit < -1e29), "{three:?}");
        assert!(all[CLASSES..].iter().all(|logit| *logit > -1e3), "{all:?}");
        assert!(three[..CLASSES].iter().all(|logit| logit.is_finite()), "{three:?}");
    }
    let refused = Adaptation::builder(&trainer).support(4).steps(1).classes(6).build();
    assert!(refused.unwrap_err().to_string().contains("5 outputs"));
}
