//! A safetensors file in memory: what checkpoints, the user's tasks and adapted parameters are
//! stored in. Reading says what is damaged; writing gives the same bytes for the same content.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, TensorInfo, TensorView};
use serde::Serialize;

/// Bytes of the header's length at the start of a file.
const PREFIX: usize = 8;

/// What a file holds, both parts by name.
pub(crate) struct TensorFile<'a> {
    pub metadata: BTreeMap<String, String>,
    pub tensors: BTreeMap<String, TensorView<'a>>,
    /// What stands before the data.
    header: &'a [u8],
}

/// A tensor to write: its values, row-major, as little-endian bytes.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Data {
    /// Of f32 values.
    pub fn floats(shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape, bytes }
    }
}

impl<'a> TensorFile<'a> {
    /// Parses `bytes` and checks that the header covers them exactly.
    ///
    /// # Errors
    /// A sentence that says whether the file is truncated, damaged or of another kind.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let damage = |error| what_is_wrong(bytes, &error);
        let (header_length, header) = SafeTensors::read_metadata(bytes).map_err(damage)?;
        let data = &bytes[PREFIX + header_length..];
        let view = |(name, info): (String, &TensorInfo)| {
            let (start, end) = info.data_offsets;
            Ok((name, TensorView::new(info.dtype, info.shape.clone(), &data[start..end])?))
        };
        Ok(Self {
            header: &bytes[..PREFIX + header_length],
            metadata: header.metadata().clone().unwrap_or_default().into_iter().collect(),
            tensors: header
                .tensors()
                .into_iter()
                .map(view)
                .collect::<Result<_, _>>()
                .map_err(damage)?,
        })
    }

    /// Whether the header is the one that [`serialize`] writes for what the file holds: the same content can be noted in several
    /// ways.
    pub fn is_as_written(&self) -> bool {
        let mut end = 0;
        let infos = self.tensors.iter().map(|(name, tensor)| {
            let start = end;
            end += tensor.data().len();
            let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
            (name.as_str(), TensorInfo { dtype, shape, data_offsets: (start, end) })
        });
        header(&self.metadata, infos.collect()) == self.header
    }

    /// The tensor `name` as finite f32 values of exactly `shape`.
    ///
    /// # Errors
    /// A sentence that names the tensor and what is missing, different or not finite.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.tensors.get(name).ok_or_else(|| format!("tensor `{name}` is missing"))?;
        if tensor.shape() != shape {
            return Err(format!(
                "tensor `{name}` has the shape {:?}, but {shape:?} was expected",
                tensor.shape()
            ));
        }
        finite_floats(name, tensor)
    }

    /// The tensor `name` as u32 values of exactly `shape`.
    ///
    /// # Errors
    /// A sentence that names the tensor and what is missing or different.
    pub fn words(&self, name: &str, shape: &[usize]) -> Result<Vec<u32>, String> {
        let tensor = self.tensors.get(name).ok_or_else(|| format!("tensor `{name}` is missing"))?;
        if tensor.shape() != shape || tensor.dtype() != Dtype::U32 {
            let (dtype, found) = (tensor.dtype(), tensor.shape());
            return Err(format!(
                "tensor `{name}` is {dtype} {found:?}, but U32 {shape:?} was expected"
            ));
        }
        Ok(little_endian(tensor.data(), u32::from_le_bytes).collect())
    }
}

/// The values of `tensor`, which must be f32 and finite.
///
/// # Errors
/// A sentence that names the tensor and its type, or the position of the value.
pub(crate) fn finite_floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("tensor `{name}` is {}, but F32 was expected", tensor.dtype()));
    }
    let values: Vec<f32> = little_endian(tensor.data(), f32::from_le_bytes).collect();
    check_finite(name, tensor.shape(), &values)?;
    Ok(values)
}

/// The elements of `data`, `SIZE` bytes each.
pub(crate) fn little_endian<const SIZE: usize, T>(
    data: &[u8],
    decode: impl Fn([u8; SIZE]) -> T,
) -> impl Iterator<Item = T> {
    data.as_chunks::<SIZE>().0.iter().map(move |chunk| decode(*chunk))
}

/// Refuses NaN and infinity.
///
/// # Errors
/// A sentence that names the tensor, the position and the value.
pub(crate) fn check_finite(name: &str, shape: &[usize], values: &[f32]) -> Result<(), String> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(format!("tensor `{name}` is {} at {:?}", values[at], position(shape, at))),
    }
}

/// The indices along each axis of element `flat` of a row-major tensor.
pub(crate) fn position(shape: &[usize], mut flat: usize) -> Vec<usize> {
    let mut indices = vec![0; shape.len()];
    for (index, size) in indices.iter_mut().zip(shape).rev() {
        *index = flat % size;
        flat /= size;
    }
    indices
}

/// Writes tensors as a safetensors file. Metadata and tensors lie in the order of their names (the library's
/// own writer leaves the order of the metadata to chance).
pub(crate) fn serialize(
    metadata: &BTreeMap<String, String>,
    tensors: &BTreeMap<String, Data>,
) -> Vec<u8> {
    let mut end = 0;
    let infos = tensors.iter().map(|(name, Data { dtype, shape, bytes })| {
        let start = end;
        end += bytes.len();
        let info = TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets: (start, end) };
        (name.as_str(), info)
    });
    let mut bytes = header(metadata, infos.collect());
    bytes.reserve_exact(end);
    for data in tensors.values() {
        bytes.extend_from_slice(&data.bytes);
    }
    bytes
}

/// What stands before the data of `tensors`.
pub(crate) fn header(
    metadata: &BTreeMap<String, String>,
    tensors: BTreeMap<&str, TensorInfo>,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Header<'a> {
        #[serde(rename = "__metadata__")]
        metadata: &'a BTreeMap<String, String>,
        #[serde(flatten)]
        tensors: BTreeMap<&'a str, TensorInfo>,
    }

    let header = Header { metadata, tensors };
    let mut text = serde_json::to_vec(&header).expect("strings and integers are valid JSON");
    text.resize(text.len().next_multiple_of(PREFIX), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes
}

/// Why `bytes` could not be read, in words.
fn what_is_wrong(bytes: &[u8], error: &SafeTensorError) -> String {
    let length = bytes.len();
    match error {
        SafeTensorError::HeaderTooSmall => {
            format!("not a safetensors file, or truncated: it has {length} bytes in all")
        }
        SafeTensorError::InvalidHeaderLength => format!(
            "truncated, or not a safetensors file: it ends after {length} bytes, inside its header"
        ),
        SafeTensorError::MetadataIncompleteBuffer => match declared_length(bytes) {
            Some(declared) if declared > length => {
                format!("truncated: it has {length} of {declared} bytes")
            }
            _ => format!("damaged: it has {length} bytes, more than its header describes"),
        },
        SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeader(_) => {
            format!("not a safetensors file ({error})")
        }
        _ => format!("its safetensors header is damaged ({error})"),
    }
}

/// The length that a file should have by its own header.
fn declared_length(bytes: &[u8]) -> Option<usize> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    let header = usize::try_from(u64::from_le_bytes(*prefix)).ok()?;
    let metadata: Metadata = serde_json::from_slice(rest.get(..header)?).ok()?;
    Some(PREFIX + header + metadata.data_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let metadata = (0..20).map(|i| (format!("key{i}"), format!("va\"lue\n{i}"))).collect();
        let tensors = BTreeMap::from([
            ("b".to_owned(), Data::floats(vec![2, 3], &[0.5; 6])),
            ("a".to_owned(), Data::floats(vec![1], &[-1.5])),
        ]);
        serialize(&metadata, &tensors)
    }

    #[test]
    fn written_files_read_back_and_are_the_same_each_time() {
        let bytes = sample();
        assert_eq!(bytes, sample());
        let file = TensorFile::parse(&bytes).unwrap();
        assert_eq!(file.metadata["key7"], "va\"lue\n7");
        assert_eq!(file.floats("a", &[1]).unwrap(), [-1.5]);
        assert_eq!(file.floats("b", &[2, 3]).unwrap(), [0.5; 6]);
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn wrong_shapes_and_missing_tensors_are_named() {
        let bytes = sample();
        let file = TensorFile::parse(&bytes).unwrap();
        let message = file.floats("b", &[3, 2]).unwrap_err();
        assert_eq!(message, "tensor `b` has the shape [2, 3], but [3, 2] was expected");
        assert_eq!(file.floats("c", &[1]).unwrap_err(), "tensor `c` is missing");
    }

    #[test]
    fn values_that_are_not_finite_are_named_with_their_position() {
        let values = Data::floats(vec![2, 2], &[0.0, 1.0, f32::INFINITY, 2.0]);
        let tensors = BTreeMap::from([("x".to_owned(), values)]);
        let bytes = serialize(&BTreeMap::new(), &tensors);
        let message = TensorFile::parse(&bytes).unwrap().floats("x", &[2, 2]).unwrap_err();
        assert_eq!(message, "tensor `x` is inf at [1, 0]");
    }

    #[test]
    fn every_truncation_is_called_one() {
        let bytes = sample();
        for length in 0..bytes.len() {
            let message = TensorFile::parse(&bytes[..length]).err().unwrap();
            assert!(message.contains("truncated"), "{length} bytes: {message}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(TensorFile::parse(&longer).err().unwrap().contains("more than its header"));
    }

    #[test]
    fn other_files_are_called_other_files() {
        for bytes in [b"PK\x03\x04 a zip archive".as_slice(), b"seed = 0\niterations = 5"] {
            let message = TensorFile::parse(bytes).err().unwrap();
            assert!(message.contains("not a safetensors file"), "{message}");
        }
    }
}
