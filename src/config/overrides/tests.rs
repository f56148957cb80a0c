use std::collections::BTreeSet;

use super::*;
use crate::config::presets;
use crate::layers::Conv2d;

/// What a preset becomes under `assignments`.
fn set(preset: &str, assignments: &[(&str, &str)]) -> Result<Config> {
    let list: Vec<_> =
        assignments.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Config::with_overrides(presets::get(preset).unwrap(), &format!("preset {preset}"), &list)
}

fn sine(assignments: &[(&str, &str)]) -> Config {
    set("sine", assignments).unwrap()
}

fn refused(preset: &str, key: &str, value: &str) -> String {
    set(preset, &[(key, value)]).unwrap_err().to_string()
}

#[test]
fn assignments_are_split_at_the_first_equals_sign() {
    let (key, value) = parse_assignment("a.b = c=d").unwrap();
    assert_eq!((key.as_str(), value.as_str()), ("a.b", "c=d"));
    assert!(parse_assignment("inner.rate").is_err());
    assert!(parse_assignment("=1").is_err());
}

#[test]
fn values_are_toml_or_plain_strings() {
    let config = sine(&[
        ("inner.rate", "1"),
        ("inner.optimizer", "adam"),
        ("plan", "'layered'"),
        ("model.layers.0.units", "32"),
        ("model.layers.1", "{ type = 'dense', units = 8, activation = 'relu' }"),
        ("tasks.range", "[-1, 1.5]"),
        ("outer.schedule", "{ kind = 'cosine', final = 0.01 }"),
        ("stop.patience", "3"),
        ("seed", "9223372036854775807"),
    ]);
    assert_eq!(config.inner.rate, 1.0);
    assert_eq!(config.outer.schedule, Schedule::Cosine { last: 0.01 });
    assert_eq!(config.stop.patience, Some(3));
    assert_eq!(config.seed, i64::MAX as u64);
    let text = config.to_toml();
    for line in ["optimizer = \"adam\"", "plan = \"layered\"", "units = 32", "units = 8"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.contains("range = [-1.0, 1.5]"), "{text}");
}

#[test]
fn a_path_may_look_like_a_number() {
    for path in ["/some/dir with space", "2024", "true", "1e3", "2024-01-01", "[a]", "a = 1"] {
        let config = set("omniglot-mlp-5w1s", &[("tasks.data", path)]).unwrap();
        let TaskSpec::Omniglot(spec) = config.tasks else { panic!("another kind") };
        assert_eq!(spec.data, Some(PathBuf::from(path)));
    }
}

#[test]
fn steps_and_epochs_replace_each_other() {
    let config = sine(&[("inner.steps", "7")]);
    assert_eq!((config.inner.steps, config.inner.epochs), (Some(7), None));
    let config = set("omniglot-mlp-5w1s", &[("inner.epochs", "2")]).unwrap();
    assert_eq!((config.inner.steps, config.inner.epochs), (None, Some(2)));
    let both = sine(&[("inner.steps", "7"), ("inner.epochs", "2")]);
    assert!(both.validate().unwrap_err().to_string().contains("not both"));
}

#[test]
fn another_kind_starts_its_table_anew_in_any_order() {
    let wanted = Schedule::Exponential { ratio: 0.5, every: 10, staircase: false };
    let mut assignments = [
        ("outer.schedule.kind", "exponential"),
        ("outer.schedule.ratio", "0.5"),
        ("outer.schedule.every", "10"),
    ];
    for _ in 0..3 {
        assignments.rotate_left(1);
        assert_eq!(sine(&assignments).outer.schedule, wanted, "{assignments:?}");
    }
    assert_eq!(sine(&[("outer.schedule.kind", "constant")]).outer.schedule, Schedule::Constant);
    let same = sine(&[("outer.schedule.final", "0.05"), ("outer.schedule.kind", "linear")]);
    assert_eq!(same.outer.schedule, Schedule::Linear { last: 0.05 });
    let resolved = sine(&[]).to_toml();
    let list = [("kind", "omniglot"), ("way", "5"), ("shots", "1"), ("train_shots", "10")]
        .map(|(key, value)| (format!("tasks.{key}"), value.to_string()));
    let config = Config::with_overrides(&resolved, "config.toml", &list).unwrap();
    assert!(matches!(config.tasks, TaskSpec::Omniglot(spec) if spec.episodes.way == 5));
}

#[test]
fn unknown_keys_are_named_with_their_neighbours() {
    let cases = [
        ("outer.metabatch", "`outer.metabatch`", "`outer.meta_batch`?"),
        ("inner.raet", "`inner.raet`", "`inner.rate`?"),
        ("stop.second", "`stop.second`", "`stop.seconds`?"),
        ("batch", "`batch`", "`eval.batch` or `inner.batch`?"),
        ("iteration", "`iteration`", "`iterations`?"),
        ("model.layers.1.unit", "`model.layers.1.unit`", "`model.layers.1.units`?"),
        ("inner..rate", "`inner..rate`", "`inner.rate`?"),
        (".seed", "`.seed`", "`seed`?"),
        ("seed.x", "`seed.x`", "`seed`?"),
        ("tasks.pionts", "`tasks.pionts`", "`tasks.points`?"),
    ];
    for (key, named, nearest) in cases {
        let text = refused("sine", key, "1");
        assert!(text.contains(named) && text.ends_with(nearest), "{key}: {text}");
    }
    let text = refused("sine", "model.layers.3.units", "1");
    assert!(text.contains("no element `3`") && text.contains("has 3"), "{text}");
}

#[test]
fn unknown_keys_of_a_file_are_named_with_their_path() {
    let cases = [
        ("rate = 0.02", "raet = 0.02", "`inner.raet`", "`inner.rate`?"),
        ("[log]", "[lgo]", "`lgo.checkpoint_every`", "`log.checkpoint_every`?"),
        ("seed = 0", "seed = 0\nsede = {}", "`sede`", "`seed`?"),
        ("units = 1 }", "unit = 1 }", "`model.layers.2.unit`", "`model.layers.2.units`?"),
    ];
    for (from, to, named, nearest) in cases {
        let file = presets::get("sine").unwrap().replace(from, to);
        let text = Config::from_toml(&file, "mine.toml").unwrap_err().to_string();
        assert!(text.contains(named) && text.ends_with(nearest), "{text}");
        assert!(text.contains("in mine.toml"), "{text}");
    }
}

#[test]
fn keys_of_another_kind_are_refused() {
    let text = refused("sine", "tasks.way", "5");
    assert!(text.contains("`tasks.way`") && text.contains("or \"omniglot\""), "{text}");
    let text = refused("omniglot-mlp-5w1s", "tasks.points", "5");
    assert!(text.contains("`tasks.points`") && text.contains("kind = \"sine\""), "{text}");
    let text = refused("sine", "outer.schedule.ratio", "0.5");
    assert!(text.contains("kind = \"exponential\""), "{text}");
    let file = presets::get("sine").unwrap().replace("\"linear\"", "\"constant\"");
    let text = Config::from_toml(&file, "mine.toml").unwrap_err().to_string();
    assert!(text.contains("`outer.schedule.final`") && text.contains("mine.toml"), "{text}");
}

#[test]
fn values_of_another_type_are_refused_by_key() {
    let cases = [
        ("inner.batch", "many", "whole number"),
        ("inner.batch", "-1", "whole number"),
        ("inner.batch", "2.5", "whole number"),
        ("seed", "18446744073709551615", "too large"),
        ("inner.rate", "fast", "a number"),
        ("inner.rate", "{}", "a number"),
        ("inner.replacement", "1", "true or false"),
        ("tasks.amplitude", "3", "two numbers"),
        ("tasks.amplitude", "[1, 2, 3]", "two numbers"),
        ("model.input", "[1.5]", "whole numbers"),
        ("inner", "5", "not a table"),
        ("outer.schedule", "linear", "`outer.schedule.kind`"),
        ("model.layers", "3", "not a table"),
    ];
    for (key, value, part) in cases {
        let text = refused("sine", key, value);
        assert!(text.contains(&format!("`{key}`")) && text.contains(part), "{key}: {text}");
    }
    for (key, value) in [("inner.optimizer", "adamm"), ("tasks.kind", "sin"), ("plan", "fusd")] {
        let text = refused("sine", key, value);
        assert!(text.contains(key) && text.contains(value), "{key}: {text}");
    }
}

#[test]
fn every_key_can_be_set() {
    let others = [images(), glyphs()].map(|tasks| Config { tasks, ..with_options("sine") });
    let mut seen = BTreeSet::new();
    for config in presets::names().into_iter().map(with_options).chain(others) {
        let table: Table = toml::from_str(&config.to_toml()).unwrap();
        let text = config.to_toml();
        for (key, value) in leaves(&table) {
            // Of presets with the same keys one is enough, where the values have the same form.
            if !seen.insert((key.clone(), value.type_str())) {
                continue;
            }
            let list = [(key.clone(), value.to_string())];
            let again = Config::with_overrides(&text, "it", &list).unwrap();
            assert_eq!(again, config, "{key}");
        }
    }
}

/// Every type of layer, and values in all their forms.
#[test]
fn layers_of_all_types_can_be_set() {
    let layers = "[{ type = 'conv2d', filters = 4, kernel = [3, 1], padding = [0, 1, 0, 1] }, \
                  { type = 'batch-norm', activation = 'relu' }, { type = 'max-pool', size = 2 }, \
                  { type = 'average-pool', size = 2, stride = 1 }, { type = 'global-pool' }, \
                  { type = 'flatten' }, { type = 'activation', function = 'tanh' }, \
                  { type = 'dense', units = 5 }]";
    let layers = |more: &[(&str, &str)]| {
        set("omniglot-mlp-5w1s", &[&[("model.layers", layers)], more].concat())
    };
    let config = layers(&[
        ("model.layers.0.kernel", "3"),
        ("model.layers.0.stride", "[2, 1]"),
        ("model.layers.0.padding", "valid"),
        ("model.layers.1.epsilon", "1e-5"),
        ("model.layers.2.padding", "1"),
    ]);
    let config = config.unwrap();
    let LayerSpec::Conv2d(Conv2d { kernel, stride, padding, .. }) = config.model.layers[0] else {
        panic!("another layer")
    };
    assert_eq!((kernel, stride), (Extent::Square(3), Extent::Sides([2, 1])));
    assert_eq!(padding, Padding::VALID);
    let text = config.to_toml();
    assert_eq!(Config::from_toml(&text, "config.toml").unwrap(), config);
    for (key, value, part) in [
        ("model.layers.0.kernel", "wide", "[height, width]"),
        ("model.layers.0.stride", "[1, 2, 3]", "[height, width]"),
        ("model.layers.2.size", "-1", "[height, width]"),
        ("model.layers.0.padding", "sane", "\"same\""),
        ("model.layers.1.units", "3", "units"),
        ("model.layers.0.filter", "3", "`model.layers.0.filters`?"),
    ] {
        let text = layers(&[(key, value)]).unwrap_err().to_string();
        assert!(text.contains(part), "{key}: {text}");
    }
}

fn with_options(preset: &str) -> Config {
    set(preset, &[("stop.target", "0.5"), ("inner.schedule.kind", "linear")]).unwrap()
}

/// `docs/config.md` and the program name the same keys.
#[test]
fn the_documentation_has_every_key_and_no_other() {
    let text = include_str!("../../../docs/config.md");
    let schema = Schema::new();
    for key in schema.0.keys() {
        assert!(text.contains(&format!("| `{key}` |")), "docs/config.md has no row for `{key}`");
    }
    let first_cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for key in first_cells {
        assert!(schema.0.contains_key(key), "docs/config.md has a row for `{key}`, no key");
    }
}
