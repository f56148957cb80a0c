//! The text of a kernel: a header of constants, library files, and the kernel's own file.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::gpu::unroll::unroll;

/// A value in a kernel's header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Constant {
    /// Sizes and counts, and flags as 0 or 1.
    U32(u32),
    /// The bits of a float.
    F32(u32),
    /// `array<u32, n>`: one value a layer, for instance.
    List(Vec<u32>),
}

impl From<usize> for Constant {
    fn from(value: usize) -> Self {
        Self::U32(u32::try_from(value).expect("sizes are checked before kernels are made"))
    }
}

impl From<u32> for Constant {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<bool> for Constant {
    fn from(value: bool) -> Self {
        Self::U32(u32::from(value))
    }
}

impl From<f32> for Constant {
    fn from(value: f32) -> Self {
        Self::F32(value.to_bits())
    }
}

impl From<Vec<usize>> for Constant {
    fn from(values: Vec<usize>) -> Self {
        Self::List(values.into_iter().map(|value| value as u32).collect())
    }
}

/// A kernel before it is compiled, and what a compiled one is known by. WGSL does not care about the order of declarations, so
/// concatenation is the whole module system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    name: &'static str,
    variant: Option<String>,
    constants: BTreeMap<&'static str, Constant>,
    parts: Vec<&'static str>,
}

impl Source {
    /// A kernel named `name` whose own file has the text `text`.
    pub fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, variant: None, constants: BTreeMap::new(), parts: vec![text] }
    }

    /// Adds `const name = value;` to the header.
    pub fn constant(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.constants.insert(name, value.into());
        self
    }

    /// Says which of the kernel's variants this is.
    pub fn variant(mut self, variant: String) -> Self {
        self.variant = Some(variant);
        self
    }

    /// Adds a library file.
    pub fn library(mut self, text: &'static str) -> Self {
        self.parts.push(text);
        self
    }

    /// The name that errors use.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which of the kernel's variants this is, where there are several.
    pub fn variant_name(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// The whole text, with marked loops repeated if `unrolled`.
    pub fn text(&self, unrolled: bool) -> String {
        let mut text = String::new();
        for (name, value) in &self.constants {
            let _ = match value {
                Constant::U32(value) => writeln!(text, "const {name} = {value}u;"),
                // `{:?}` writes the shortest digits that give the same float back.
                Constant::F32(value) => {
                    let value = f32::from_bits(*value);
                    writeln!(text, "const {name} = f32({value:?});")
                }
                Constant::List(values) => {
                    let list: Vec<String> = values.iter().map(|v| format!("{v}u")).collect();
                    writeln!(
                        text,
                        "const {name} = array<u32, {}>({});",
                        list.len(),
                        list.join(", ")
                    )
                }
            };
        }
        for part in &self.parts {
            text.push('\n');
            text.push_str(part);
        }
        if unrolled { unroll(&text) } else { text }
    }
}
