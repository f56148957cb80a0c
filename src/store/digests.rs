//! Digests of a file of tensors: whatever changes in it is found and named. All files that hold models carry them:
//! checkpoints, adapted and compressed models.
//!
//! Metadata field `digests` (JSON): the SHA-256 of each other field as `metadata/FIELD`, and of each tensor's bytes by its
//! name. `digest`: the SHA-256 of `digests`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::disk::tensor_file::{self, Data, TensorFile};

/// What the names of metadata fields have in front among the digests.
const FIELD: &str = "metadata/";
const DIGEST: &str = "digest";
const DIGESTS: &str = "digests";

/// A safetensors file of these fields and tensors, with the digests of both. The same content gives the same bytes.
pub fn sealed(mut fields: BTreeMap<String, String>, tensors: &BTreeMap<String, Data>) -> Vec<u8> {
    let data = tensors.iter().map(|(name, data)| (name.clone(), sha256(&data.bytes)));
    let digests: BTreeMap<String, String> = of_fields(&fields).chain(data).collect();
    let digests = serde_json::to_string(&digests).expect("strings are valid JSON");
    fields.insert(DIGEST.into(), sha256(digests.as_bytes()));
    fields.insert(DIGESTS.into(), digests);
    tensor_file::serialize(&fields, tensors)
}

/// Refuses a file in which a field or a tensor is not what was written.
///
/// # Errors
/// A sentence that names it.
pub fn check(file: &TensorFile<'_>) -> Result<(), String> {
    let tensors = file.tensors.iter().map(|(name, t)| (name.clone(), sha256(t.data())));
    compare(of_fields(&file.metadata).chain(tensors).collect(), stored(&file.metadata)?)?;
    match file.is_as_written() {
        true => Ok(()),
        false => Err("its header was changed after it was written".into()),
    }
}

/// Refuses a file in which a field is not what was written; the tensors are not looked at.
///
/// # Errors
/// A sentence that names it.
pub fn check_fields(file: &TensorFile<'_>) -> Result<(), String> {
    let stored = stored(&file.metadata)?.into_iter();
    compare(of_fields(&file.metadata).collect(), stored.filter(|(name, _)| name.starts_with(FIELD)))
}

/// Whether a tensor whose name begins with `prefix` was there when the file was written.
pub fn lists(file: &TensorFile<'_>, prefix: &str) -> bool {
    file.metadata.get(DIGESTS).is_some_and(|list| list.contains(&format!("\"{prefix}")))
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses the first name whose digest in `found` is not the one that was `stored`.
fn compare(
    mut found: BTreeMap<String, String>,
    stored: impl IntoIterator<Item = (String, String)>,
) -> Result<(), String> {
    let words = |name: &str| match name.strip_prefix(FIELD) {
        Some(field) => format!("metadata field `{field}`"),
        None => format!("tensor `{name}`"),
    };
    for (name, digest) in stored {
        match found.remove(&name) {
            None => return Err(format!("{} is missing", words(&name))),
            Some(other) if other != digest => {
                return Err(format!("{} was changed after it was written", words(&name)));
            }
            Some(_) => {}
        }
    }
    match found.keys().next() {
        Some(name) => Err(format!("{} was added after the file was written", words(name))),
        None => Ok(()),
    }
}

fn of_fields(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let fields = metadata.iter().filter(|(name, _)| *name != DIGEST && *name != DIGESTS);
    fields.map(|(name, value)| (format!("{FIELD}{name}"), sha256(value.as_bytes())))
}

fn stored(metadata: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let field = |name: &str| {
        let value = metadata.get(name);
        value.ok_or_else(|| format!("metadata field `{name}` is missing"))
    };
    let digests = field(DIGESTS)?;
    if sha256(digests.as_bytes()) != *field(DIGEST)? {
        return Err(format!(
            "metadata field `{DIGESTS}` or `{DIGEST}` was changed after it was written"
        ));
    }
    serde_json::from_str(digests).map_err(|error| format!("metadata field `{DIGESTS}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let fields = BTreeMap::from([("format".to_owned(), "some".to_owned())]);
        let tensors = BTreeMap::from([
            ("a".to_owned(), Data::floats(vec![2], &[1.0, 2.0])),
            ("b".to_owned(), Data::floats(vec![1], &[3.0])),
        ]);
        sealed(fields, &tensors)
    }

    /// What is said of the file with `changed` bytes.
    fn said(changed: &[u8]) -> Result<(), String> {
        check(&TensorFile::parse(changed)?)
    }

    #[test]
    fn what_was_written_is_whole_and_the_same_each_time() {
        assert_eq!(file(), file());
        said(&file()).unwrap();
        let bytes = file();
        let parsed = TensorFile::parse(&bytes).unwrap();
        assert!(lists(&parsed, "a") && !lists(&parsed, "c"));
    }

    #[test]
    fn every_flipped_bit_is_refused_and_that_of_a_tensor_by_its_name() {
        let bytes = file();
        // The last of the data: a, a, b.
        let data = bytes.len() - 12;
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let message = said(&changed).expect_err("a bit was flipped");
            let name = if bit / 8 < data + 8 { "tensor `a`" } else { "tensor `b`" };
            assert!(bit / 8 < data || message.starts_with(name), "bit {bit}: {message}");
        }
    }

    #[test]
    fn what_was_added_or_taken_is_named() {
        let bytes = file();
        let parsed = TensorFile::parse(&bytes).unwrap();
        let rewritten = |names: &[&str]| {
            let tensors =
                names.iter().map(|name| (name.to_string(), Data::floats(vec![1], &[3.0])));
            tensor_file::serialize(&parsed.metadata, &tensors.collect())
        };
        assert_eq!(said(&rewritten(&["b"])).unwrap_err(), "tensor `a` is missing");
        let whole = |bytes: &[u8]| check_fields(&TensorFile::parse(bytes).unwrap());
        whole(&rewritten(&["b", "c"])).unwrap();
        let mut fields = parsed.metadata.clone();
        fields.insert("more".into(), "1".into());
        let more = tensor_file::serialize(&fields, &BTreeMap::new());
        let message = whole(&more).unwrap_err();
        assert_eq!(message, "metadata field `more` was added after the file was written");
    }

    /// The example of FIPS 180-2, appendix B.1.
    #[test]
    fn the_hash_is_the_published_one() {
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), wanted);
    }
}
