//! The texts in `shaders/`, as [`shader!`] brings them into the program. In a page's module they lie without comments and
//! indentation, which would be 17 of its kilobytes, gzipped.

/// The text of the file with this name in `shaders/`.
macro_rules! shader {
    ($name:literal) => {{
        const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name));
        #[cfg(not(target_arch = "wasm32"))]
        const TEXT: &str = FILE;
        #[cfg(target_arch = "wasm32")]
        const TEXT: &str = {
            const WHOLE: &[u8] = FILE.as_bytes();
            const LENGTH: usize = crate::shaders::shortened::<{ WHOLE.len() }>(WHOLE).1;
            const BYTES: [u8; LENGTH] = crate::shaders::shortened::<LENGTH>(WHOLE).0;
            match std::str::from_utf8(&BYTES) {
                Ok(text) => text,
                Err(_) => panic!("the texts are ASCII"),
            }
        };
        TEXT
    }};
}

/// What [`crate::gpu::unroll()`] looks for in comments.
const MARKS: [&[u8]; 2] = [b"// unroll", b"// static"];

/// `text` without comments that mark nothing, indentation and empty lines; and how many bytes that is, of which the first N are there.
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))] // but in tests
pub(crate) const fn shortened<const N: usize>(text: &[u8]) -> ([u8; N], usize) {
    let mut bytes = [b'\n'; N];
    let (mut length, mut at) = (0, 0);
    while at < text.len() {
        let starts_line = length == 0 || N == 0 || last_is_newline(&bytes, length);
        let comment = text[at] == b'/' && at + 1 < text.len() && text[at + 1] == b'/';
        if comment && !begins(text, at, MARKS[0]) && !begins(text, at, MARKS[1]) {
            while at < text.len() && text[at] != b'\n' {
                at += 1;
            }
            continue;
        }
        let space = text[at] == b' ' || text[at] == b'\n';
        if !(starts_line && space) {
            if length < N {
                bytes[length] = text[at];
            }
            length += 1;
        }
        at += 1;
    }
    (bytes, length)
}

const fn last_is_newline<const N: usize>(bytes: &[u8; N], length: usize) -> bool {
    length <= N && bytes[length - 1] == b'\n'
}

/// Whether `what` stands in `text` from `at` on.
const fn begins(text: &[u8], at: usize, what: &[u8]) -> bool {
    let mut place = 0;
    while place < what.len() {
        if at + place >= text.len() || text[at + place] != what[place] {
            return false;
        }
        place += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WGSL says that a variable without a value begins anew with each round of the loop that it is in; Chromium's compiler lets
    /// it keep what it had.
    #[test]
    fn variables_in_loops_begin_with_a_value() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let files = [folder.clone(), folder.join("lib")].map(|it| std::fs::read_dir(it).unwrap());
        let mut count = 0;
        for path in files.into_iter().flatten().map(|file| file.unwrap().path()) {
            if path.is_dir() {
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let inside = line.starts_with("        ") && line.trim().starts_with("var ");
                assert!(!inside || line.contains('='), "{}: {line}", path.display());
                count += usize::from(inside);
            }
        }
        assert!(count > 50, "variables are found: {count}");
    }

    #[test]
    fn comments_and_indentation_go_and_marks_stay() {
        const TEXT: &[u8] = b"// Of a file.\n\nfn main() {  // here\n    for (;;) { // unroll\n        x();\n    }\n}\n";
        const LENGTH: usize = shortened::<{ TEXT.len() }>(TEXT).1;
        let short = shortened::<LENGTH>(TEXT);
        let text = std::str::from_utf8(&short.0).unwrap();
        assert_eq!(text, "fn main() {  \nfor (;;) { // unroll\nx();\n}\n}\n");
        assert_eq!(short.1, LENGTH);
    }
}
