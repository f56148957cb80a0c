use super::*;
use crate::layers::{BatchNorm, Conv2d, Function, MaxPool};
use crate::meta::{Algorithm, InnerOptimizer, OuterOptimizer, Schedule, StatePolicy};
use crate::model::{Activation, LayerSpec};

fn config(name: &str) -> Config {
    find(name).unwrap().config().unwrap()
}

#[test]
fn every_preset_is_valid_and_survives_a_round_trip() {
    for preset in all() {
        let name = preset.name();
        let config = Config::from_toml(get(name).unwrap(), name).unwrap();
        config.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config, preset.config().unwrap(), "{name}");
        let resolved = Config::from_toml(&preset.resolved().unwrap(), name).unwrap();
        assert_eq!(config, resolved, "{name}");
        assert_eq!(config.to_toml(), resolved.to_toml());
    }
}

#[test]
fn names_are_unique_and_twins_differ_in_their_evaluation_alone() {
    let mut names = names();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    for preset in all() {
        let twin = config(preset.training());
        assert!(!twin.eval.transductive, "{}", preset.name());
        let mut own = preset.config().unwrap();
        assert_eq!(own.eval.transductive, preset.name() != preset.training());
        own.eval.transductive = false;
        assert_eq!(own, twin, "{}", preset.name());
    }
}

#[test]
fn an_unknown_preset_is_answered_with_the_nearest() {
    let text = get("sinus").unwrap_err().to_string();
    assert!(text.contains("`sine`"), "{text}");
}

/// A cell of the paper: way, shots, inner rate, batch and steps, train shots, iterations, eval batch,
/// parameters; accuracy and ± without and with transduction.
type Cell = (&'static str, [usize; 2], f32, [usize; 6], [[f64; 2]; 2]);

/// Tables 1 and 2 of Nichol, Achiam and Schulman 2018, and the settings in its appendix.
const CELLS: [Cell; 6] = [
    (
        "omniglot-5w1s",
        [5, 1],
        1e-3,
        [10, 5, 10, 100_000, 5, 113_221],
        [[95.39, 0.09], [97.68, 0.04]],
    ),
    (
        "omniglot-5w5s",
        [5, 5],
        1e-3,
        [10, 5, 10, 100_000, 5, 113_221],
        [[98.90, 0.10], [99.48, 0.06]],
    ),
    (
        "omniglot-20w1s",
        [20, 1],
        5e-4,
        [20, 10, 10, 200_000, 10, 117_076],
        [[88.14, 0.15], [89.43, 0.14]],
    ),
    (
        "omniglot-20w5s",
        [20, 5],
        5e-4,
        [20, 10, 10, 200_000, 10, 117_076],
        [[96.65, 0.33], [97.12, 0.32]],
    ),
    (
        "miniimagenet-5w1s",
        [5, 1],
        1e-3,
        [10, 8, 15, 100_000, 5, 34_661],
        [[47.07, 0.26], [49.97, 0.32]],
    ),
    (
        "miniimagenet-5w5s",
        [5, 5],
        1e-3,
        [10, 8, 15, 100_000, 15, 34_661],
        [[62.74, 0.37], [65.99, 0.58]],
    ),
];

#[test]
fn the_papers_cells_have_its_settings_and_figures() {
    for (name, [way, shots], rate, numbers, figures) in CELLS {
        let twins = [name.to_string(), format!("{name}-t")];
        for ((twin, figure), transductive) in twins.iter().zip(figures).zip([false, true]) {
            let preset = find(twin).unwrap();
            let config = preset.config().unwrap();
            let model = config.validate().unwrap();
            let (inner, outer, eval) = (&config.inner, &config.outer, &config.eval);
            let [batch, steps, train_shots, iterations, eval_batch, parameters] = numbers;
            assert_eq!(config.support_samples(), way * train_shots, "{twin}");
            assert_eq!(config.eval_support_samples(), way * shots, "{twin}");
            assert_eq!(model.outputs(), way, "{twin}");
            assert_eq!(model.parameter_count(), parameters, "{twin}");
            assert_eq!((inner.optimizer, inner.rate), (InnerOptimizer::Adam, rate), "{twin}");
            assert_eq!((inner.beta1, inner.beta2, inner.epsilon), (0.0, 0.999, 1e-8));
            assert_eq!((inner.batch, inner.steps, inner.epochs), (batch, Some(steps), None));
            assert_eq!((inner.state, inner.replacement), (StatePolicy::Mean, false));
            assert_eq!((outer.algorithm, outer.meta_batch), (Algorithm::Reptile, 5));
            assert_eq!((outer.optimizer, outer.rate), (OuterOptimizer::Interpolation, 1.0));
            assert_eq!(outer.schedule, Schedule::Linear { last: 0.0 });
            assert_eq!(config.iterations, iterations as u64, "{twin}");
            assert_eq!((eval.tasks, eval.steps, eval.batch), (10_000, 50, eval_batch), "{twin}");
            assert_eq!(eval.transductive, transductive);
            let [accuracy, interval] = figure;
            assert_eq!(preset.paper(), Some(Figure { accuracy, interval }));
        }
    }
}

#[test]
fn mini_imagenet_pools_between_norm_and_relu() {
    let layers = config("miniimagenet-5w1s").model.layers;
    assert_eq!(layers.len(), 17);
    for block in layers[..16].chunks(4) {
        let [
            LayerSpec::Conv2d(Conv2d { filters: 32, .. }),
            LayerSpec::BatchNorm(BatchNorm { activation: Activation::Linear, .. }),
            LayerSpec::MaxPool(MaxPool { .. }),
            LayerSpec::Activation(Function { function: Activation::Relu }),
        ] = block
        else {
            panic!("{block:?}")
        };
    }
}

#[test]
fn cifar_fs_has_the_settings_of_mini_imagenet_on_its_own_images() {
    for shots in [1, 5] {
        let mini = config(&format!("miniimagenet-5w{shots}s"));
        let preset = find(&format!("cifar-fs-5w{shots}s")).unwrap();
        let mut cifar = preset.config().unwrap();
        assert_eq!(cifar.model.input, [3, 32, 32]);
        assert_eq!(cifar.validate().unwrap().parameter_count(), 29_541);
        assert_eq!(preset.paper(), None);
        assert_eq!(cifar.tasks.episodes(), mini.tasks.episodes());
        (cifar.model.input, cifar.tasks) = (mini.model.input.clone(), mini.tasks.clone());
        assert_eq!(cifar, mini);
    }
}

#[test]
fn glyphs_have_omniglots_network_and_inner_loop() {
    let (glyphs, omniglot) = (config("glyphs-5w1s"), config("omniglot-5w1s"));
    assert_eq!(glyphs.tasks.episodes(), omniglot.tasks.episodes());
    assert_eq!((&glyphs.model, &glyphs.inner), (&omniglot.model, &omniglot.inner));
    assert_eq!(glyphs.outer, omniglot.outer);
}

#[test]
fn gradient_combinations_have_the_papers_settings() {
    let rows = all().iter().filter(|preset| preset.name().starts_with("gradcomb-"));
    assert_eq!(rows.clone().count(), 10);
    for preset in rows {
        let config = preset.config().unwrap();
        let (kind, k) = preset.name()["gradcomb-".len()..].split_at(preset.name().len() - 10);
        let k: usize = k.parse().unwrap();
        let (inner, outer, eval) = (&config.inner, &config.outer, &config.eval);
        assert_eq!((inner.optimizer, inner.rate, inner.batch), (InnerOptimizer::Sgd, 0.003, 25));
        assert_eq!((inner.steps, config.support_samples()), (Some(k), 5 * 5 * k));
        assert_eq!(config.eval_support_samples(), 25, "5-way 5-shot");
        let rate = if kind == "mean" { 0.25 / k as f32 } else { 0.25 };
        assert!((outer.rate - rate).abs() < 1e-7, "{}", preset.name());
        assert_eq!(outer.algorithm == Algorithm::Fomaml, kind == "last");
        assert_eq!((outer.meta_batch, outer.tail_shots), (1, 0));
        assert_eq!(outer.schedule, Schedule::Linear { last: 0.0 });
        assert_eq!((config.iterations, eval.steps, eval.batch), (40_000, 5, 25));
    }
}
