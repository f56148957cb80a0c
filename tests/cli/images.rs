//! Folders of images through the program: a small set made here, and CIFAR-FS where it is.

use std::path::Path;

use crate::program::{ONE_HIDDEN, eval_json, has_data, refusal, reptile};
use image::{Rgb, RgbImage};

const SIDE: u32 = 9;

/// Ten images of class `class`: a block in a place and colour of its own, and one other pixel.
pub fn picture(class: u32, image: u32) -> RgbImage {
    let mut picture = RgbImage::from_pixel(SIDE, SIDE, Rgb([230; 3]));
    for pixel in 0..9 {
        let (x, y) = (class * 5 % 6 + pixel % 3, class * 3 % 7 + pixel / 3);
        picture.put_pixel(x, y, Rgb([0, (class * 40 % 256) as u8, 0]));
    }
    picture.put_pixel(image % SIDE, (image + class) % SIDE, Rgb([0; 3]));
    picture
}

/// Ten training, five validation and five test classes in folders.
pub fn data(folder: &Path) {
    for class in 0..20 {
        let part = ["train", "train", "val", "test"][class as usize / 5];
        let place = folder.join(part).join(format!("class{class}"));
        std::fs::create_dir_all(&place).unwrap();
        for image in 0..10 {
            let format = ["png", "jpg"][image as usize % 2];
            picture(class, image).save(place.join(format!("{image}.{format}"))).unwrap();
        }
    }
}

/// `train` of a small dense network on 5-way tasks of images of `size`.
pub fn train(folder: &Path, size: u32, keys: &[&str]) -> assert_cmd::Command {
    let mut command = reptile();
    // Where the operating system's conventions put caches.
    command.env_remove("REPTILE_CACHE");
    command.env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder.join("home"));
    command.args(["train", "--preset", "omniglot-mlp-5w1s"]);
    let input = format!("model.input=[3, {size}, {size}]");
    let size = format!("tasks.size={size}");
    let all = ["tasks.kind=images", "tasks.way=5", "tasks.shots=1", "tasks.train_shots=5"];
    for key in all
        .into_iter()
        .chain([ONE_HIDDEN, size.as_str(), &input, "inner.rate=0.05"])
        .chain(keys.iter().copied())
    {
        command.args(["--set", key]);
    }
    command
}

#[test]
fn episodes_are_learned_from_folders() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    data(&images);
    let out = folder.path().join("run");
    train(folder.path(), 7, &["eval.every=100", "eval.validation_tasks=20"])
        .args(["--iterations", "150", "--data"])
        .arg(&images)
        .arg("--out")
        .arg(&out)
        .assert()
        .success();
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("validation"), "{metrics}");
    let value = eval_json(&out, &["--tasks", "60", "--data", images.to_str().unwrap()]);
    let accuracy = |place: &str| value.pointer(place).unwrap().as_f64().unwrap();
    let after = accuracy("/runs/0/after/accuracy");
    assert!(after > 0.5 && after > accuracy("/runs/0/before/accuracy"), "{value}");
    #[cfg(target_os = "linux")]
    {
        let kept = std::fs::read_dir(folder.path().join("cache/reptile")).unwrap();
        let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with("images-")).count(), 1);
    }
}

#[test]
fn what_is_wrong_is_named_before_a_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    data(&images);
    let out = folder.path().join("run");
    let refused = |keys: &[&str]| {
        let mut command = train(folder.path(), SIDE, keys);
        let text = refusal(command.arg("--data").arg(&images).arg("--out").arg(&out));
        assert!(!out.exists(), "{text}");
        text
    };
    assert!(refused(&["tasks.channels=1"]).contains("model.input"));
    assert!(refused(&["tasks.queries=10", "eval.every=9"]).contains("class10 has 10"));
    let broken = images.join("val/class12/4.png");
    std::fs::write(&broken, "no image").unwrap();
    assert!(refused(&[]).contains("class12/4.png"));
    std::fs::remove_dir_all(images.join("val/class12")).unwrap();
    let text = refused(&["eval.every=9"]);
    assert!(
        text.contains("tasks.way") && text.contains("only 4") && text.contains("val"),
        "{text}"
    );
}

#[test]
fn the_real_data_set_trains() {
    if !has_data() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (out, some) = (folder.path().join("run"), folder.path().join("cifar_fs"));
    // Ten classes of a part: the whole set is read by a unit test.
    let all = std::path::Path::new(&std::env::var_os("REPTILE_DATA").unwrap()).join("cifar_fs");
    for part in ["train", "val", "test"] {
        std::fs::create_dir_all(some.join(part)).unwrap();
        for entry in std::fs::read_dir(all.join(part)).unwrap().take(10) {
            let path = entry.unwrap().path();
            std::fs::copy(&path, some.join(part).join(path.file_name().unwrap())).unwrap();
        }
    }
    let data = format!("tasks.data='{}'", some.display());
    train(folder.path(), 32, &[&data, "inner.rate=0.01"])
        .args(["--iterations", "20", "--out"])
        .arg(&out)
        .assert()
        .success();
    // Twenty iterations say nothing of accuracy; that the inner loops learn their support sets they do.
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let loss = |key: &str| last[key].as_f64().unwrap();
    assert!(loss("loss_last") < 0.95 * loss("loss_first"), "{last}");
    let value = eval_json(&out, &["--tasks", "5"]);
    assert!(value["runs"][0]["after"]["loss"].as_f64().unwrap() > 0.0, "{value}");
}
