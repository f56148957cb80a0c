//! Text files as people have them: UTF-8, with or without a mark, and the UTF-16 that Windows PowerShell writes.

use std::path::Path;

use crate::disk::read;
use crate::error::{Error, Result};

/// The text of the file at `path`.
///
/// # Errors
/// As [`read::bytes`]; [`Error::Data`] for other encodings, with the remedy.
pub fn read(path: &Path) -> Result<String> {
    let bytes = read::bytes(path)?;
    decode(&bytes).map_err(|message| Error::data(path, message))
}

/// The text in `bytes`, without a byte order mark.
///
/// # Errors
/// A sentence that says what the bytes are not, and the remedy.
pub fn decode(bytes: &[u8]) -> Result<String, String> {
    let pairs = |from: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes[2..].chunks_exact(2).map(|pair| from([pair[0], pair[1]])).collect()
    };
    let utf16 = match bytes {
        [0xFF, 0xFE, ..] => Some(pairs(u16::from_le_bytes)),
        [0xFE, 0xFF, ..] => Some(pairs(u16::from_be_bytes)),
        _ => None,
    };
    let remedy = "save it as UTF-8";
    if let Some(units) = utf16 {
        let whole = bytes.len().is_multiple_of(2);
        return String::from_utf16(&units)
            .ok()
            .filter(|_| whole)
            .ok_or_else(|| format!("begins like UTF-16 and is none; {remedy}"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.len() > 1 && bytes.contains(&0) {
        return Err(format!("is no text in UTF-8 (UTF-16 without a mark?); {remedy}"));
    }
    String::from_utf8(bytes.to_vec()).map_err(|error| {
        let line =
            1 + bytes[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!(
            "line {line} is not UTF-8 (an older encoding, like Latin-1 or Windows-1252?); {remedy}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_and_utf_16_are_read_with_their_marks() {
        let text = "größe = 1\r\n";
        let utf16 = |bytes: fn(u16) -> [u8; 2], mark: [u8; 2]| -> Vec<u8> {
            mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect()
        };
        assert_eq!(decode(text.as_bytes()).unwrap(), text);
        assert_eq!(decode(&[b"\xEF\xBB\xBF", text.as_bytes()].concat()).unwrap(), text);
        assert_eq!(decode(&utf16(u16::to_le_bytes, [0xFF, 0xFE])).unwrap(), text);
        assert_eq!(decode(&utf16(u16::to_be_bytes, [0xFE, 0xFF])).unwrap(), text);
        assert_eq!(decode(b"").unwrap(), "");
    }

    #[test]
    fn other_encodings_are_named_with_the_remedy() {
        let latin = decode(b"a = 1\nb = \"gr\xF6\xDFe\"\n").unwrap_err();
        assert!(latin.contains("line 2") && latin.contains("save it as UTF-8"), "{latin}");
        for bytes in [&b"a\0b\0"[..], &[0xFF, 0xFE, 1], &[0xFF, 0xFE, 0, 0xD8]] {
            let text = decode(bytes).unwrap_err();
            assert!(text.contains("UTF-16") && text.contains("save it as UTF-8"), "{text}");
        }
    }
}
