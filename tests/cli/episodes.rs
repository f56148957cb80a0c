//! `reptile eval --episodes`: lists of tasks in files.

use crate::common::episode_list::{SEED, sampled, written};
use crate::program::{ONE_HIDDEN, Run, eval_json, has_data, refusal, reptile};
use image::{Rgb, RgbImage};
use reptile::config::Config;
use reptile::data::{Reading, omniglot};
use reptile::tasks::TaskSpec;
use serde_json::{Value, json};
use std::path::Path;

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
    train.args(["train", "--preset", "omniglot-mlp-5w1s", "--iterations", "3", "--data"]);
    train.arg(&images).arg("--out").arg(&out);
    for key in ["kind=images", "way=5", "shots=1", "train_shots=5", "size=6"] {
        train.args(["--set", &format!("tasks.{key}")]);
    }
    train.args(["--set", ONE_HIDDEN, "--set", "model.input=[3, 6, 6]"]).assert().success();

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
fn the_real_data_set_trains_and_is_listed() {
    if !has_data() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut train = reptile();
    train.args(["train", "--preset", "omniglot-mlp-5w1s", "--iterations", "20"]);
    train.args(["--set", ONE_HIDDEN, "--out"]).arg(&out).assert().success();
    let text = std::fs::read_to_string(out.join("config.toml")).unwrap();
    let TaskSpec::Omniglot(spec) = Config::from_toml(&text, "config.toml").unwrap().tasks else {
        unreachable!("an Omniglot preset");
    };
    let split = omniglot::read(&spec, Reading::ALL, &mut |_, _| ()).unwrap().split;
    let sizes = [spec.episodes.way, spec.episodes.shots, spec.episodes.queries];
    let list = written(folder.path(), "list.json", &sampled(&split, 30, sizes));
    let seed = SEED.to_string();
    let drawn = eval_json(&out, &["--tasks", "30", "--seed", &seed]);
    assert!(drawn["runs"][0]["after"]["accuracy"].as_f64().unwrap() > 0.2, "{drawn}");
    let mut listed = eval_json(&out, &["--episodes", &list, "--seed", &seed]);
    assert_eq!(listed["episodes"], json!(list));
    listed["episodes"] = Value::Null;
    assert_eq!(listed, drawn);
}
