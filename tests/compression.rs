//! Compressed models: the device's codes against plain arithmetic, and `reptile compress` from end to end.

mod cli_common;
mod common;

use std::path::Path;

use cli_common::{Run, SMALL, eval_json, refusal, reptile, stderr, write_task};
use common::{Device, devices, numbers};
use reptile::meta::{CodeLayout, largest_differences};
use reptile::model::{Activation, Loss, Model, ModelSpec, Padding};

/// A network with tensors smaller and larger than a group, and of lengths that fill no word.
fn model() -> Model {
    let spec = ModelSpec::builder(&[1, 6, 6])
        .conv2d(5, 3, 1, Padding::SAME)
        .dense(37, Activation::Tanh)
        .dense(3, Activation::Linear)
        .loss(Loss::CrossEntropy);
    Model::new(spec).unwrap()
}

/// A base and three models: near it, far from it, and equal to it.
fn sets(model: &Model) -> (Vec<f32>, Vec<Vec<f32>>) {
    let count = model.parameter_count();
    let base = numbers(1, count);
    let moved = |seed, scale: f32| -> Vec<f32> {
        base.iter().zip(numbers(seed, count)).map(|(b, n)| b + scale * n * n * n).collect()
    };
    let models = vec![moved(2, 0.01), moved(3, 20.0), base.clone()];
    (base, models)
}

#[test]
fn errors_keep_within_half_a_scale() {
    let model = model();
    let (base, sets) = sets(&model);
    for Device { name, gpu, .. } in devices().iter() {
        for (bits, most) in [(8, 127.0), (4, 7.0)] {
            let layout = CodeLayout::new(&model, bits);
            let coded = layout.encode(gpu, &base, &sets).unwrap();
            assert_eq!(coded.codes.len(), 3 * layout.words());
            let decoded = layout.decode(gpu, &base, &coded).unwrap();
            for (index, (set, decoded)) in sets.iter().zip(&decoded).enumerate() {
                let (mut scales, mut place) = (coded.scales[index * layout.groups()..].iter(), 0);
                for tensor in model.tensors() {
                    for group in set[tensor.offset..][..tensor.elements()].chunks(128) {
                        let scale = *scales.next().unwrap();
                        let largest = group
                            .iter()
                            .zip(&base[place..])
                            .fold(0.0_f32, |all, (value, base)| all.max((value - base).abs()));
                        assert!((scale * most - largest).abs() <= 1e-5 * largest, "{name}");
                        for (i, value) in group.iter().enumerate() {
                            let error = (decoded[place + i] - value).abs();
                            let bound = 0.5001 * scale + 1e-6 * value.abs();
                            assert!(error <= bound, "{bits} bits, {name}: {error} > {bound}");
                        }
                        place += group.len();
                    }
                }
                assert_eq!(place, base.len());
            }
            assert_eq!(decoded[2], base, "what does not differ is exact");
        }
    }
}

#[test]
fn one_bit_goes_as_far_as_the_difference_and_halves_are_halves() {
    let model = model();
    let (base, sets) = sets(&model);
    for Device { name, gpu, .. } in devices().iter() {
        let layout = CodeLayout::new(&model, 1);
        let coded = layout.encode(gpu, &base, &sets).unwrap();
        let decoded = layout.decode(gpu, &base, &coded).unwrap();
        for (set, decoded) in sets.iter().zip(&decoded) {
            for tensor in model.tensors() {
                let own = tensor.offset..tensor.offset + tensor.elements();
                let differences: Vec<f64> =
                    own.clone().map(|i| f64::from(set[i]) - f64::from(base[i])).collect();
                let sum = |power| differences.iter().map(|d| d.abs().powi(power)).sum::<f64>();
                let scale = match sum(1) {
                    0.0 => 0.0,
                    sizes => (sum(2) / sizes).min(1.75 * sizes / differences.len() as f64),
                };
                for (i, difference) in own.zip(differences) {
                    let wanted = f64::from(base[i]) + scale.copysign(difference);
                    let error = (f64::from(decoded[i]) - wanted).abs();
                    // Where there is hardly a difference, its sign is a matter of rounding.
                    let tiny = difference.abs() < 1e-6;
                    assert!(tiny || error < 1e-5 * (1.0 + wanted.abs()), "{name}: {error}");
                }
            }
        }
        let layout = CodeLayout::new(&model, 16);
        let decoded =
            layout.decode(gpu, &base, &layout.encode(gpu, &base, &sets).unwrap()).unwrap();
        for (set, decoded) in sets.iter().zip(&decoded) {
            for ((value, got), base) in set.iter().zip(decoded).zip(&base) {
                let bound = (value - base).abs() / 1024.0 + 1e-6 * (1.0 + value.abs());
                assert!((value - got).abs() <= bound, "{name}: {got} for {value}");
            }
        }
    }
}

#[test]
fn the_largest_differences_are_found() {
    let model = model();
    let (base, sets) = sets(&model);
    for Device { name, gpu, .. } in devices().iter() {
        for kept in [1, 7, 300, base.len()] {
            let found = largest_differences(gpu, &base, &sets, kept).unwrap();
            for (set, found) in sets.iter().zip(found) {
                let mut sizes: Vec<f32> =
                    set.iter().zip(&base).map(|(value, base)| (value - base).abs()).collect();
                sizes.sort_by(|a, b| b.total_cmp(a));
                assert_eq!(found, sizes[kept - 1], "{kept} of {}, {name}", sizes.len());
            }
        }
    }
}

/// A short run and ten models that were adapted to its test tasks.
fn adapted() -> (Run, std::path::PathBuf) {
    let run = Run::train(&[&["--iterations", "20"], &SMALL[..]].concat());
    let file = run.path().join("adapted.safetensors");
    reptile()
        .arg("adapt")
        .arg(run.path())
        .args(["--test-tasks", "10", "--out"])
        .arg(&file)
        .assert()
        .success();
    (run, file)
}

fn compress(run: &Run, file: &Path, codec: &str, out: &Path) {
    let mut command = reptile();
    command.arg("compress").arg(file).arg("--base").arg(run.path());
    command.args(["--codec", codec, "--out"]).arg(out).assert().success();
}

fn loss_after(value: &serde_json::Value) -> f64 {
    value["runs"][0]["after"]["loss"].as_f64().unwrap()
}

#[test]
fn models_are_tested_as_they_were_adapted_and_replays_have_their_bytes() {
    let (run, file) = adapted();
    let base = run.path().display().to_string();
    let plain = loss_after(&eval_json(run.path(), &["--tasks", "10", "--no-baseline"]));
    let models = loss_after(&eval_json(&file, &["--base", &base]));
    assert_eq!(models, plain, "the same tasks and the same parameters");
    for (codec, ratio, error) in [("f16", 1.2, 0.01), ("int8", 1.5, 0.05), ("replay", 3.0, 0.0)] {
        let out = run.path().join(format!("{codec}.safetensors"));
        compress(&run, &file, codec, &out);
        let size = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
        assert!(size(&file) / size(&out) > ratio, "{codec}");
        let loss = loss_after(&eval_json(&out, &["--base", &base]));
        assert!((loss - plain).abs() <= error * plain, "{codec}: {loss} for {plain}");
    }
    let back = run.path().join("back.safetensors");
    let replay = run.path().join("replay.safetensors");
    let decompress = |from: &Path, to: &Path| {
        let mut command = reptile();
        command.arg("decompress").arg(from).arg("--base").arg(run.path()).arg("--out").arg(to);
        command.assert().success();
    };
    decompress(&replay, &back);
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&file).unwrap(), "replay");
    let coarse = run.path().join("coarse.safetensors");
    decompress(&run.path().join("int8.safetensors"), &coarse);
    let again = run.path().join("again.safetensors");
    compress(&run, &coarse, "int8", &again);
    assert!(loss_after(&eval_json(&again, &["--base", &base])).is_finite());
}

/// The file without its recipe's `refine`, as before there was one.
fn without_refine(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let older = header.replace("\\\"refine\\\":null,", "");
    assert!(older.len() < header.len(), "{header}");
    let older = older.trim_end();
    let padded = older.len().next_multiple_of(8);
    let older = format!("{older:padded$}");
    let parts = [&(padded as u64).to_le_bytes(), older.as_bytes(), &bytes[8 + length..]];
    std::fs::write(path, parts.concat()).unwrap();
}

#[test]
fn models_with_refined_rates_are_made_again_and_from_their_own_tasks_alone() {
    let aruba =
        ["--iterations", "20", "--set", "strategy.kind=aruba", "--set", "strategy.zeta=0.03"];
    let run = Run::train(&[&aruba[..], &SMALL[..]].concat());
    let name = |name: &str| run.path().join(name);
    write_task(&name("mine"), 2.0, 6);
    write_task(&name("other"), -1.0, 6);
    let adapt = |arguments: &[&str], out: &str| {
        let mut command = reptile();
        command.arg("adapt").arg(run.path()).arg("--tasks").arg(name("mine"));
        command.args(arguments).arg("--out").arg(name(out)).assert().success();
        std::fs::read(name(out)).unwrap()
    };
    let (plain, refined) = (adapt(&[], "plain"), adapt(&["--refine", "1000"], "refined"));
    assert_ne!(plain, refined);
    without_refine(&name("plain"));
    for file in ["plain", "refined"] {
        let replay = |tasks: &str, out: &str| {
            let mut command = reptile();
            command.arg("compress").arg(name(file)).arg("--base").arg(run.path());
            command.args(["--codec", "replay", "--tasks"]).arg(name(tasks));
            command.arg("--out").arg(name(out));
            command
        };
        let (small, back) = (format!("{file}-small"), format!("{file}-back"));
        let text = refusal(&mut replay("other", &small));
        assert!(text.contains("--tasks") && !name(&small).exists(), "{text}");
        replay("mine", &small).assert().success();
        let mut command = reptile();
        command.arg("decompress").arg(name(&small)).arg("--base").arg(run.path());
        let text = stderr(command.arg("--out").arg(name(&back)).assert().success());
        assert!(!text.contains("warning"), "{text}");
        assert_eq!(std::fs::read(name(&back)).unwrap(), std::fs::read(name(file)).unwrap());
    }
    let eval = |arguments: &[&str]| {
        eval_json(run.path(), &[&["--tasks", "10", "--no-baseline"], arguments].concat())
    };
    let (plain, refined) = (eval(&[]), eval(&["--refine", "1000"]));
    assert_eq!((&plain["refine"], &refined["refine"]), (&0.0.into(), &1000.0.into()));
    assert_ne!(loss_after(&plain), loss_after(&refined));
    let (bare, _) = adapted();
    let text = refusal(reptile().arg("eval").arg(bare.path()).args(["--refine", "1"]));
    assert!(text.contains("strategy.refine") && text.contains("aruba"), "{text}");
}

#[test]
fn what_is_left_over_is_fed_back() {
    let (run, file) = adapted();
    let name = |name: &str| run.path().join(name);
    let command = |out: &str| {
        let mut command = reptile();
        command.arg("compress").arg(&file).arg("--base").arg(run.path());
        command.args(["--codec", "topk:0.02", "--out"]).arg(name(out));
        command
    };
    command("one").arg("--residual").arg(name("left")).assert().success();
    // What was sent and what is left over make up the differences: nothing is lost.
    let mut second = command("two");
    second.arg("--feedback").arg(name("left")).arg("--residual").arg(name("more"));
    second.assert().success();
    let text = refusal(command("three").arg("--residual").arg(name("left")));
    assert!(text.contains("left"), "nothing is written over: {text}");
    assert!(!name("three").exists());
}

#[test]
fn wrong_bases_and_damaged_files_are_refused() {
    let (run, file) = adapted();
    let other = Run::train(&[&["--iterations", "10"], &SMALL[..]].concat());
    let out = run.path().join("small.safetensors");
    compress(&run, &file, "int4", &out);
    let of = |file: &Path, base: &Run| {
        let mut command = reptile();
        command.arg("decompress").arg(file).arg("--base").arg(base.path());
        command.arg("--out").arg(run.path().join("restored.safetensors"));
        refusal(&mut command)
    };
    assert!(of(&out, &other).contains("another checkpoint"));
    let bytes = std::fs::read(&out).unwrap();
    std::fs::write(&out, &bytes[..bytes.len() / 2]).unwrap();
    assert!(of(&out, &run).contains("truncated"));
    assert!(of(&file, &run).contains("not compressed models"));
    assert!(!run.path().join("restored.safetensors").exists());
    let mut command = reptile();
    command.arg("compress").arg(&file).arg("--base").arg(run.path());
    let text = stderr(command.args(["--codec", "int3", "--out", "x"]).assert().code(2));
    assert!(text.contains("int8"), "{text}");
    assert!(refusal(reptile().arg("eval").arg(&file)).contains("--base"));
}
