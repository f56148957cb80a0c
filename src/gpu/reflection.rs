//! What naga knows of a kernel's text: its bindings by name.

use crate::error::{Error, Result};

/// How a kernel sees a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
    /// `var<uniform>`
    Uniform,
    /// `texture_storage_2d<…, read>`: a mirror of a buffer, of words (else of floats).
    Mirror {
        /// Whether it holds words.
        words: bool,
    },
}

/// A buffer that a kernel's text declares and uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Its name in the text.
    pub name: String,
    /// Its number in group 0.
    pub binding: u32,
    /// How it is seen.
    pub access: Access,
    /// Bytes of the struct that it is, or from one element to the next of the array that it is.
    pub stride: u32,
}

/// A parsed text.
#[derive(Debug)]
pub(super) struct Reflection {
    pub module: naga::Module,
    /// By their numbers.
    pub globals: Vec<Global>,
}

/// Parses `text`.
///
/// # Errors
/// [`Error::Shader`] of the kernel `name`, with the place in the text.
pub(super) fn reflect(name: &str, text: &str) -> Result<Reflection> {
    let wrong = |message: String| Error::Shader { kernel: name.to_string(), message };
    let module = naga::front::wgsl::parse_str(text)
        .map_err(|error| wrong(error.emit_to_string_with_path(text, name)))?;
    let functions = module.functions.iter().map(|(_, function)| function);
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    let used: Vec<naga::Handle<naga::GlobalVariable>> = functions
        .chain(entries)
        .flat_map(|function| function.expressions.iter())
        .filter_map(|(_, expression)| match expression {
            naga::Expression::GlobalVariable(global) => Some(*global),
            _ => None,
        })
        .collect();
    let mut globals = Vec::new();
    for (handle, global) in module.global_variables.iter() {
        let (Some(place), Some(name), true) =
            (&global.binding, &global.name, used.contains(&handle))
        else {
            continue;
        };
        let access = match global.space {
            naga::AddressSpace::Uniform => Access::Uniform,
            naga::AddressSpace::Handle => Access::Mirror { words: is_of_words(&module, global) },
            naga::AddressSpace::Storage { access }
                if access.contains(naga::StorageAccess::STORE) =>
            {
                Access::ReadWrite
            }
            _ => Access::Read,
        };
        let stride = match module.types[global.ty].inner {
            naga::TypeInner::Array { stride, .. } => stride,
            naga::TypeInner::Image { .. } => 0,
            ref other => other.size(module.to_ctx()),
        };
        globals.push(Global { name: name.clone(), binding: place.binding, access, stride });
    }
    globals.sort_by_key(|global| global.binding);
    if let Some(pair) = globals.windows(2).find(|pair| pair[0].binding == pair[1].binding) {
        let [one, other] = [&pair[0].name, &pair[1].name];
        return Err(wrong(format!("`{one}` and `{other}` both have binding {}", pair[0].binding)));
    }
    Ok(Reflection { module, globals })
}

/// Whether a texture holds words.
fn is_of_words(module: &naga::Module, global: &naga::GlobalVariable) -> bool {
    let words = naga::StorageFormat::Rgba32Uint;
    matches!(
        module.types[global.ty].inner,
        naga::TypeInner::Image { class: naga::ImageClass::Storage { format, .. }, .. } if format == words
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        struct Pair { a: u32, b: vec2<f32> }
        @group(0) @binding(9) var<storage, read_write> made: array<vec4<f32>>;
        @group(0) @binding(2) var<storage, read> pairs: array<Pair>;
        @group(0) @binding(3) var<storage, read> idle: array<u32>;
        @group(0) @binding(4) var<uniform> setting: Pair;
        fn value(i: u32) -> f32 { return pairs[i].b.x + setting.b.y; }
        @compute @workgroup_size(1) fn main() { made[0].x = value(1u); }";

    #[test]
    fn bindings_are_found_by_name_and_unused_ones_are_not() {
        let globals = reflect("text", TEXT).unwrap().globals;
        let found: Vec<_> =
            globals.iter().map(|g| (g.name.as_str(), g.binding, g.access, g.stride)).collect();
        assert_eq!(
            found,
            [
                ("pairs", 2, Access::Read, 16),
                ("setting", 4, Access::Uniform, 16),
                ("made", 9, Access::ReadWrite, 16)
            ]
        );
    }

    #[test]
    fn a_text_that_is_wrong_is_named_with_the_place() {
        let message = reflect("broken", "fn main() { let x = y; }").unwrap_err().to_string();
        assert!(message.contains("broken") && message.contains('y'), "{message}");
        let twice = TEXT.replace("@binding(9)", "@binding(2)");
        let message = reflect("twice", &twice).unwrap_err().to_string();
        assert!(message.contains("both have binding 2"), "{message}");
    }
}
