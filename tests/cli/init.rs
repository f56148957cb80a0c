//! Trainings that start from weights of a file.

use crate::program::{Run, SMALL, bytes_of_parameters, refusal, reptile};

/// Trains the small network from `file`.
fn from_file(file: &str, more: &[&str]) -> Run {
    Run::train(&[&SMALL[..], &["--init", file, "--seed", "7"], more].concat())
}

#[test]
fn a_training_starts_from_the_weights_of_a_file_and_keeps_them() {
    let given = Run::train(&[&SMALL[..], &["--iterations", "3"]].concat());
    let file = given.checkpoint("0000000003");
    let name = file.to_str().unwrap();
    let short = from_file(name, &["--iterations", "1"]);
    assert!(short.output.contains("init: 6 of 6 tensors from "), "{}", short.output);
    assert!(!short.output.contains("is not used"), "{}", short.output);
    let (wanted, first) =
        (bytes_of_parameters(&file), bytes_of_parameters(&short.checkpoint("0000000000")));
    let parameters: Vec<_> = wanted.keys().filter(|name| !name.contains('/')).collect();
    assert_eq!(parameters.len(), 6);
    for name in parameters {
        assert_eq!(wanted[name], first[name], "{name}");
    }
    // The file is needed once.
    std::fs::remove_file(&file).unwrap();
    let out = short.path();
    let resume = ["train", "--resume", "--iterations", "4", "--out", out.to_str().unwrap()];
    reptile().args(resume).assert().success();
    let again = short.checkpoint("0000000000");
    let straight = from_file(again.to_str().unwrap(), &["--iterations", "4"]);
    assert_eq!(
        bytes_of_parameters(&short.checkpoint("0000000004")),
        bytes_of_parameters(&straight.checkpoint("0000000004"))
    );
}

#[test]
fn weights_that_do_not_fit_are_named_or_left_out() {
    let given = Run::train(&[&SMALL[..], &["--iterations", "1"]].concat());
    let file = given.checkpoint("0000000001");
    let file = file.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let train = |more: &[&str]| {
        let mut command = reptile();
        command.args(["train", "--preset", "sine", "--iterations", "1"]).args(SMALL);
        command.args(["--set", "model.layers.1.units=9", "--init"]).args(more);
        command.arg("--out").arg(&out);
        command
    };
    let message = refusal(&mut train(&[file]));
    for part in ["tensor `dense2.weight` has the shape [8, 8]", "[9, 8]", "--init-partial"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(refusal(&mut train(&["nowhere.safetensors"])).contains("nowhere.safetensors"));
    assert!(refusal(&mut train(&["Cargo.toml"])).contains("not a safetensors file"));
    assert!(!out.exists(), "nothing was begun");
    let output = train(&[file, "--init-partial"]).assert().success();
    let message = crate::program::stderr(output);
    for part in
        ["init: 3 of 6 tensors from ", "`dense3.weight` has the shape [1, 8]", "as it is drawn"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
    train(&[file, "--resume"]).assert().code(2);
}

#[test]
fn a_pretrained_body_stays_as_it_is() {
    let given = Run::train(&[&SMALL[..], &["--iterations", "3"]].concat());
    let file = given.checkpoint("0000000003");
    let body = ["--set", "model.layers.0.frozen=true", "--set", "model.layers.1.frozen=true"];
    let run = from_file(file.to_str().unwrap(), &[&body[..], &["--iterations", "5"]].concat());
    let (wanted, got) =
        (bytes_of_parameters(&file), bytes_of_parameters(&run.checkpoint("0000000005")));
    for name in ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"] {
        assert_eq!(wanted[name], got[name], "{name}");
    }
    assert_ne!(wanted["dense3.weight"], got["dense3.weight"]);
    assert!(run.output.contains("plan: layered"), "{}", run.output);
}
