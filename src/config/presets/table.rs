//! The rows: name, description, the paper's figures, and what differs from the family's file.

use super::{Figure, Preset};
use crate::config::families::{GRADIENTS, MINI_IMAGENET, MLP, MLP_10_WAY, OMNIGLOT, SINE};

/// Dotted key and value of a setting.
type Set<'a> = [(&'a str, &'a str)];

/// The presets in the order in which they are listed.
pub(super) fn presets() -> Vec<Preset> {
    let mut list = dense();
    list.extend(omniglot());
    list.extend(photographs());
    list.extend(glyphs());
    list.extend(gradient_combinations());
    list
}

fn preset(name: &str, description: &str, base: &'static str, set: &Set<'_>) -> Preset {
    let own = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    Preset {
        name: name.into(),
        training: name.into(),
        description: description.into(),
        paper: None,
        base,
        set: set.iter().map(own).collect(),
        text: Default::default(),
    }
}

/// A training and its two evaluations: `NAME`, and `NAME-t` with transduction. `paper` holds accuracy
/// and ± of both.
fn cells(
    name: &str,
    description: &str,
    base: &'static str,
    set: &Set<'_>,
    paper: Option<[[f64; 2]; 2]>,
) -> [Preset; 2] {
    let [plain, transductive] = match paper {
        Some(both) => both.map(|[accuracy, interval]| Some(Figure { accuracy, interval })),
        None => [None; 2],
    };
    let twin = preset(
        &format!("{name}-t"),
        &format!("{description}; with transduction"),
        base,
        &[set, &[("eval.transductive", "true")]].concat(),
    );
    [
        Preset { paper: plain, ..preset(name, description, base, set) },
        Preset { paper: transductive, training: name.into(), ..twin },
    ]
}

fn dense() -> Vec<Preset> {
    const TWENTY: &Set<'_> = &[
        ("iterations", "5000"),
        ("model.layers.2.units", "20"),
        ("tasks.way", "20"),
        ("inner.batch", "20"),
        ("eval.batch", "10"),
    ];
    let mlp = |name: &str, cell: &str, set: &Set<'_>| {
        preset(name, &format!("Omniglot {cell}, two dense layers of 64 ReLU"), MLP, set)
    };
    vec![
        preset("sine", "sine waves, 1-64-64-1 tanh: the demo of the paper's authors", SINE, &[]),
        mlp("omniglot-mlp-5w1s", "5-way 1-shot", &[]),
        mlp("omniglot-mlp-5w5s", "5-way 5-shot", &[("tasks.shots", "5")]),
        mlp("omniglot-mlp-20w1s", "20-way 1-shot", TWENTY),
        preset(
            "omniglot-mlp-10w",
            "Omniglot 10-way 5-shot, two dense layers of 64 ReLU, outer Adam with a staircase",
            MLP_10_WAY,
            &[],
        ),
    ]
}

fn omniglot() -> Vec<Preset> {
    const TWENTY: &Set<'_> = &[
        ("iterations", "200000"),
        ("model.layers.8.units", "20"),
        ("tasks.way", "20"),
        ("inner.rate", "0.0005"),
        ("inner.batch", "20"),
        ("inner.steps", "10"),
        ("eval.batch", "10"),
    ];
    const FIVE_SHOTS: &Set<'_> = &[("tasks.shots", "5")];
    let cell = |way: usize, shots: usize, set: &Set<'_>, paper| {
        let description = format!("Omniglot {way}-way {shots}-shot, the paper's network");
        cells(&format!("omniglot-{way}w{shots}s"), &description, OMNIGLOT, set, Some(paper))
    };
    [
        cell(5, 1, &[], [[95.39, 0.09], [97.68, 0.04]]),
        cell(5, 5, FIVE_SHOTS, [[98.90, 0.10], [99.48, 0.06]]),
        cell(20, 1, TWENTY, [[88.14, 0.15], [89.43, 0.14]]),
        cell(20, 5, &[TWENTY, FIVE_SHOTS].concat(), [[96.65, 0.33], [97.12, 0.32]]),
    ]
    .concat()
}

/// Mini-ImageNet, and CIFAR-FS with the same settings, of which the paper has no figures.
fn photographs() -> Vec<Preset> {
    const CIFAR: &Set<'_> =
        &[("model.input", "[3, 32, 32]"), ("tasks.set", "cifar_fs"), ("tasks.size", "32")];
    const FIVE_SHOTS: &Set<'_> = &[("tasks.shots", "5"), ("eval.batch", "15")];
    let mini = |shots: usize, set: &Set<'_>, paper| {
        let description = format!("Mini-ImageNet 5-way {shots}-shot, the paper's network");
        cells(&format!("miniimagenet-5w{shots}s"), &description, MINI_IMAGENET, set, Some(paper))
    };
    let cifar = |shots: usize, set: &Set<'_>| {
        let description = format!("CIFAR-FS 5-way {shots}-shot, as Mini-ImageNet");
        cells(&format!("cifar-fs-5w{shots}s"), &description, MINI_IMAGENET, set, None)
    };
    [
        mini(1, &[], [[47.07, 0.26], [49.97, 0.32]]),
        mini(5, FIVE_SHOTS, [[62.74, 0.37], [65.99, 0.58]]),
        cifar(1, CIFAR),
        cifar(5, &[CIFAR, FIVE_SHOTS].concat()),
    ]
    .concat()
}

/// Omniglot's network and settings on glyphs that the device draws, in a fraction of the iterations.
fn glyphs() -> [Preset; 2] {
    const SET: &Set<'_> = &[
        ("tasks.kind", "glyphs"),
        ("tasks.way", "5"),
        ("tasks.shots", "1"),
        ("tasks.train_shots", "10"),
        ("iterations", "2000"),
        ("eval.tasks", "1000"),
        ("eval.every", "200"),
        ("eval.validation_tasks", "20"),
        ("log.every", "10"),
    ];
    let description = "random glyphs 5-way 1-shot, no data needed, Omniglot's network";
    cells("glyphs-5w1s", description, OMNIGLOT, SET, None)
}

/// The gradients g1 … gk of k inner steps: their sum, their mean, and the last one alone.
fn gradient_combinations() -> Vec<Preset> {
    let mut list =
        vec![preset("gradcomb-g1", "gradient combinations: Δ is g1 alone", GRADIENTS, &[])];
    for k in 2..=4 {
        let (steps, shots) = (k.to_string(), (5 * k).to_string());
        let mean = (0.25 / f64::from(k)).to_string();
        let set = [("inner.steps", steps.as_str()), ("tasks.train_shots", shots.as_str())];
        let mut add = |name: &str, sum: String, more: &Set<'_>| {
            let description = format!("gradient combinations: Δ is {sum}");
            list.push(preset(&format!("gradcomb-{name}{k}"), &description, GRADIENTS, more));
        };
        let sum = (1..=k).map(|step| format!("g{step}")).collect::<Vec<_>>().join(" + ");
        add("sum", sum.clone(), &set);
        add("mean", format!("1/{k} ({sum})"), &[&set[..], &[("outer.rate", &mean)]].concat());
        let last = [&set[..], &[("outer.algorithm", "fomaml")]].concat();
        add("last", format!("g{k} alone (FOMAML)"), &last);
    }
    list
}
