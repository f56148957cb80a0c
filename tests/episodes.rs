//! Lists of tasks: the sampler's own tasks as a list give the sampler's scores, in the library and
//! through the program.

mod cli_common;
mod common;

use std::path::Path;
use std::sync::Arc;

use cli_common::{Run, eval_json, refusal, reptile};
use common::{Device, devices, integers, network, own_adapters, with_binding};
use image::{Rgb, RgbImage};
use reptile::Error;
use reptile::gpu::Gpu;
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, AdaptationSetup, DeviceImages, Origin, PlanKind, StartingPoint, evaluate,
    evaluate_episodes,
};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};
use reptile::reference::sampling::episode;
use reptile::rng::{Phase, Stream};
use reptile::run::Config;
use reptile::tasks::{
    Batches, Bits, EpisodeList, Episodes, ImageClass, ImageSet, Reading, Split, SplitClass,
    SplitPart, TaskSpec, omniglot,
};
use serde_json::{Value, json};

const SEED: u64 = 11;

/// Sizes of tasks: way, shots, queries.
type Sizes = [usize; 3];

/// The tasks that the sampler draws from the test classes of `split`, as a list.
fn sampled(split: &Split, tasks: usize, sizes: Sizes) -> Value {
    let [way, shots, queries] = sizes.map(|size| size as u32);
    let classes = split.classes(SplitPart::Test);
    let class = |class: u32| &split.images.classes[classes[class as usize].class];
    let list = (0..tasks).map(|task| {
        let stream = Stream::new(SEED, Phase::Test, 0, task as u32);
        let images = |number| class(number).images;
        let drawn = episode(&stream, classes.len() as u32, &images, way, shots, queries);
        let files = |examples: &[(u32, u32)], label: usize| -> Vec<&str> {
            let count = examples.len() / sizes[0];
            let own = &examples[label * count..(label + 1) * count];
            let file = |(number, image): &(u32, u32)| {
                split.images.files[(class(*number).first_image + image) as usize].as_str()
            };
            own.iter().map(file).collect()
        };
        let entry = |(label, number): (usize, &u32)| {
            json!({
                "class": class(*number).name,
                "support": files(&drawn.support, label),
                "query": files(&drawn.query, label),
            })
        };
        drawn.classes.iter().enumerate().map(entry).collect::<Vec<_>>()
    });
    list.collect()
}

/// Writes `list` into a file of `folder`.
fn written(folder: &Path, name: &str, list: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, serde_json::to_string_pretty(list).unwrap()).unwrap();
    path.to_str().unwrap().into()
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
    AdaptationSetup {
        model,
        rule: InnerRule::Sgd,
        rate: 0.1,
        weight_decay: 1.0,
        plan: PlanKind::Auto,
        batches: Batches { way, group, tail: 0, steps: 4, batch: 4, replacement: false },
        origin: Origin::Episodes { images, part: SplitPart::Test, queries },
        phase: Phase::Test,
        seed: SEED,
        scored: true,
        transductive: vec![false],
    }
}

fn start(model: &Model) -> StartingPoint {
    StartingPoint {
        parameters: model.initial(3),
        state: [None, None],
        adam_steps: 0,
        rates: None,
        sums: None,
    }
}

#[test]
fn the_samplers_tasks_as_a_list_have_the_samplers_scores() {
    let (split, sizes) = (images(), [3, 2, 3]);
    let list = sampled(&split, 8, sizes);
    let (episodes, half) =
        (resolved(&split, &list), resolved(&split, &json!(list.as_array().unwrap()[..4])));
    let dense = network(25, &[(6, Activation::Tanh)], 3, Loss::CrossEntropy);
    for Device { name, gpu, .. } in devices().iter() {
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
            assert_eq!(
                evaluate_episodes(gpu, &other, &start, &episodes).unwrap(),
                wanted,
                "{name}"
            );
            let half = evaluate_episodes(gpu, &drawn, &start, &half).unwrap();
            assert!(half.iter().zip(&wanted).all(|(half, all)| half == &all[..4]), "{name}");
            for (mode, scores) in modes.into_iter().zip(wanted) {
                drawn.transductive = vec![mode];
                let alone = evaluate(gpu, &drawn, &start, 8).unwrap();
                assert_eq!(alone, [scores], "{name}, transductive: {mode}");
            }
        }
    }
}

/// Devices with small bindings beside the same ones as they are.
#[test]
fn lists_longer_than_a_batch_have_the_same_scores() {
    let (split, sizes) = (images(), [3, 2, 3]);
    let episodes = resolved(&split, &sampled(&split, 8, sizes));
    let model = convolutions();
    for entry in own_adapters() {
        let scores = |binding: Option<u64>| {
            let gpu = with_binding(&entry, binding);
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
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let devices = devices();
    let Device { gpu, .. } = &devices[0];
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
    assert!(message.contains("--batch") && message.contains("3 support"), "{message}");
    let rows =
        AdaptationSetup { origin: Origin::Rows { queries: 3, ordered: false }, ..drawn.clone() };
    assert!(refused(&rows, &episodes([3, 1, 1])).contains("tasks.kind"));
    let train = Episodes { part: SplitPart::Train, ..episodes([3, 1, 1]) };
    assert!(refused(&drawn, &train).contains("the train images"));
}

/// Six training and six test classes of eight pictures, in folders.
fn folders(folder: &Path) {
    for class in 0..12 {
        let part = ["train", "test"][class as usize / 6];
        let place = folder.join(part).join(format!("class{class:02}"));
        std::fs::create_dir_all(&place).unwrap();
        for image in 0..8 {
            let mut picture = RgbImage::from_pixel(6, 6, Rgb([200; 3]));
            picture.put_pixel(class % 6, image % 6, Rgb([0, 20 * class as u8, 0]));
            picture.put_pixel(image % 6, class / 2, Rgb([0; 3]));
            picture.save(place.join(format!("{image}.png"))).unwrap();
        }
    }
}

/// One task of `way` test classes with these files.
fn task(way: usize, support: &[&str], query: &[&str]) -> Value {
    let entry =
        |n| json!({ "class": format!("class{:02}", 6 + n), "support": support, "query": query });
    (0..way).map(entry).collect()
}

#[test]
fn the_program_reads_lists_of_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (images, out) = (folder.path().join("images"), folder.path().join("run"));
    folders(&images);
    let mut train = reptile();
    train.env("XDG_CACHE_HOME", folder.path().join("cache")).env("HOME", folder.path());
    train.args(["train", "--preset", "omniglot-mlp-5w1s", "--iterations", "3", "--data"]);
    train.arg(&images).arg("--out").arg(&out);
    for key in ["kind=images", "way=5", "shots=1", "train_shots=5", "size=6"] {
        train.args(["--set", &format!("tasks.{key}")]);
    }
    train.args(["--set", "model.input=[3, 6, 6]"]).assert().success();

    // Other numbers of files than the run's own.
    let tasks =
        [task(5, &["0.png", "3.png"], &["1.png"]), task(5, &["2.png", "7.png"], &["5.png"])];
    let list = |name: &str, tasks: &[Value]| written(folder.path(), name, &json!(tasks));
    let two = list("two.json", &tasks);
    let value = eval_json(&out, &["--episodes", &two]);
    assert_eq!((&value["tasks"], &value["episodes"]), (&json!(2), &json!(two)));
    assert_eq!(value, eval_json(&out, &["--episodes", &two]));
    let other = list("other.json", &[tasks[1].clone(), tasks[0].clone()]);
    assert_ne!(value["runs"], eval_json(&out, &["--episodes", &other])["runs"]);
    let steps = eval_json(&out, &["--episodes", &two, "--steps", "1", "--batch", "3"]);
    assert_eq!((&steps["steps"], &steps["batch"]), (&json!(1), &json!(3)));

    let refused = |list: &Value| {
        let path = written(folder.path(), "bad.json", list);
        let text = refusal(reptile().arg("eval").arg(&out).args(["--episodes", &path]));
        assert!(text.contains("bad.json"), "{text}");
        text
    };
    assert!(refused(&json!([task(4, &["0.png"], &["1.png"])])).contains("list tasks of 5 classes"));
    let text = refused(&json!([task(5, &["0.png"], &["9.png"])]));
    assert!(text.contains("task 0: `class06` has no image `9.png`"), "{text}");
    let mut foreign = task(5, &["0.png"], &["1.png"]);
    foreign[2]["class"] = "class02".into();
    assert!(refused(&json!([foreign])).contains("`class02` is a train class"));
    assert!(refused(&json!([])).contains("no tasks"));
    let text = refusal(reptile().arg("eval").arg(&out).args(["--episodes", "none.json"]));
    assert!(text.contains("none.json"), "{text}");
    let both = reptile().arg("eval").arg(&out).args(["--episodes", &two, "--tasks", "2"]).assert();
    both.code(2);
}

#[test]
fn tasks_without_images_cannot_be_listed() {
    let run = Run::train(&["--iterations", "2"]);
    let folder = tempfile::tempdir().unwrap();
    let list = written(folder.path(), "list.json", &json!([task(5, &["0.png"], &["1.png"])]));
    let text = refusal(reptile().arg("eval").arg(run.path()).args(["--episodes", &list]));
    assert!(text.contains("tasks.kind") && text.contains("--episodes"), "{text}");
}

#[test]
fn the_real_data_set_is_listed() {
    if std::env::var_os("REPTILE_DATA").is_none() {
        eprintln!("skipped: no data");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut train = reptile();
    train.args(["train", "--preset", "omniglot-mlp-5w1s", "--iterations", "20", "--out"]);
    train.arg(&out).assert().success();
    let text = std::fs::read_to_string(out.join("config.toml")).unwrap();
    let TaskSpec::Omniglot(spec) = Config::from_toml(&text, "config.toml").unwrap().tasks else {
        unreachable!("an Omniglot preset");
    };
    let split = omniglot::read(&spec, Reading::ALL, &mut |_, _| ()).unwrap().split;
    let sizes = [spec.episodes.way, spec.episodes.shots, spec.episodes.queries];
    let list = written(folder.path(), "list.json", &sampled(&split, 30, sizes));
    let seed = SEED.to_string();
    let drawn = eval_json(&out, &["--tasks", "30", "--seed", &seed]);
    let mut listed = eval_json(&out, &["--episodes", &list, "--seed", &seed]);
    assert_eq!(listed["episodes"], json!(list));
    listed["episodes"] = Value::Null;
    assert_eq!(listed, drawn);
}
