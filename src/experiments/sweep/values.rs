//! The values that a key of a sweep may take: a list, or a range.

use toml::Value;

use crate::error::{Error, Result};

/// The values that a key may take.
pub(super) enum Choice {
    List(Vec<Value>),
    Range { from: f64, to: f64, log: bool, count: Option<usize>, whole: bool },
}

impl Choice {
    pub fn read(key: &str, value: &Value) -> Result<Self> {
        let wrong = |message: &str| {
            let forms = "give a list, { log = [from, to], count = n } or { linear = [from, to], \
                         count = n }";
            Error::config(format!("values.{key}"), format!("{message}; {forms}"))
        };
        let table = match value {
            Value::Array(list) if !list.is_empty() => return Ok(Self::List(list.clone())),
            Value::Table(table) => table,
            _ => return Err(wrong("there are no values")),
        };
        let known = ["log", "linear", "count"];
        if let Some(name) = table.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(wrong(&format!("`{name}` is unknown")));
        }
        let (log, ends) = match (table.get("log"), table.get("linear")) {
            (Some(ends), None) => (true, ends),
            (None, Some(ends)) => (false, ends),
            _ => return Err(wrong("a range is either logarithmic or linear")),
        };
        let number = |value: &Value| value.as_float().or(value.as_integer().map(|n| n as f64));
        let ends: Option<Vec<f64>> =
            ends.as_array().and_then(|ends| ends.iter().map(number).collect());
        let Some(&[from, to]) = ends.as_deref() else {
            return Err(wrong("a range has two numbers"));
        };
        if !(from.is_finite() && to.is_finite() && from < to && (from > 0.0 || !log)) {
            return Err(wrong("a range goes up, a logarithmic one from above 0"));
        }
        let count = match table.get("count").map(Value::as_integer) {
            None => None,
            Some(Some(count @ 2..=4096)) => Some(count as usize),
            Some(_) => return Err(wrong("`count` is at least 2 and at most 4096")),
        };
        let whole = ["inner.steps", "inner.batch"].contains(&key);
        Ok(Self::Range { from, to, log, count, whole })
    }

    /// The value at the share `part` (0..1) of the choice.
    pub fn at(&self, part: f64) -> Value {
        match self {
            Self::List(list) => {
                list[((part * list.len() as f64) as usize).min(list.len() - 1)].clone()
            }
            Self::Range { from, to, log, whole, .. } => {
                let value = match log {
                    true => from * (to / from).powf(part),
                    false => from + (to - from) * part,
                };
                match whole {
                    true => Value::Integer(value.round() as i64),
                    // Four digits say enough, and can be typed again.
                    false => Value::Float(format!("{value:.3e}").parse().unwrap_or(value)),
                }
            }
        }
    }

    /// All values of a grid.
    pub fn all(&self, key: &str) -> Result<Vec<Value>> {
        match self {
            Self::List(list) => Ok(list.clone()),
            Self::Range { count: None, .. } => {
                let message = "a grid needs the `count` of a range";
                Err(Error::config(format!("values.{key}"), message))
            }
            Self::Range { count: Some(count), .. } => {
                let part = |index: usize| index as f64 / (count - 1) as f64;
                let mut values: Vec<Value> = (0..*count).map(|i| self.at(part(i))).collect();
                values.dedup();
                Ok(values)
            }
        }
    }
}
