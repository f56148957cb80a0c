use proptest::prelude::*;

use super::*;
use crate::cluster::{DistributedSpec, Exchange, RoundOptimizer};
use crate::config::presets;
use crate::meta::{
    Algorithm, EvalSpec, Granularity, InnerOptimizer, InnerSpec, MemorySpec, OuterOptimizer,
    OuterSpec, PlanKind, Schedule, StatePolicy, StopSpec, StrategyKind, StrategySpec,
};
use crate::model::{Activation, Init, Loss, ModelSpec};
use crate::tasks::{
    Background, EpisodeSpec, GlyphsSpec, ImagesSpec, OmniglotSpec, SineSpec, TaskSpec, TestClasses,
    Variation,
};

fn sine() -> &'static str {
    presets::get("sine").unwrap()
}

#[test]
fn the_sine_demo_has_the_sizes_of_its_authors() {
    let config = Config::from_toml(sine(), "preset sine").unwrap();
    assert_eq!([config.support_samples(), config.eval_support_samples()], [50, 10]);
    assert_eq!(config.inner_steps(), 5, "one epoch of five minibatches");
    let text = presets::get("omniglot-mlp-20w1s").unwrap();
    let config = Config::from_toml(text, "preset").unwrap();
    assert_eq!([config.support_samples(), config.eval_support_samples()], [200, 20]);
}

#[test]
fn files_are_named_in_messages() {
    let text = Config::from_toml("seed = ", "mine.toml").unwrap_err().to_string();
    assert!(text.contains("mine.toml"), "{text}");
    let missing = sine().replace("meta_batch = 1", "");
    let text = Config::from_toml(&missing, "mine.toml").unwrap_err().to_string();
    for part in ["mine.toml", "meta_batch", "`outer`"] {
        assert!(text.contains(part), "{text}");
    }
    let text = Config::load("no/such/file.toml").unwrap_err().to_string();
    assert!(text.contains("no/such/file.toml"), "{text}");
}

#[test]
fn load_reads_what_to_toml_writes() {
    let config = Config::from_toml(sine(), "preset sine").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_toml()).unwrap();
    assert_eq!(Config::load(file.path()).unwrap(), config);
}

#[test]
fn the_hash_ignores_what_may_change_on_resume() {
    let hash = |preset: &str, key: &str, value: &str| {
        let list = [(key.to_string(), value.to_string())];
        let text = presets::get(preset).unwrap();
        Config::with_overrides(text, preset, &list).unwrap().hash()
    };
    let preset = "omniglot-mlp-5w1s";
    let plain = Config::from_toml(presets::get(preset).unwrap(), preset).unwrap().hash();
    assert_eq!(plain.len(), 64);
    let free = [
        ("stop.seconds", "5"),
        ("stop.target", "0.9"),
        ("log.every", "1"),
        ("log.inner", "7"),
        ("log.tensorboard", "true"),
        ("plan", "layered"),
        ("eval.tasks", "9"),
        ("eval.every", "9"),
        ("eval.validation_tasks", "9"),
        ("tasks.data", "/elsewhere"),
    ];
    for (key, value) in free {
        assert_eq!(plain, hash(preset, key, value), "{key}");
    }
    let fixed = [
        ("seed", "1"),
        ("runs", "2"),
        ("iterations", "7"),
        ("model.layers.0.units", "32"),
        ("model.init", "torch"),
        ("tasks.train_classes", "list.txt"),
        ("tasks.split_seed", "1"),
        ("inner.rate", "0.03"),
        ("outer.meta_batch", "6"),
        ("eval.steps", "49"),
    ];
    for (key, value) in fixed {
        assert_ne!(plain, hash(preset, key, value), "{key}");
    }
}

fn number() -> impl Strategy<Value = f32> {
    proptest::num::f32::NORMAL | proptest::num::f32::SUBNORMAL | proptest::num::f32::ZERO
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![0..100_usize, 0..=i64::MAX as usize]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        Just(Schedule::Constant),
        number().prop_map(|last| Schedule::Linear { last }),
        number().prop_map(|last| Schedule::Cosine { last }),
        (number(), count(), any::<bool>()).prop_map(|(ratio, every, staircase)| {
            Schedule::Exponential { ratio, every: every as u64, staircase }
        }),
    ]
}

fn tasks() -> impl Strategy<Value = TaskSpec> {
    let range = || [number(), number()];
    let path = || proptest::option::of("[a-z/ \"'é=\n]{0,12}".prop_map(std::path::PathBuf::from));
    let sine = (range(), range(), range(), count(), count()).prop_map(
        |(amplitude, phase, range, points, shots)| {
            TaskSpec::Sine(SineSpec { amplitude, phase, range, points, shots })
        },
    );
    let omniglot = ([path(), path(), path()], [count(), count(), count(), count()], any::<bool>())
        .prop_map(|(paths, [way, shots, size, split_seed], rotations)| {
            let [data, train_classes, test_classes] = paths;
            TaskSpec::Omniglot(OmniglotSpec {
                data,
                episodes: EpisodeSpec { way, shots, train_shots: shots, queries: way },
                size,
                rotations,
                train_count: size,
                split_seed: split_seed as u64,
                train_classes,
                test_classes,
            })
        });
    let set = proptest::option::of("[a-z/ .]{0,12}");
    let images = (path(), set, [count(), count(), count(), count()]).prop_map(
        |(data, set, [way, shots, size, channels])| {
            let episodes = EpisodeSpec { way, shots, train_shots: size, queries: way };
            TaskSpec::Images(ImagesSpec {
                data,
                set,
                episodes,
                size,
                channels,
                background: Background([way as u8, 7, 0]),
                test_classes: [TestClasses::Own, TestClasses::Train][way % 2],
            })
        },
    );
    let numbers = [number(), number(), number(), number(), number()];
    let glyphs = ([count(), count(), count()], numbers, range()).prop_map(
        |([way, shots, size], [jitter, rotation, scale, shear, shift], width)| {
            let episodes = EpisodeSpec { way, shots, train_shots: size, queries: way };
            let variation = Variation { jitter, rotation, scale, shear, shift, width };
            TaskSpec::Glyphs(GlyphsSpec { episodes, size, variation })
        },
    );
    prop_oneof![sine, omniglot, images, glyphs]
}

fn inner() -> impl Strategy<Value = InnerSpec> {
    let state =
        prop_oneof![Just(StatePolicy::Mean), Just(StatePolicy::Slot), Just(StatePolicy::Reset)];
    let steps = (proptest::option::of(count()), proptest::option::of(count()), count());
    let optimizer = proptest::sample::select(InnerOptimizer::ALL);
    let numbers = proptest::array::uniform8(number());
    (any::<bool>(), numbers, schedule(), steps, (state, optimizer)).prop_map(
        |(flag, numbers, schedule, steps, (state, optimizer))| {
            let [rate, beta1, beta2, epsilon, weight_decay, momentum, rho, decay] = numbers;
            InnerSpec {
                optimizer,
                rate,
                schedule,
                steps: steps.0,
                epochs: steps.1,
                batch: steps.2,
                beta1,
                beta2,
                epsilon,
                momentum,
                nesterov: flag,
                rho,
                decoupled_weight_decay: decay,
                state,
                weight_decay,
                replacement: flag,
            }
        },
    )
}

fn outer() -> impl Strategy<Value = OuterSpec> {
    let optimizer = proptest::sample::select(OuterOptimizer::ALL);
    let numbers = [number(), number(), number(), number(), number()];
    (any::<bool>(), numbers, schedule(), count(), optimizer).prop_map(
        |(flag, [rate, momentum, beta1, beta2, epsilon], schedule, count, optimizer)| OuterSpec {
            algorithm: if flag { Algorithm::Reptile } else { Algorithm::Fomaml },
            tail_shots: count,
            optimizer,
            rate,
            schedule,
            meta_batch: count,
            momentum,
            beta1,
            beta2,
            epsilon,
        },
    )
}

fn strategy() -> impl Strategy<Value = StrategySpec> {
    let kind = prop_oneof![
        Just(StrategyKind::None),
        Just(StrategyKind::MetaSgd),
        Just(StrategyKind::Hypergradient),
        Just(StrategyKind::Aruba)
    ];
    let granularity = prop_oneof![
        Just(Granularity::Scalar),
        Just(Granularity::Layer),
        Just(Granularity::Parameter)
    ];
    let numbers: [_; 8] = std::array::from_fn(|_| number());
    (kind, granularity, numbers, count()).prop_map(
        |(
            kind,
            granularity,
            [rate, momentum, min_rate, max_rate, guard, zeta, power, refine],
            query_shots,
        )| {
            StrategySpec {
                kind,
                granularity,
                rate: (query_shots % 3 == 0).then_some(rate),
                momentum,
                min_rate,
                max_rate,
                guard: (query_shots % 2 == 0).then_some(guard),
                query_shots,
                zeta,
                power,
                refine,
            }
        },
    )
}

fn distributed() -> impl Strategy<Value = DistributedSpec> {
    use RoundOptimizer::{Interpolation, Momentum, Nesterov};
    let optimizer = proptest::sample::select(vec![Interpolation, Momentum, Nesterov]);
    let exchange = proptest::sample::select(vec![Exchange::F32, Exchange::F16, Exchange::Int8]);
    let rate = proptest::option::of(number());
    (count(), optimizer, rate, number(), any::<bool>(), exchange).prop_map(
        |(steps, optimizer, rate, momentum, overlap, exchange)| DistributedSpec {
            local_steps: steps as u64,
            optimizer,
            rate,
            momentum,
            overlap,
            exchange,
        },
    )
}

fn rest() -> impl Strategy<Value = (EvalSpec, StopSpec, LogSpec)> {
    let stop = proptest::option::of((any::<f64>(), any::<u32>()));
    (count(), count(), any::<bool>(), stop).prop_map(|(one, other, replacement, stop)| {
        let eval = EvalSpec {
            tasks: one,
            steps: other,
            batch: one,
            replacement,
            transductive: replacement,
            every: other as u64,
            validation_tasks: one,
        };
        let stop = StopSpec {
            seconds: stop.map(|(number, _)| number),
            target: stop.filter(|_| replacement).map(|(number, _)| -number),
            patience: stop.map(|(_, count)| count),
        };
        let (every, inner) = (one as u64, other as u64);
        let log = LogSpec {
            every,
            inner,
            checkpoint_every: every,
            keep: other,
            tensorboard: replacement,
            telemetry: replacement,
        };
        (eval, stop, log)
    })
}

fn network() -> impl Strategy<Value = ModelSpec> {
    let activation = prop_oneof![
        Just(Activation::Linear),
        Just(Activation::Tanh),
        Just(Activation::Relu),
        Just(Activation::Sigmoid),
        Just(Activation::Gelu)
    ];
    let init = prop_oneof![Just(Init::Glorot), Just(Init::He), Just(Init::Torch)];
    let loss = prop_oneof![Just(Loss::Mse), Just(Loss::CrossEntropy)];
    let layers = proptest::collection::vec((count(), activation), 0..4);
    (proptest::collection::vec(count(), 0..4), layers, init, loss).prop_map(
        |(input, layers, init, loss)| {
            let spec = ModelSpec::builder(&input).init(init).loss(loss);
            layers.into_iter().fold(spec, |spec, (units, activation)| spec.dense(units, activation))
        },
    )
}

prop_compose! {
    fn config()(
        seed in 0..=i64::MAX as u64,
        (runs, iterations) in (count(), count()),
        plan in prop_oneof![Just(PlanKind::Auto), Just(PlanKind::Fused), Just(PlanKind::Layered)],
        (model, tasks) in (network(), tasks()),
        (inner, outer, strategy) in (inner(), outer(), strategy()),
        (capacity, blend, distributed) in (count(), number(), distributed()),
        (eval, stop, log) in rest(),
    ) -> Config {
        let iterations = iterations as u64;
        let memory = MemorySpec { capacity, blend };
        Config {
            seed, runs, iterations, plan, model, tasks, inner, outer, strategy, memory, distributed, eval, stop, log,
        }
    }
}

proptest! {
    /// TOML keeps every value, possible or not, exactly; and checking never panics.
    #[test]
    fn toml_round_trips(config in config()) {
        let text = config.to_toml();
        let again = Config::from_toml(&text, "config.toml").unwrap();
        // Debug text, since NaN is not equal to itself.
        prop_assert_eq!(format!("{again:?}"), format!("{config:?}"));
        prop_assert_eq!(again.to_toml(), text);
        prop_assert_eq!(again.hash(), config.hash());
        let _ = config.validate();
    }
}

#[test]
fn differences_name_the_whole_key() {
    let sine = Config::from_toml(presets::get("sine").unwrap(), "sine").unwrap();
    let mut other = sine.clone();
    assert!(sine.differences(&other).is_empty());
    other.inner.rate = 0.5;
    other.distributed.local_steps = 3;
    let said = other.differences(&sine);
    assert!(said.contains(&"inner.rate = 0.5".into()), "{said:?}");
    assert!(said.contains(&"distributed.local_steps = 3".into()), "{said:?}");
    assert!(sine.differences(&other).contains(&"without distributed.local_steps".into()));
}
