//! The text of a kernel: a header of constants, library files, and the kernel's own file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::gpu::mirror::MIRROR_WIDTH;
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

/// What an array consists of that a kernel only reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// `vec4<f32>`
    Vector,
    /// `f32`
    Number,
    /// `u32`
    Word,
    /// `vec4<u32>`
    Words,
}

impl Element {
    /// Declares the array `name`, and the function `name_at` that reads an element of it, from a buffer or from a
    /// [`Mirror`](crate::gpu::Mirror) of it, a texture of four numbers a pixel.
    fn declaration(self, name: &str, binding: usize, mirrored: bool) -> String {
        let element = match self {
            Self::Vector => "vec4<f32>",
            Self::Number => "f32",
            Self::Word => "u32",
            Self::Words => "vec4<u32>",
        };
        let (format, place, part) = match self {
            Self::Vector => ("rgba32float", "i", ""),
            Self::Number => ("rgba32float", "(i >> 2u)", "[i & 3u]"),
            Self::Word => ("rgba32uint", "(i >> 2u)", "[i & 3u]"),
            Self::Words => ("rgba32uint", "i", ""),
        };
        let (kind, read) = match mirrored {
            false => (format!("var<storage, read> {name}: array<{element}>"), format!("{name}[i]")),
            true => {
                let (last, bits) = (MIRROR_WIDTH - 1, MIRROR_WIDTH.ilog2());
                (
                    format!("var {name}: texture_storage_2d<{format}, read>"),
                    format!(
                        "textureLoad({name}, vec2<u32>({place} & {last}u, {place} >> {bits}u)){part}"
                    ),
                )
            }
        };
        format!(
            "@group(0) @binding({binding}) {kind};\n\
             fn {name}_at(i: u32) -> {element} {{ return {read}; }}\n"
        )
    }
}

/// A kernel before it is compiled, and what a compiled one is known by. WGSL does not care about the order of declarations, so
/// concatenation is the whole module system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    name: &'static str,
    variant: Option<String>,
    constants: BTreeMap<&'static str, Constant>,
    reads: BTreeMap<&'static str, Element>,
    mirrored: bool,
    parts: Vec<&'static str>,
    /// Text of the user's own, ahead of all, so that its lines are counted as in its file.
    own: Option<Arc<str>>,
}

/// The first binding of what [`Source::reads`] declares; those in the texts come before.
const FIRST_READ: usize = 32;

impl Source {
    /// A kernel named `name` whose own file has the text `text`.
    pub fn new(name: &'static str, text: &'static str) -> Self {
        let (constants, reads) = (BTreeMap::new(), BTreeMap::new());
        let (parts, own) = (vec![text], None);
        Self { name, variant: None, constants, reads, mirrored: false, parts, own }
    }

    /// Adds `const name = value;` to the header.
    pub fn constant(mut self, name: &'static str, value: impl Into<Constant>) -> Self {
        self.constants.insert(name, value.into());
        self
    }

    /// Declares an array that the kernel only reads, by the function `name_at(i)`.
    pub fn reads(mut self, name: &'static str, element: Element) -> Self {
        self.reads.insert(name, element);
        self
    }

    /// Reads what [`Source::reads`] declares from mirrors of the buffers.
    pub fn mirrored(mut self) -> Self {
        self.mirrored = true;
        self
    }

    /// Whether [`Source::reads`] declares anything.
    pub fn has_reads(&self) -> bool {
        !self.reads.is_empty()
    }

    /// What [`Source::reads`] declares under `name`.
    pub fn element(&self, name: &str) -> Option<Element> {
        self.reads.get(name).copied()
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

    /// Adds text of the user's own: the kernel is compiled with bounds checks, whatever the device's options say.
    pub fn own(mut self, text: Arc<str>) -> Self {
        self.own = Some(text);
        self
    }

    /// Whether all of it is this crate's.
    pub fn is_trusted(&self) -> bool {
        self.own.is_none()
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
        for (place, (name, element)) in self.reads.iter().enumerate() {
            text.push_str(&element.declaration(name, FIRST_READ + place, self.mirrored));
        }
        for part in &self.parts {
            text.push('\n');
            text.push_str(part);
        }
        let text = if unrolled { unroll(&text) } else { text };
        match &self.own {
            Some(own) => format!("{own}\n{text}"),
            None => text,
        }
    }
}
