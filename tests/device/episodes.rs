//! Lists of tasks: the sampler's own tasks as a list give the sampler's scores.

use crate::common::episode_list::{SEED, Sizes, sampled, written};
use crate::common::{integers, network, with, with_binding};
use crate::harness::{Device, On, Tests, named};
use reptile::Error;
use reptile::data::EpisodeList;
use reptile::gpu::{AdapterEntry, Gpu};
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, DeviceImages, Origin, StartingPoint, evaluate, evaluate_episodes,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::rng::Phase;
use reptile::tasks::{Batches, Bits, Episodes, ImageClass, ImageSet, Split, SplitClass, SplitPart};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn tests(tests: &mut Tests) {
    tests.on(On::EVERY, named!(the_samplers_tasks_as_a_list_have_the_samplers_scores));
    tests.own(On::FIRST_OR_PLAIN, named!(lists_longer_than_a_batch_have_the_same_scores));
    tests.on(On::FIRST, named!(lists_that_do_not_fit_are_refused));
}

/// `list` in numbers.
fn resolved(split: &Split, list: &Value) -> Episodes {
    let folder = tempfile::tempdir().unwrap();
    let list = EpisodeList::load(written(folder.path(), "list.json", list)).unwrap();
    list.resolve(split, SplitPart::Test).unwrap()
}

/// Random images of 5 × 5 bits: three training classes, then nine test classes of different sizes,
/// which the split has in another order than the set.
fn images() -> Split {
    let mut classes = Vec::new();
    let mut files = Vec::new();
    for n in 0..12 {
        let (first_image, images) = (files.len() as u32, 6 + n % 4);
        classes.push(ImageClass { name: format!("class{n}"), first_image, images });
        files.extend((0..images).map(|image| format!("{image}.png")));
    }
    let words = integers(1, files.len(), 1 << 25);
    let (width, height, channels, bits) = (5, 5, 1, Bits::One);
    let part = |classes: &mut dyn Iterator<Item = usize>| -> Vec<SplitClass> {
        classes.map(|class| SplitClass { class, rotation: 0 }).collect()
    };
    Split {
        images: ImageSet { width, height, channels, bits, words, classes, files },
        train: part(&mut (0..3)),
        val: Vec::new(),
        test: part(&mut (3..12).rev()),
    }
}

/// A network with batch statistics.
fn convolutions() -> Model {
    let spec = ModelSpec::builder(&[1, 5, 5]).conv2d(6, 3, 2, Padding::SAME);
    let spec = spec.batch_norm(Activation::Relu).dense(3, Activation::Linear);
    Model::new(spec.loss(Loss::CrossEntropy)).unwrap()
}

fn setup(gpu: &Gpu, split: &Split, model: Model, [way, group, queries]: Sizes) -> AdaptationSetup {
    let images = Arc::new(DeviceImages::new(gpu, split).unwrap());
    let mut setup = AdaptationSetup::new(
        &model,
        Origin::Episodes { images, part: SplitPart::Test, queries },
        InnerRule::SGD,
        0.1,
        Batches::new([way, group], 4, 4),
    );
    setup.phase = Phase::Test;
    setup.seed = SEED;
    setup.scored = true;
    setup
}

fn start(model: &Model) -> StartingPoint {
    StartingPoint::new(model.initial(3))
}

fn the_samplers_tasks_as_a_list_have_the_samplers_scores(Device { name, gpu, .. }: &Device) {
    let (split, sizes) = (images(), [3, 2, 3]);
    let list = sampled(&split, 8, sizes);
    let (episodes, half) =
        (resolved(&split, &list), resolved(&split, &json!(list.as_array().unwrap()[..4])));
    let dense = network(25, &[(6, Activation::Tanh)], 3, Loss::CrossEntropy);
    for (model, modes) in [(dense.clone(), vec![false]), (convolutions(), vec![false, true])] {
        let start = start(&model);
        let mut drawn = setup(gpu, &split, model, sizes);
        drawn.transductive = modes.clone();
        let wanted = evaluate(gpu, &drawn, &start, 8).unwrap();
        // Its own sizes do not matter.
        let mut other = drawn.clone();
        other.batches.group = 1;
        let Origin::Episodes { queries, .. } = &mut other.origin else { unreachable!() };
        *queries = 1;
        assert_eq!(evaluate_episodes(gpu, &other, &start, &episodes).unwrap(), wanted, "{name}");
        let half = evaluate_episodes(gpu, &drawn, &start, &half).unwrap();
        assert!(half.iter().zip(&wanted).all(|(half, all)| half == &all[..4]), "{name}");
        for (mode, scores) in modes.into_iter().zip(wanted) {
            drawn.transductive = vec![mode];
            let alone = evaluate(gpu, &drawn, &start, 8).unwrap();
            assert_eq!(alone, [scores], "{name}, transductive: {mode}");
        }
    }
}

/// Devices with small bindings beside the same ones as they are.
fn lists_longer_than_a_batch_have_the_same_scores(entry: &AdapterEntry) {
    let (split, sizes) = (images(), [3, 2, 3]);
    let episodes = resolved(&split, &sampled(&split, 8, sizes));
    let model = convolutions();
    let scores = |binding: Option<u64>| {
        let gpu = with_binding(entry, binding);
        let setup = setup(&gpu, &split, model.clone(), sizes);
        let size = Adaptation::batch_size(&gpu, &setup, 8);
        (size, evaluate_episodes(&gpu, &setup, &start(&model), &episodes))
    };
    let (all, whole) = scores(None);
    // The query batches of one task, 9 queries with 6 support images of 100 floats, take 25 200.
    let (few, parts) = scores(Some(80_000));
    assert_eq!((all, few), (8, 3), "tasks at once");
    assert_eq!(whole.unwrap(), parts.unwrap(), "{}", entry.info.name);
    let error = scores(Some(20_000)).1.unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    assert!(error.to_string().contains("20000"), "{error}");
}

fn lists_that_do_not_fit_are_refused(Device { gpu, .. }: &Device) {
    let split = images();
    let model = convolutions();
    let start = start(&model);
    let drawn = setup(gpu, &split, model, [3, 2, 3]);
    let refused = |setup: &AdaptationSetup, episodes: &Episodes| {
        evaluate_episodes(gpu, setup, &start, episodes).unwrap_err().to_string()
    };
    let episodes = |sizes| resolved(&split, &sampled(&split, 1, sizes));
    let message = refused(&drawn, &episodes([4, 1, 1]));
    assert!(message.contains("list.json") && message.contains("4 classes"), "{message}");
    let mut repeated = drawn.clone();
    repeated.batches.replacement = true;
    let message = refused(&repeated, &episodes([3, 1, 1]));
    assert!(message.contains("eval.batch") && message.contains("3 support"), "{message}");
    let rows = with(drawn.clone(), |it| it.origin = Origin::Rows { queries: 3, ordered: false });
    assert!(refused(&rows, &episodes([3, 1, 1])).contains("tasks.kind"));
    let train = Episodes { part: SplitPart::Train, ..episodes([3, 1, 1]) };
    assert!(refused(&drawn, &train).contains("the train images"));
}
