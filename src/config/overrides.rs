//! `--set key=value`, the keys that exist, and what to say of those that do not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::{Table, Value};

use crate::config::families::{MLP, SINE};
use crate::config::settings::Config;
use crate::error::{Error, Result};
use crate::meta::{Schedule, StopSpec, StrategyKind};
use crate::model::{Extent, LayerSpec, Padding};
use crate::tasks::{
    ArraysSpec, Background, EpisodeSpec, FunctionSpec, GlyphsSpec, ImagesSpec, Normalize, TaskSpec,
    TestClasses, Variation,
};

/// Splits `key=value`.
///
/// # Errors
/// [`Error::Config`] if there is no `=` or no key.
pub fn parse_assignment(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_string(), value.trim().to_string()))
        }
        _ => Err(Error::config("assignment", format!("`{text}` is not of the form key=value"))),
    }
}

/// Tables whose `kind` decides which other keys they hold.
const TAGGED: [&str; 3] = ["tasks", "inner.schedule", "outer.schedule"];

/// What is known of one key.
#[derive(Debug)]
struct Known {
    /// A value of the right type.
    example: Value,
    /// In a tagged table: the kinds that hold the key.
    kinds: BTreeSet<String>,
}

/// Every key that a configuration may hold, elements of lists counting as `*`.
#[derive(Debug)]
pub(super) struct Schema(BTreeMap<String, Known>);

impl Schema {
    /// The keys of configurations that together have every kind and every optional key.
    pub(super) fn new() -> Self {
        let exponential = Schedule::Exponential { ratio: 0.5, every: 1, staircase: true };
        let examples = [
            Config { tasks: images(), ..example(SINE, Schedule::Constant) },
            Config { tasks: glyphs(), ..example(SINE, Schedule::Constant) },
            Config { tasks: arrays(), ..example(SINE, Schedule::Constant) },
            Config { tasks: functions(), ..example(SINE, Schedule::Constant) },
            example(SINE, Schedule::Constant),
            example(SINE, Schedule::Linear { last: 0.0 }),
            example(MLP, Schedule::Cosine { last: 0.0 }),
            example(MLP, exponential),
        ];
        let mut known = BTreeMap::new();
        for config in examples {
            let table = Table::try_from(&config).expect("a configuration is plain data");
            for (key, value) in leaves(&table) {
                let kind = kind_of(&table, &key);
                known
                    .entry(pattern(&key))
                    .or_insert_with(|| Known { example: value.clone(), kinds: BTreeSet::new() })
                    .kinds
                    .extend(kind.map(str::to_string));
            }
        }
        Self(known)
    }

    /// Sets the dotted `key` of `table` (list elements by their index) to `value`: TOML if it is
    /// TOML and the key is not a text, else a plain string. What the new value excludes (the other
    /// one of steps and epochs, the keys of another kind) goes, unless it is set by `earlier`.
    pub(super) fn assign(
        &self,
        table: &mut Table,
        (key, value): (&str, &str),
        earlier: &[(String, String)],
    ) -> Result<()> {
        let set_before = |key: &str| earlier.iter().any(|(other, _)| other == key);
        let old_kind = kind_of(table, key).map(str::to_string);
        self.insert(table, key, self.parse(key, value)?)?;
        let rival = rival(key).filter(|rival| !set_before(rival));
        if let Some((inner, name)) = rival.and_then(|rival| parent(table, rival)) {
            inner.remove(name);
        }
        let new_kind = kind_of(table, key) != old_kind.as_deref();
        if let Some(prefix) = key.strip_suffix("kind").filter(|_| new_kind)
            && let Some((tagged, _)) = parent(table, key)
        {
            tagged.retain(|name, _| name == "kind" || set_before(&format!("{prefix}{name}")));
        }
        Ok(())
    }

    /// `text` as a value for `key`.
    fn parse(&self, key: &str, text: &str) -> Result<Value> {
        let plain = || Value::String(text.to_string());
        let wants_text = matches!(self.0.get(&pattern(key)), Some(known) if known.example.is_str());
        match text.parse::<Value>() {
            Ok(value) if wants_text && !value.is_str() => Ok(plain()),
            Ok(value) => Ok(value),
            Err(_) if !wants_text && text.parse::<i128>().is_ok() => {
                Err(Error::config(key, format!("{text} is too large; give at most {}", i64::MAX)))
            }
            Err(_) => Ok(plain()),
        }
    }

    /// Puts `value` at `key`, with the tables on the way.
    fn insert(&self, table: &mut Table, key: &str, value: Value) -> Result<()> {
        let (path, last) =
            key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
        let mut place = Place::Table(table);
        for part in path.into_iter().flat_map(|path| path.split('.')) {
            let value = match place {
                Place::Table(table) => table.entry(part).or_insert_with(|| Table::new().into()),
                Place::List(list) => element(list, key, part)?,
            };
            place = Place::of(value).ok_or_else(|| self.unknown(key, "the settings", None))?;
        }
        match place {
            Place::Table(table) => {
                table.insert(last.to_string(), value);
            }
            Place::List(list) => *element(list, key, last)? = value,
        }
        Ok(())
    }

    /// Refuses what is not a key, belongs to another kind, or has a value of another type; `origin`
    /// names the source in messages.
    pub(super) fn check(&self, table: &Table, origin: &str) -> Result<()> {
        for (key, value) in leaves(table) {
            let kind = kind_of(table, &key).filter(|kind| self.kinds(&key).contains(kind));
            let Some(known) = self.0.get(&pattern(&key)) else {
                self.check_inner(&key, value, kind, origin)?;
                continue;
            };
            if let Some(kind) = kind.filter(|kind| !known.kinds.contains(*kind)) {
                let others: Vec<String> =
                    known.kinds.iter().map(|other| format!("\"{other}\"")).collect();
                let others = others.join(" or ");
                let message = format!(
                    "kind \"{kind}\" has no such key in {origin}; it needs kind = {others}"
                );
                return Err(Error::config(key, message));
            }
            if let Some(wanted) = misfit_of(&key, value, &known.example) {
                return Err(Error::config(key, format!("{value} in {origin} is not {wanted}")));
            }
        }
        Ok(())
    }

    /// Checks a key that is not that of a value: a table or list that stands empty, or a mistake.
    fn check_inner(
        &self,
        key: &str,
        value: &Value,
        kind: Option<&str>,
        origin: &str,
    ) -> Result<()> {
        let prefix = format!("{}.", pattern(key));
        let Some(below) = self.0.keys().find(|known| known.starts_with(&prefix)) else {
            return Err(self.unknown(key, origin, kind));
        };
        if value.is_table() || value.is_array() {
            return Ok(());
        }
        let tagged = format!("{prefix}kind");
        let below = if self.0.contains_key(&tagged) { &tagged } else { below };
        let message =
            format!("{value} in {origin} is not a table; set its keys, such as `{below}`");
        Err(Error::config(key, message))
    }

    /// The error for a key that does not exist, with the nearest ones of the same `kind`.
    fn unknown(&self, key: &str, origin: &str, kind: Option<&str>) -> Error {
        let wanted = pattern(key);
        let possible = self.0.iter().filter(|(candidate, known)| {
            let kind = kind.filter(|_| tagged(candidate) == tagged(key));
            kind.is_none_or(|kind| known.kinds.contains(kind))
        });
        let distance = |candidate: &str| {
            let whole = strsim::damerau_levenshtein(candidate, &wanted);
            // A key without its table: compare with the last parts.
            let last = candidate.rsplit('.').next().filter(|_| !wanted.contains('.'));
            last.map_or(whole, |last| whole.min(1 + strsim::damerau_levenshtein(last, &wanted)))
        };
        let ranked: Vec<(usize, &String)> =
            possible.map(|(candidate, _)| (distance(candidate), candidate)).collect();
        let least = ranked.iter().map(|(distance, _)| *distance).min();
        let index = key.split('.').find(|part| is_index(part)).unwrap_or("0");
        let nearest: Vec<String> = ranked
            .iter()
            .filter(|(distance, _)| Some(*distance) == least)
            .take(3)
            .map(|(_, candidate)| format!("`{}`", candidate.replace('*', index)))
            .collect();
        let message = format!("unknown key in {origin}; did you mean {}?", nearest.join(" or "));
        Error::config(key, message)
    }

    /// All kinds of the tagged table that `key` lies in.
    fn kinds(&self, key: &str) -> BTreeSet<&str> {
        let tag = tagged(key).and_then(|table| self.0.get(&format!("{table}.kind")));
        tag.into_iter().flat_map(|known| &known.kinds).map(String::as_str).collect()
    }
}

/// A family of presets with every optional key set and both schedules of one kind.
fn example(text: &str, schedule: Schedule) -> Config {
    // Not through `from_toml`, which asks for the schema.
    let mut config: Config = toml::from_str(text).expect("presets are valid");
    (config.inner.steps, config.inner.epochs) = (Some(1), Some(1));
    (config.inner.schedule, config.outer.schedule) = (schedule, schedule);
    (config.strategy.guard, config.strategy.rate) = (Some(1.0), Some(1.0));
    config.stop = StopSpec { seconds: Some(1.0), target: Some(1.0), patience: Some(1) };
    config.strategy.kind = StrategyKind::Aruba;
    config.memory.capacity = 1;
    config.distributed.rate = Some(1.0);
    config.log.telemetry = true;
    // Of each type the one with every key set.
    config.model.layers = LayerSpec::samples()
        .into_iter()
        .filter_map(|of| of.into_iter().next())
        .map(LayerSpec::frozen)
        .collect();
    if let TaskSpec::Omniglot(spec) = &mut config.tasks {
        let path = Some(PathBuf::from("path"));
        (spec.data, spec.train_classes, spec.test_classes) = (path.clone(), path.clone(), path);
    }
    config
}

const EPISODES: EpisodeSpec = EpisodeSpec { way: 5, shots: 1, train_shots: 1, queries: 1 };

/// Tasks over a folder of images, with every optional key set.
fn images() -> TaskSpec {
    TaskSpec::Images(ImagesSpec {
        data: Some(PathBuf::from("path")),
        set: Some("name".into()),
        episodes: EPISODES,
        size: 32,
        channels: 3,
        // Not the default, which is left out.
        background: Background([0; 3]),
        test_classes: TestClasses::Train,
    })
}

fn glyphs() -> TaskSpec {
    let variation = Variation::default();
    TaskSpec::Glyphs(GlyphsSpec { episodes: EPISODES, size: 28, variation })
}

/// Tasks over arrays, with every optional key set.
fn arrays() -> TaskSpec {
    let path = Some(PathBuf::from("path"));
    let mut spec = ArraysSpec::new(1);
    [spec.data, spec.train, spec.val, spec.test] = [(); 4].map(|()| path.clone());
    (spec.parts, spec.split_seed, spec.normalize) = ([1.0, 0.0, 0.0], 1, Normalize::MeanStd);
    [spec.way, spec.train_shots, spec.queries] = [Some(1); 3];
    spec.test_classes = TestClasses::Train;
    TaskSpec::Arrays(spec)
}

/// Tasks that functions draw, with every optional key set.
fn functions() -> TaskSpec {
    let mut spec = FunctionSpec::new("path", 1);
    [spec.way, spec.train_shots, spec.queries] = [Some(1); 3];
    TaskSpec::Wgsl(spec)
}

/// A table or a list on the way to a key.
enum Place<'a> {
    Table(&'a mut Table),
    List(&'a mut Vec<Value>),
}

impl<'a> Place<'a> {
    fn of(value: &'a mut Value) -> Option<Self> {
        match value {
            Value::Table(table) => Some(Self::Table(table)),
            Value::Array(list) => Some(Self::List(list)),
            _ => None,
        }
    }
}

/// The element of `list` that `part` of `key` names.
fn element<'a>(list: &'a mut [Value], key: &str, part: &str) -> Result<&'a mut Value> {
    let count = list.len();
    part.parse().ok().and_then(|index: usize| list.get_mut(index)).ok_or_else(|| {
        let message = format!("there is no element `{part}`; the list has {count}, counted from 0");
        Error::config(key, message)
    })
}

/// The table of `key` (not inside a list) and the key's name in it.
fn parent<'a, 'k>(table: &'a mut Table, key: &'k str) -> Option<(&'a mut Table, &'k str)> {
    let (path, name) = key.rsplit_once('.')?;
    let table = path.split('.').try_fold(table, |table, part| table.get_mut(part)?.as_table_mut());
    Some((table?, name))
}

/// The tagged table that `key` lies in.
fn tagged(key: &str) -> Option<&'static str> {
    TAGGED.into_iter().find(|table| key.strip_prefix(table).is_some_and(|key| key.starts_with('.')))
}

/// The kind, in `table`, of the tagged table that `key` lies in.
fn kind_of<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    let mut path = tagged(key)?.split('.');
    let first = table.get(path.next()?)?;
    path.try_fold(first, |value, part| value.get(part))?.get("kind")?.as_str()
}

/// The key that `key` excludes.
fn rival(key: &str) -> Option<&'static str> {
    match key {
        "inner.steps" => Some("inner.epochs"),
        "inner.epochs" => Some("inner.steps"),
        _ => None,
    }
}

fn is_index(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// `key` with `*` for every index.
fn pattern(key: &str) -> String {
    let parts: Vec<&str> =
        key.split('.').map(|part| if is_index(part) { "*" } else { part }).collect();
    parts.join(".")
}

/// The dotted keys of `table` with their values; lists count as values unless they hold tables.
fn leaves(table: &Table) -> Vec<(String, &Value)> {
    fn collect<'a>(value: &'a Value, key: String, found: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    collect(value, format!("{key}.{name}"), found);
                }
            }
            Value::Array(list) if list.iter().any(Value::is_table) => {
                for (index, value) in list.iter().enumerate().filter(|(_, value)| value.is_table())
                {
                    collect(value, format!("{key}.{index}"), found);
                }
            }
            _ => found.push((key, value)),
        }
    }
    let mut found = Vec::new();
    for (name, value) in table {
        collect(value, name.clone(), &mut found);
    }
    found
}

/// What the value of `key` should be, if it is not that.
fn misfit_of(key: &str, value: &Value, example: &Value) -> Option<&'static str> {
    // Values of several forms; a number in quotes is none of them.
    match pattern(key).strip_prefix("model.layers.*.") {
        Some("kernel" | "stride" | "size") => value
            .clone()
            .try_into::<Extent>()
            .is_err()
            .then_some("a whole number or a list [height, width]"),
        Some("padding") => {
            value.clone().try_into::<Padding>().is_err().then_some(
                "\"same\", \"valid\", a whole number or a list [top, bottom, left, right]",
            )
        }
        _ => misfit(value, example),
    }
}

/// What `value` should be, if it is not of the type of `example`.
fn misfit(value: &Value, example: &Value) -> Option<&'static str> {
    match (example, value) {
        (Value::Float(_), Value::Float(_) | Value::Integer(_)) => None,
        (Value::Float(_), _) => Some("a number"),
        (Value::Integer(_), Value::Integer(0..)) => None,
        (Value::Integer(_), _) => Some("a whole number of 0 or more"),
        (Value::Boolean(_), Value::Boolean(_)) => None,
        (Value::Boolean(_), _) => Some("true or false"),
        (Value::Array(examples), list) => {
            let fits =
                |list: &Vec<Value>| list.iter().all(|value| misfit(value, &examples[0]).is_none());
            // Lists of floats are ranges, or shares of three parts; lists of integers are shapes of any length.
            let of = if examples[0].is_float() { Some(examples.len()) } else { None };
            let right = |list: &&Vec<Value>| fits(list) && of.is_none_or(|of| list.len() == of);
            match (list.as_array().filter(right), of) {
                (Some(_), _) => None,
                (None, Some(2)) => Some("a list of two numbers"),
                (None, Some(_)) => Some("a list of three numbers"),
                (None, None) => Some("a list of whole numbers"),
            }
        }
        (example, value) if example.same_type(value) => None,
        _ => Some("a text"),
    }
}

#[cfg(test)]
mod tests;
