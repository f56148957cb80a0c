//! `--set key=value`, and finding keys that do not exist.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::error::{Error, Result};

/// Splits `key=value`.
///
/// # Errors
/// [`Error::Config`] if there is no `=` or no key.
pub fn parse_assignment(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_string(), value.trim().to_string()))
        }
        _ => Err(Error::config("--set", format!("`{text}` is not of the form key=value"))),
    }
}

/// Sets the dotted `key` (list elements by their index) to `value`, which is read as TOML if it is
/// TOML and as a plain string if not.
pub(super) fn assign(table: &mut Table, key: &str, value: &str) -> Result<()> {
    let parsed = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_string()));
    let (path, last) = key.rsplit_once('.').map_or(("", key), |(path, last)| (path, last));
    let mut place = Place::Table(table);
    for part in path.split('.').filter(|part| !part.is_empty()) {
        place = place.child(part).ok_or_else(|| no_such_place(key, part))?;
    }
    match place {
        Place::Table(table) => {
            // A tagged table (`schedule`, a layer) starts afresh when it is set as a whole.
            table.insert(last.to_string(), parsed);
            Ok(())
        }
        Place::List(list) => {
            let slot = last.parse::<usize>().ok().and_then(|index| list.get_mut(index));
            *slot.ok_or_else(|| no_such_place(key, last))? = parsed;
            Ok(())
        }
    }
}

fn no_such_place(key: &str, part: &str) -> Error {
    Error::config(key, format!("there is no `{part}` to set; see docs/config.md for the keys"))
}

/// A table or a list on the way to a key.
enum Place<'a> {
    Table(&'a mut Table),
    List(&'a mut Vec<Value>),
}

impl<'a> Place<'a> {
    fn child(self, name: &str) -> Option<Place<'a>> {
        let value = match self {
            Self::Table(table) => table.entry(name).or_insert_with(|| Value::Table(Table::new())),
            Self::List(list) => list.get_mut(name.parse::<usize>().ok()?)?,
        };
        match value {
            Value::Table(table) => Some(Place::Table(table)),
            Value::Array(list) => Some(Place::List(list)),
            _ => None,
        }
    }
}

/// The dotted keys of `table`; elements of lists of tables count as `*`.
pub(super) fn keys(table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(table, "", &mut found);
    found
}

fn collect(table: &Table, prefix: &str, found: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => collect(inner, &format!("{key}."), found),
            Value::Array(list) if list.iter().any(Value::is_table) => {
                for inner in list.iter().filter_map(Value::as_table) {
                    collect(inner, &format!("{key}.*."), found);
                }
            }
            _ => {
                found.insert(key);
            }
        }
    }
}

/// Refuses a key of `table` that is not among `known`, naming the nearest one.
pub(super) fn check_keys(table: &Table, known: &BTreeSet<String>, origin: &str) -> Result<()> {
    for key in keys(table) {
        if !known.contains(&key) {
            let nearest = known
                .iter()
                .min_by_key(|candidate| strsim::damerau_levenshtein(candidate, &key))
                .map_or("", String::as_str);
            return Err(Error::config(
                key,
                format!("unknown key in {origin}; did you mean `{nearest}`?"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn values_are_toml_or_plain_strings() {
        let mut config = table("layers = [{ units = 64 }, { units = 1 }]\n[inner]\nrate = 0.1");
        for (key, value) in [
            ("inner.rate", "1"),
            ("inner.optimizer", "adam"),
            ("tasks.data", "/some/dir with space"),
            ("layers.0.units", "32"),
            ("stop.target", "0.9"),
        ] {
            assign(&mut config, key, value).unwrap();
        }
        let wanted = table(
            "layers = [{ units = 32 }, { units = 1 }]\n[inner]\nrate = 1\noptimizer = 'adam'\n\
             [tasks]\ndata = '/some/dir with space'\n[stop]\ntarget = 0.9",
        );
        assert_eq!(config, wanted);
    }

    #[test]
    fn places_that_do_not_exist_are_refused() {
        let mut config = table("layers = [{ units = 64 }]\nseed = 1");
        for key in ["layers.3.units", "seed.x", "layers.x"] {
            assert!(assign(&mut config, key, "1").is_err(), "{key}");
        }
        assert!(parse_assignment("inner.rate").is_err());
        assert!(parse_assignment("=1").is_err());
        let (key, value) = parse_assignment("a.b = c=d").unwrap();
        assert_eq!((key.as_str(), value.as_str()), ("a.b", "c=d"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbour() {
        let known = keys(&table("[inner]\nrate = 1\nbatch = 1"));
        let error = check_keys(&table("[inner]\nraet = 1"), &known, "x.toml").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("inner.raet") && text.contains("`inner.rate`"), "{text}");
        assert!(text.contains("x.toml"));
    }
}
