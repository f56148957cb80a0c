//! Numbers as bytes, and back.

use half::f16;

use crate::cluster::Exchange;
use crate::error::{Error, Result};

/// Numbers that share a scale.
const BLOCK: usize = 256;
/// The largest whole number.
const LARGEST: f32 = 127.0;

impl Exchange {
    /// The bytes of `values`.
    pub(super) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => {
                all(4 * values.len(), values, |bytes, value| bytes.extend(value.to_le_bytes()))
            }
            Self::F16 => all(2 * values.len(), values, |bytes, value| {
                bytes.extend(f16::from_f32(*value).to_le_bytes());
            }),
            Self::Int8 => {
                let bytes = values.len() + 4 * values.len().div_ceil(BLOCK);
                let mut bytes = Vec::with_capacity(bytes);
                values.chunks(BLOCK).for_each(|block| encode_block(block, &mut bytes));
                bytes
            }
        }
    }

    /// The `count` values in `bytes`.
    ///
    /// # Errors
    /// [`Error::Ranks`] if there are not as many.
    pub(super) fn decode(self, bytes: &[u8], count: usize) -> Result<Vec<f32>> {
        let values: Vec<f32> = match self {
            Self::F32 => {
                bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
            }
            Self::F16 => {
                let values = bytes.as_chunks().0.iter();
                values.map(|value| f16::from_le_bytes(*value).to_f32()).collect()
            }
            Self::Int8 => {
                let mut values = Vec::with_capacity(bytes.len());
                bytes.chunks(4 + BLOCK).for_each(|block| decode_block(block, &mut values));
                values
            }
        };
        if values.len() == count {
            return Ok(values);
        }
        let message = format!(
            "another rank sent {} numbers where {count} were expected; start all with the same configuration",
            values.len()
        );
        Err(Error::Ranks(message))
    }
}

/// What `add` makes of all `values`, together so many bytes.
fn all(bytes: usize, values: &[f32], add: impl Fn(&mut Vec<u8>, &f32)) -> Vec<u8> {
    let mut made = Vec::with_capacity(bytes);
    values.iter().for_each(|value| add(&mut made, value));
    made
}

/// A scale, and a byte for each value. What is not finite makes the scale NaN, and with it all values.
fn encode_block(values: &[f32], bytes: &mut Vec<u8>) {
    let finite = values.iter().all(|value| value.is_finite());
    let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = if finite { most / LARGEST } else { f32::NAN };
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let whole = |value: &f32| (value * inverse).round().clamp(-LARGEST, LARGEST) as i8 as u8;
    bytes.extend(scale.to_le_bytes());
    bytes.extend(values.iter().map(whole));
}

fn decode_block(block: &[u8], all: &mut Vec<f32>) {
    let Some((scale, values)) = block.split_first_chunk() else { return };
    let scale = f32::from_le_bytes(*scale);
    all.extend(values.iter().map(|value| f32::from(*value as i8) * scale));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37).sin() * 1.5_f32.powi(i as i32 % 11 - 5)).collect()
    }

    #[test]
    fn what_is_decoded_is_near_what_was_encoded() {
        for count in [0, 1, 255, 256, 257, 1000] {
            let values = wave(count);
            for (codec, bytes, near) in [
                (Exchange::F32, 4 * count, 0.0),
                (Exchange::F16, 2 * count, 1e-3),
                (Exchange::Int8, count + 4 * count.div_ceil(BLOCK), 0.04),
            ] {
                let encoded = codec.encode(&values);
                assert_eq!(encoded.len(), bytes, "{codec:?}");
                let decoded = codec.decode(&encoded, count).unwrap();
                for (a, b) in values.iter().zip(&decoded) {
                    assert!((a - b).abs() <= near * a.abs().max(1.0), "{codec:?}: {a} {b}");
                }
                assert!(codec.decode(&encoded, count + 1).is_err());
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for codec in [Exchange::F32, Exchange::F16, Exchange::Int8] {
            let decoded = codec.decode(&codec.encode(&[1.0, f32::NAN]), 2).unwrap();
            assert!(decoded[1].is_nan(), "{codec:?}");
        }
        let tiny = [1e-44, -1e-44];
        let decoded = Exchange::Int8.decode(&Exchange::Int8.encode(&tiny), 2).unwrap();
        assert!(decoded.iter().all(|value| value.abs() <= 2e-44), "{decoded:?}");
    }
}
