//! Which buffers a kernel's text uses, by their names. Texts are parsed by whom they are compiled by, wgpu or a browser; here
//! their declarations are read alone, and the tests of every text compare them with what naga reads.

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
}

/// What `text` declares outside of functions as `@group(0) @binding(N) var<…> NAME: TYPE;` and names anywhere else, by the
/// numbers.
///
/// # Errors
/// [`Error::Shader`] of the kernel `kernel` if a declaration is another one, or two have one number.
pub fn globals(kernel: &str, text: &str) -> Result<Vec<Global>> {
    let wrong = |message: String| Error::Shader { kernel: kernel.to_string(), message };
    let code = without_comments(text);
    let mut globals = Vec::new();
    for declaration in code.split("@binding(").skip(1) {
        let line = declaration.split(';').next().unwrap_or_default();
        let global =
            declared(line).ok_or_else(|| wrong(format!("`@binding({line};` is no buffer")))?;
        if uses(&code, &global.name) {
            globals.push(global);
        }
    }
    globals.sort_by_key(|global| global.binding);
    match globals.windows(2).find(|pair| pair[0].binding == pair[1].binding) {
        None => Ok(globals),
        Some(pair) => {
            let [one, other] = [&pair[0].name, &pair[1].name];
            Err(wrong(format!("`{one}` and `{other}` both have binding {}", pair[0].binding)))
        }
    }
}

/// What `N) var<…> NAME: TYPE` declares.
fn declared(line: &str) -> Option<Global> {
    let (number, variable) = line.split_once(')')?;
    let (place, ty) = variable.split_once(':')?;
    let (space, name) = match place.trim().strip_prefix("var")?.trim().strip_prefix('<') {
        Some(place) => place.split_once('>')?,
        None => ("", place.trim().strip_prefix("var")?),
    };
    let words: Vec<&str> = space.split(',').map(str::trim).collect();
    let access = match words[..] {
        ["storage", "read_write"] => Access::ReadWrite,
        ["storage", "read"] | ["storage"] => Access::Read,
        ["uniform"] => Access::Uniform,
        [""] => {
            let format = ty.trim().strip_prefix("texture_storage_2d<")?;
            Access::Mirror { words: format.starts_with("rgba32uint") }
        }
        _ => return None,
    };
    let binding = number.trim().trim_end_matches('u').parse().ok()?;
    Some(Global { name: name.trim().to_string(), binding, access })
}

/// Whether `code` has `name` as a word that is no declaration and no member of a struct.
fn uses(code: &str, name: &str) -> bool {
    let of_a_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        !before.ends_with(|letter| of_a_word(letter) || letter == '.')
            && !after.starts_with(|letter| of_a_word(letter) || letter == ':')
    })
}

/// `text` with a space in place of each comment.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        code.push_str(&rest[..at]);
        code.push(' ');
        let comment = &rest[at..];
        let length = match comment.starts_with("//") {
            true => comment.find('\n'),
            false => block_comment(comment),
        };
        rest = length.map_or("", |length| &comment[length..]);
    }
    code + rest
}

/// The length of the comment that `text` begins with, those inside included.
fn block_comment(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        let (open, close) = (text[at..].find("/*"), text[at..].find("*/")?);
        match open.filter(|open| *open < close) {
            Some(open) => (depth, at) = (depth + 1, at + open + 2),
            None => (depth, at) = (depth - 1, at + close + 2),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        struct Pair { a: u32, b: vec2<f32>, idle: u32 }
        @group(0) @binding(9) var<storage, read_write> made: array<vec4<f32>>;
        @group(0) @binding(2) var<storage, read> pairs: array<Pair>; // not idle
        @group(0) @binding(3) var<storage, read> idle: array<u32>;
        @group(0) @binding(4) var<uniform> setting: Pair;
        @group(0) @binding(33) var words: texture_storage_2d<rgba32uint, read>;
        /* idle, /* idle, */ // idle */
        fn value(i: u32) -> f32 { return pairs[i].b.x + setting.b.y; }
        fn word() -> u32 { return textureLoad(words, vec2(0u)).x + setting.idle; }
        @compute @workgroup_size(1) fn main() { made[0].x = value(1u); }";

    #[test]
    fn bindings_are_found_by_name_and_unused_ones_are_not() {
        let globals = globals("text", TEXT).unwrap();
        let found: Vec<_> =
            globals.iter().map(|it| (it.name.as_str(), it.binding, it.access)).collect();
        assert_eq!(
            found,
            [
                ("pairs", 2, Access::Read),
                ("setting", 4, Access::Uniform),
                ("made", 9, Access::ReadWrite),
                ("words", 33, Access::Mirror { words: true }),
            ]
        );
    }

    #[test]
    fn declarations_that_are_wrong_are_named() {
        let twice = TEXT.replace("@binding(9)", "@binding(2)");
        let message = globals("twice", &twice).unwrap_err().to_string();
        assert!(message.contains("twice") && message.contains("both have binding 2"), "{message}");
        let other = TEXT.replace("var<uniform>", "var<private>");
        let message = globals("other", &other).unwrap_err().to_string();
        assert!(message.contains("var<private> setting: Pair;` is no buffer"), "{message}");
    }
}
