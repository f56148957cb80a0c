//! Repeats the bodies of loops that are marked for it.
//!
//! A line `for (var i = A; i < B; i++) { // unroll` is marked (or `i > B; i--`); A and B are made
//! of integers, top-level constants, elements of constant lists, `max(a, b)`, `min(a, b)` and
//! `+ - * / %`. Its body is repeated as
//! `{ const i = 0u; … } { const i = 1u; … }`, so that function-local arrays are indexed by
//! constants and live in registers. The body contains no `break` or `continue` of that loop. Indices
//! made of known integers are replaced by their values, so that the compiler has less to read. A
//! line `if (A == B) { // static` keeps its block only if the two are equal, and drops it otherwise.
//! Text without marks comes back as it is, and marked text is valid WGSL by itself.

use std::collections::HashMap;

const LOOP: &str = "{ // unroll";
const STATIC: &str = "{ // static";

/// `text` with every marked loop expanded, innermost loops included.
///
/// # Panics
/// If a marked loop's bounds are not known, or its braces do not match: an error in a shader of
/// this crate, which the tests of every kernel find.
pub fn unroll(text: &str) -> String {
    let mut constants = Constants::default();
    for line in text.lines() {
        constants.learn(line);
    }
    expand(text, &mut constants, false)
}

/// Expands what is marked in `text`; `inside` a loop, known indices are replaced as well.
fn expand(text: &str, constants: &mut Constants, inside: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let plain = |text: &str, constants: &Constants| {
        if inside { constants.fold_indices(text) } else { text.to_string() }
    };
    let mut rest = text;
    while let Some(mark) = [LOOP, STATIC].iter().filter_map(|mark| rest.find(mark)).min() {
        let line_start = rest[..mark].rfind('\n').map_or(0, |newline| newline + 1);
        let header = &rest[line_start..mark];
        out.push_str(&plain(&rest[..line_start], constants));
        let after = &rest[mark + LOOP.len()..];
        let length = matching_brace(after);
        let body = &after[..length];
        if rest[mark..].starts_with(STATIC) {
            if constants.holds(header) {
                out.push_str(&format!("{{{}}}\n", expand(body, constants, inside)));
            }
        } else {
            let (name, values) = constants.loop_header(header);
            for value in values {
                let shadowed = constants.values.insert(name.to_string(), vec![value]);
                let body = expand(body, constants, true);
                out.push_str(&format!("{{ const {name} = {value}u;{body}}}\n"));
                match shadowed {
                    Some(old) => constants.values.insert(name.to_string(), old),
                    None => constants.values.remove(name),
                };
            }
        }
        rest = &after[length + 1..];
    }
    out.push_str(&plain(rest, constants));
    out
}

/// The length of the text before the brace that closes an already open one.
fn matching_brace(text: &str) -> usize {
    matching(text, '{', '}')
}

/// The length of the text before the bracket that closes an already open one.
fn matching(text: &str, opening: char, closing: char) -> usize {
    let mut depth = 1;
    for (position, character) in text.char_indices() {
        if character == opening {
            depth += 1;
        } else if character == closing {
            depth -= 1;
        }
        if depth == 0 {
            return position;
        }
    }
    panic!("`{opening}` is not closed");
}

/// Constants that loop bounds may name; a plain one is a list of one element.
#[derive(Default)]
struct Constants {
    values: HashMap<String, Vec<u32>>,
}

impl Constants {
    /// Remembers `const NAME = …;` if its value is made of known integers.
    fn learn(&mut self, line: &str) {
        let Some((name, value)) = line.strip_prefix("const ").and_then(|rest| rest.split_once('='))
        else {
            return;
        };
        let Some((value, _)) = value.split_once(';') else { return };
        let name = name.split(':').next().unwrap_or(name).trim().to_string();
        let value = value.trim();
        let list = value.strip_prefix("array<u32,").and_then(|list| list.split_once(">("));
        let values = match list {
            Some((_, items)) => {
                items.trim_end_matches(')').split(',').map(|item| self.evaluate(item)).collect()
            }
            None => self.evaluate(value).map(|value| vec![value]),
        };
        if let Some(values) = values {
            self.values.insert(name, values);
        }
    }

    /// Name and values of `for (var NAME = A; NAME < B; NAME++) `, or of one that counts down.
    fn loop_header<'a>(&self, header: &'a str) -> (&'a str, Vec<u32>) {
        let parse = || {
            let inner = header.trim().strip_prefix("for (var ")?.strip_suffix(')')?;
            let mut parts = inner.split(';');
            let (name, first) = parts.next()?.split_once('=')?;
            let first = self.evaluate(first)?;
            let condition = parts.next()?;
            let values = match condition.split_once('<') {
                Some((_, end)) => (first..self.evaluate(end)?).collect(),
                None => {
                    let (_, end) = condition.split_once('>')?;
                    (self.evaluate(end)? + 1..=first).rev().collect()
                }
            };
            Some((name.trim(), values))
        };
        parse().unwrap_or_else(|| panic!("cannot unroll `{}`", header.trim()))
    }

    /// Whether `if (A == B) ` holds.
    fn holds(&self, header: &str) -> bool {
        let parse = || {
            let inner = header.trim().strip_prefix("if (")?.strip_suffix(')')?;
            let (left, right) = inner.split_once("==")?;
            Some(self.evaluate(left)? == self.evaluate(right)?)
        };
        parse().unwrap_or_else(|| panic!("cannot decide `{}`", header.trim()))
    }

    /// `text` with every index made of known integers as a number, and every element of a constant
    /// list as its value.
    fn fold_indices(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('[') {
            out.push_str(&rest[..open]);
            let inner = &rest[open + 1..];
            let length = matching(inner, '[', ']');
            let index = self.evaluate(&inner[..length]);
            let name_start = out
                .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .map_or(0, |place| place + 1);
            let element = self
                .values
                .get(&out[name_start..])
                .filter(|list| list.len() > 1)
                .and_then(|list| list.get(index? as usize));
            match (element, index) {
                (Some(value), _) => {
                    out.truncate(name_start);
                    out.push_str(&format!("{value}u"));
                }
                (None, Some(index)) => out.push_str(&format!("[{index}u]")),
                (None, None) => {
                    out.push_str(&format!("[{}]", self.fold_indices(&inner[..length])));
                }
            }
            rest = &inner[length + 1..];
        }
        out.push_str(rest);
        out
    }

    /// The value of an expression of known integers, or none.
    fn evaluate(&self, expression: &str) -> Option<u32> {
        let mut parser = Parser { constants: self, rest: expression.trim() };
        let value = parser.sum()?;
        parser.rest.is_empty().then_some(value)
    }
}

/// Recursive descent over `+ - * / %`, parentheses, integers, names and `NAME[index]`.
struct Parser<'a> {
    constants: &'a Constants,
    rest: &'a str,
}

impl Parser<'_> {
    fn sum(&mut self) -> Option<u32> {
        let mut value = self.product()?;
        loop {
            value = if self.take('+') {
                value.checked_add(self.product()?)?
            } else if self.take('-') {
                value.checked_sub(self.product()?)?
            } else {
                return Some(value);
            };
        }
    }

    fn product(&mut self) -> Option<u32> {
        let mut value = self.atom()?;
        loop {
            value = if self.take('*') {
                value.checked_mul(self.atom()?)?
            } else if self.take('/') {
                value.checked_div(self.atom()?)?
            } else if self.take('%') {
                value.checked_rem(self.atom()?)?
            } else {
                return Some(value);
            };
        }
    }

    fn atom(&mut self) -> Option<u32> {
        if self.take('(') {
            let value = self.sum()?;
            return self.take(')').then_some(value);
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.trim_end_matches('u').parse().ok();
        }
        if (word == "max" || word == "min") && self.take('(') {
            let left = self.sum()?;
            let right = if self.take(',') { self.sum()? } else { return None };
            let value = if word == "max" { left.max(right) } else { left.min(right) };
            return self.take(')').then_some(value);
        }
        let values = self.constants.values.get(word)?;
        if self.take('[') {
            let index = self.sum()? as usize;
            return if self.take(']') { values.get(index).copied() } else { None };
        }
        (values.len() == 1).then(|| values[0])
    }

    fn take(&mut self, token: char) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_repeated_with_constants() {
        let text = "const N = 2u;\nfor (var i = 0u; i < N; i++) { // unroll\n  a[i] = 1.0;\n}\n";
        let expected = "const N = 2u;\n{ const i = 0u;\n  a[0u] = 1.0;\n}\n{ const i = 1u;\n  a[1u] = 1.0;\n}\n\n";
        assert_eq!(unroll(text), expected);
    }

    #[test]
    fn inner_bounds_may_depend_on_outer_variables_and_lists() {
        let text = "const LAYERS = 2u;\nconst W = array<u32, 2>(1u, 3u);\n\
            for (var l = 0u; l < LAYERS; l++) { // unroll\n\
            for (var s = l; s < (W[l] + 1u) / 2u * 1u; s++) { // unroll\nx();\n}\n}\n";
        let out = unroll(text);
        assert_eq!(out.matches("x();").count(), 2, "{out}");
        assert!(out.contains("const l = 1u;") && out.contains("const s = 1u;"));
    }

    #[test]
    fn loops_may_count_down_and_bounds_may_use_max_and_min() {
        let text = "const N = 2u;\nfor (var i = max(N, 1u); i > min(N, 0u); i--) { // unroll\n}\n";
        let out = unroll(text);
        let (two, one) = (out.find("i = 2u").unwrap(), out.find("i = 1u").unwrap());
        assert!(two < one && !out.contains("i = 0u"), "{out}");
    }

    #[test]
    fn known_indices_become_numbers_inside_loops_alone() {
        let text = "const L = array<u32, 2>(5u, 7u);\na[1u + 1u] = 0.0;\n\
            for (var i = 0u; i < 1u; i++) { // unroll\nb[i + 2u * (i + 1u)] = c[L[i] + d[i]] + L[i + 1u];\n}\n";
        let out = unroll(text);
        assert!(out.contains("a[1u + 1u]"), "{out}");
        assert!(out.contains("b[2u] = c[5u + d[0u]] + 7u;"), "{out}");
    }

    #[test]
    fn static_blocks_are_kept_or_dropped() {
        let text =
            "const A = 1u;\nif (A == 1u) { // static\nx();\n}\nif (A == 0u) { // static\ny();\n}\n";
        let out = unroll(text);
        assert!(out.contains("x();") && !out.contains("y();"), "{out}");
    }

    #[test]
    fn unmarked_text_is_untouched() {
        let text = "for (var i = 0u; i < n; i++) { a[i] = 0.0; }";
        assert_eq!(unroll(text), text);
    }

    #[test]
    #[should_panic(expected = "cannot unroll")]
    fn unknown_bounds_are_an_error_of_the_shader() {
        unroll("for (var i = 0u; i < unknown; i++) { // unroll\n}\n");
    }
}
