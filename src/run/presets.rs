//! Configurations that come with the program.

use crate::error::{Error, Result};

/// Name, description and text of every preset.
const PRESETS: [(&str, &str, &str); 5] = [
    (
        "sine",
        "sine waves, 1-64-64-1 tanh: the demo of the paper's authors",
        include_str!("../../presets/sine.toml"),
    ),
    (
        "omniglot-mlp-5w1s",
        "Omniglot 5-way 1-shot, 784-64-64-5 ReLU, the paper's tasks",
        include_str!("../../presets/omniglot-mlp-5w1s.toml"),
    ),
    (
        "omniglot-mlp-5w5s",
        "Omniglot 5-way 5-shot, 784-64-64-5 ReLU, the paper's tasks",
        include_str!("../../presets/omniglot-mlp-5w5s.toml"),
    ),
    (
        "omniglot-mlp-20w1s",
        "Omniglot 20-way 1-shot, 784-64-64-20 ReLU, the paper's tasks",
        include_str!("../../presets/omniglot-mlp-20w1s.toml"),
    ),
    (
        "omniglot-mlp-10w",
        "Omniglot 10-way, 784-64-64-10 ReLU, meta-batch 10, outer Adam with a staircase",
        include_str!("../../presets/omniglot-mlp-10w.toml"),
    ),
];

/// The presets' names.
pub fn names() -> Vec<&'static str> {
    PRESETS.iter().map(|(name, ..)| *name).collect()
}

/// The text of a preset.
///
/// # Errors
/// [`Error::Config`] with the nearest name if there is no such preset.
pub fn get(name: &str) -> Result<&'static str> {
    find(name).map(|(_, _, text)| *text)
}

/// A line on a preset.
///
/// # Errors
/// As [`get`].
pub fn description(name: &str) -> Result<&'static str> {
    find(name).map(|(_, description, _)| *description)
}

fn find(name: &str) -> Result<&'static (&'static str, &'static str, &'static str)> {
    PRESETS.iter().find(|(known, ..)| *known == name).ok_or_else(|| {
        let nearest = names().into_iter().min_by_key(|known| strsim::levenshtein(known, name));
        Error::config(
            "--preset",
            format!(
                "there is no preset `{name}`; did you mean `{}`? All: {}",
                nearest.unwrap_or_default(),
                names().join(", ")
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Config;

    #[test]
    fn every_preset_is_valid_and_survives_a_round_trip() {
        for name in names() {
            let config = Config::from_toml(get(name).unwrap(), name).unwrap();
            config.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
            let again = Config::from_toml(&config.to_toml(), name).unwrap();
            assert_eq!(config, again, "{name}");
            assert_eq!(config.to_toml(), again.to_toml());
        }
    }

    #[test]
    fn an_unknown_preset_is_answered_with_the_nearest() {
        let text = get("sinus").unwrap_err().to_string();
        assert!(text.contains("`sine`"), "{text}");
    }
}
