//! Damages files: bytes of any file, numbers of any text, and, where a header of safetensors is whole, what it says, with the
//! digests made anew, so that what lies behind them is reached.

use std::collections::BTreeMap;

use rand::RngExt;
use reptile::rng::{Draws, Part, Phase, Stream};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What numbers in texts become.
const NUMBERS: [&str; 18] = [
    "0",
    "1",
    "-1",
    "2",
    "1e-300",
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "null",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
];
/// What numbers in bytes become.
const WORDS: [u64; 8] = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, u64::MAX];
/// Bytes that a file grows to at most.
const LARGEST: usize = 1 << 16;

/// The damaged file number `index` of `seeds`: the same each time.
pub fn damaged(seeds: &[Vec<u8>], target: u64, index: u32) -> Vec<u8> {
    let mut draws = Stream::new(target, Phase::Test, index, 0).draws(Part::Task);
    let seed = &seeds[draws.random_range(0..seeds.len())];
    let mut bytes = match draws.random_range(0..3) {
        0 => sealed(seed, &mut draws).unwrap_or_else(|| seed.clone()),
        _ => seed.clone(),
    };
    let resealed = bytes != *seed;
    for _ in 0..if resealed { draws.random_range(0..2) } else { draws.random_range(1..5) } {
        let other = &seeds[draws.random_range(0..seeds.len())];
        bytes = changed(bytes, other, &mut draws);
    }
    bytes.truncate(LARGEST);
    bytes
}

/// One change to `bytes`.
fn changed(mut bytes: Vec<u8>, other: &[u8], draws: &mut Draws) -> Vec<u8> {
    if bytes.is_empty() {
        return other.to_vec();
    }
    let at = draws.random_range(0..bytes.len());
    let length = draws.random_range(1..=(bytes.len() - at).min(64));
    match draws.random_range(0..12) {
        0 => bytes[at] ^= 1 << draws.random_range(0..8),
        1 => bytes[at] = draws.random_range(0..=255),
        2 => bytes[at..at + length].fill([0, 0xFF, b' ', b'9'][draws.random_range(0..4)]),
        3 => drop(bytes.drain(at..at + length)),
        4 => {
            let copy = bytes[at..at + length].to_vec();
            let to = draws.random_range(0..=bytes.len());
            drop(bytes.splice(to..to, copy));
        }
        5 => {
            let new: Vec<u8> = (0..length).map(|_| draws.random_range(0..=255)).collect();
            drop(bytes.splice(at..at, new));
        }
        6 => bytes.truncate(at),
        7 => {
            let from = draws.random_range(0..other.len().max(1));
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        8 => {
            let word = WORDS[draws.random_range(0..WORDS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][draws.random_range(0..4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&word[..width]);
        }
        _ => bytes = with_other_number(&bytes, at, draws),
    }
    bytes
}

/// `bytes` with the number behind place `at` replaced, if a number follows.
fn with_other_number(bytes: &[u8], at: usize, draws: &mut Draws) -> Vec<u8> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let Some(first) = bytes[at..].iter().position(is_digit).map(|first| at + first) else {
        return bytes.to_vec();
    };
    let end = bytes[first..].iter().position(|byte| !is_digit(byte) && *byte != b'.');
    let end = end.map_or(bytes.len(), |length| first + length);
    let number = NUMBERS[draws.random_range(0..NUMBERS.len())].as_bytes();
    [&bytes[..first], number, &bytes[end..]].concat()
}

/// A safetensors file whose header, or what it says of itself, was changed, with lengths and digests that fit again.
fn sealed(bytes: &[u8], draws: &mut Draws) -> Option<Vec<u8>> {
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let (header, data) = (bytes.get(8..8 + length)?, bytes.get(8 + length..)?);
    let mut header: BTreeMap<String, Value> = serde_json::from_slice(header).ok()?;
    let mut data = data.to_vec();
    match draws.random_range(0..4) {
        // A field.
        0 => {
            let fields = header.get_mut("__metadata__")?.as_object_mut()?;
            let place = draws.random_range(0..fields.len().max(1));
            let field = fields.values_mut().nth(place)?;
            let text = changed(field.as_str()?.as_bytes().to_vec(), b"1", draws);
            *field = String::from_utf8_lossy(&text).into_owned().into();
        }
        // A tensor is gone, or one of two has the other's name.
        1 => {
            let names: Vec<String> =
                header.keys().filter(|name| *name != "__metadata__").cloned().collect();
            let name = names.get(draws.random_range(0..names.len().max(1)))?;
            let tensor = header.remove(name)?;
            if draws.random_range(0..2) == 0 {
                header.insert(names[draws.random_range(0..names.len())].clone(), tensor);
            }
        }
        // A shape, a type or a place.
        2 => {
            let place = draws.random_range(0..header.len());
            let (_, tensor) = header.iter_mut().nth(place)?;
            let text = tensor.to_string().into_bytes();
            let at = draws.random_range(0..text.len());
            *tensor = serde_json::from_slice(&with_other_number(&text, at, draws)).ok()?;
        }
        // Values.
        _ => {
            let at = draws.random_range(0..data.len().max(1));
            let special = [f32::NAN, f32::INFINITY, -0.0, 1e-45, 3e38][draws.random_range(0..5)];
            let at = at / 4 * 4;
            data.get_mut(at..at + 4)?.copy_from_slice(&special.to_le_bytes());
        }
    }
    digest(&mut header, &data);
    let text = written(&header);
    Some([&(text.len() as u64).to_le_bytes(), text.as_bytes(), &data].concat())
}

/// The text of a header as the program writes it.
fn written(header: &BTreeMap<String, Value>) -> String {
    let entry = |(name, it): (&String, &Value)| match name.as_str() {
        "__metadata__" => format!("{name:?}:{it}"),
        _ => {
            let [dtype, shape, offsets] = ["dtype", "shape", "data_offsets"].map(|key| &it[key]);
            let name = Value::from(name.as_str());
            format!("{name}:{{\"dtype\":{dtype},\"shape\":{shape},\"data_offsets\":{offsets}}}")
        }
    };
    let entries: Vec<String> = header.iter().map(entry).collect();
    let text = format!("{{{}}}", entries.join(","));
    let padded = text.len().next_multiple_of(8);
    format!("{text:padded$}")
}

/// Puts the digests of `data` and of the fields into `header`, where it has digests.
fn digest(header: &mut BTreeMap<String, Value>, data: &[u8]) {
    let hex = |bytes: &[u8]| -> Value {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
    };
    let place =
        |tensor: &Value, end: usize| tensor["data_offsets"][end].as_u64().unwrap_or(0) as usize;
    let mut digests: BTreeMap<String, Value> = header
        .iter()
        .filter_map(|(name, it)| Some((name.clone(), hex(data.get(place(it, 0)..place(it, 1))?))))
        .filter(|(name, _)| name != "__metadata__")
        .collect();
    let fields = header.get_mut("__metadata__").and_then(Value::as_object_mut);
    let Some(fields) = fields.filter(|fields| fields.contains_key("digests")) else { return };
    fields.retain(|name, _| name != "digest" && name != "digests");
    digests.extend(fields.iter().map(|(name, value)| {
        (format!("metadata/{name}"), hex(value.as_str().unwrap_or_default().as_bytes()))
    }));
    let digests = serde_json::to_string(&digests).expect("strings are valid JSON");
    fields.insert("digest".into(), hex(digests.as_bytes()));
    fields.insert("digests".into(), digests.into());
}
