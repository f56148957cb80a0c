//! Bad input: the message names the thing and the remedy, and nothing is written.

use sha2::{Digest, Sha256};

use crate::program::{Run, SMALL, refusal, reptile, sine_config, stderr};

fn train(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let text = refusal(reptile().arg("train").args(arguments).arg("--out").arg(&out));
    assert!(!out.exists(), "nothing is left behind: {text}");
    text
}

fn sine(arguments: &[&str]) -> String {
    train(&[&["--preset", "sine"], arguments].concat())
}

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [&["train", "--no-such-flag"][..], &["no-such-command"], &["adapt"], &[]] {
        reptile().args(arguments).assert().code(2);
    }
}

#[test]
fn no_adapter_names_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("none.json");
    std::fs::write(&empty, "{}").unwrap();
    for command in [&["devices"][..], &["train", "--preset", "sine"]] {
        let text = refusal(
            reptile()
                .args(command)
                .args(["--backend", "vulkan"])
                .env("VK_DRIVER_FILES", &empty)
                .env("VK_ICD_FILENAMES", &empty)
                .current_dir(folder.path()),
        );
        assert!(text.contains("mesa-vulkan-drivers"), "{text}");
    }
}

#[test]
fn unknown_devices_presets_and_keys_are_named() {
    assert!(sine(&["--device", "no such thing"]).contains("there are:"));
    assert!(train(&["--preset", "sin"]).contains("`sine`"));
    let text = sine(&["--set", "inner.raet=1"]);
    assert!(text.contains("inner.raet") && text.contains("inner.rate"), "{text}");
    assert!(sine(&["--set", "nonsense"]).contains("key=value"));
}

#[test]
fn impossible_values_name_their_key() {
    for (assignment, key) in [
        ("inner.rate=-1", "inner.rate"),
        ("tasks.points=1", "tasks.points"),
        ("model.layers.0.units=0", "units"),
        ("stop.patience=1", "eval.every"),
        ("outer.meta_batch=0", "outer.meta_batch"),
    ] {
        let text = sine(&["--set", assignment]);
        assert!(text.contains(key), "{assignment}: {text}");
    }
}

#[test]
fn broken_configuration_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, "iterations = \"many\"").unwrap();
    let text = train(&[path.to_str().unwrap()]);
    assert!(text.contains("mine.toml"), "{text}");
    let text = train(&[folder.path().join("none.toml").to_str().unwrap()]);
    assert!(text.contains("none.toml"), "{text}");
    assert!(train(&[]).contains("--preset"));
}

#[test]
fn a_job_too_large_for_the_device_names_needed_and_available_bytes() {
    for (setting, remedy) in [
        ("model.layers.0.units=7000000", "the layers' sizes"),
        ("inner.steps=400000000", "inner.steps"),
    ] {
        let text = sine(&["--set", "plan=layered", "--set", setting]);
        assert!(text.contains(remedy) && text.contains("bytes"), "{setting}: {text}");
    }
}

#[test]
fn a_network_that_does_not_fit_is_not_fused() {
    let text = sine(&["--plan", "fused", "--set", "model.layers.0.units=6000"]);
    assert!(text.contains("plan") && text.contains("layered"), "{text}");
}

#[test]
fn a_diverging_run_stops_and_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = reptile();
    command
        .args(["train", "--preset", "sine", "--iterations", "500"])
        .args(["--set", "log.checkpoint_every=1", "--set", "model.layers.0.activation=relu"])
        .args(["--set", "model.layers.1.activation=relu", "--set", "inner.rate=2"])
        .arg("--out")
        .arg(&out);
    let text = refusal(&mut command);
    assert!(text.contains("run 0 diverged at iteration"), "{text}");
    let good = crate::program::numbers(&out);
    if let Some(last) = good.last() {
        reptile()
            .arg("eval")
            .arg(out.join(format!("checkpoints/{last}.safetensors")))
            .args(["--tasks", "2"])
            .assert()
            .success();
        assert!(text.contains(last), "{text}");
    }
}

#[test]
fn missing_runs_and_data_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = refusal(reptile().arg("eval").arg(folder.path().join("none")));
    assert!(text.contains("none"), "{text}");
    let text = {
        let out = folder.path().join("out");
        refusal(
            reptile()
                .args(["train", "--preset", "omniglot-mlp-5w1s", "--out"])
                .arg(&out)
                .env_remove("REPTILE_DATA"),
        )
    };
    assert!(text.contains("--data") && text.contains("REPTILE_DATA"), "{text}");
    let run = Run::train(&["--iterations", "1"]);
    let text = refusal(
        reptile()
            .arg("adapt")
            .arg(run.path())
            .args(["--tasks", "/nowhere.safetensors", "--out"])
            .arg(folder.path().join("x")),
    );
    assert!(text.contains("/nowhere.safetensors"), "{text}");
}

#[test]
fn compiled_pipelines_of_another_device_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let train = |name: &str| {
        let mut command = reptile();
        command.env("REPTILE_CACHE", &cache).args(sine_config()).args(SMALL);
        command.args(["--iterations", "2", "--out"]).arg(folder.path().join(name));
        command.assert().success();
    };
    train("first");
    let files = || std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let kept = files().find(|path| path.to_string_lossy().contains("pipelines-"));
    // Not every driver keeps any.
    let Some(kept) = kept else { return };
    let written = std::fs::read(&kept).unwrap();
    // The number of the device in the header of wgpu, under a right hash.
    let mut other = written[32..].to_vec();
    other[20] ^= 0xff;
    std::fs::write(&kept, [&Sha256::digest(&other)[..], &other].concat()).unwrap();
    train("second");
    assert_eq!(std::fs::read(&kept).unwrap()[32..56], written[32..56], "compiled anew and kept");
    // A cache that cannot be one costs time alone.
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, "a file").unwrap();
    train("third");
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_says_how_to_get_one_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for command in [["train", "--preset", "sine"], ["reproduce", "sine", "--seeds=1"]] {
        let said = refusal(reptile().args(command).args(["--distributed", "--out"]).arg(&out));
        assert!(said.contains("without MPI") && said.contains("make mpi"), "{said}");
    }
    assert!(!out.exists());
    // What there is to say without ranks.
    let mut command = reptile();
    command.args(["train", "--preset", "sine", "--iterations", "1", "--no-autotune"]).args(SMALL);
    command.args(["--set", "distributed.local_steps=5", "--out"]).arg(&out);
    assert!(stderr(command.assert().success()).contains("count with --distributed alone"));
    let flag = reptile().args(["train", "--preset", "sine", "--overlap"]).assert().code(2);
    assert!(stderr(flag).contains("--distributed"));
}
