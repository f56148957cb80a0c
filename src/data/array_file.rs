//! Arrays by their names, from NumPy's files (`.npz`, a folder of `.npy`) or safetensors.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use half::f16;
use npyz::{NpyFile, Order};
use safetensors::tensor::Dtype;
use zip::ZipArchive;

use crate::data::names::listed;
use crate::disk::read::{self, FILE};
use crate::disk::tensor_file::{TensorFile, check_finite, little_endian};
use crate::error::{Error, Result};

/// The largest header of a `.npy` that is read; NumPy's have some hundred bytes.
const LONGEST_HEADER: u64 = 1 << 16;

/// What DEFLATE unfolds to at most, of each byte.
const MOST_UNFOLDED: u64 = 1032;

/// One array: its shape and its elements, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Floats(Vec<f32>),
    /// They were f64.
    Rounded(Vec<f32>),
    Integers(Vec<i64>),
    Bytes(Vec<u8>),
}

impl Array {
    /// Its values as f32, and whether they had to be rounded from f64; bytes, where they are `pixels`, divided by 255.
    ///
    /// # Errors
    /// A sentence that names the array.
    pub fn numbers(self, name: &str, pixels: bool) -> Result<(Vec<f32>, bool), String> {
        match self.values {
            Values::Floats(values) => Ok((values, false)),
            Values::Rounded(values) => Ok((values, true)),
            Values::Bytes(bytes) => {
                let scale = if pixels { 255.0 } else { 1.0 };
                Ok((bytes.into_iter().map(|byte| f32::from(byte) / scale).collect(), false))
            }
            Values::Integers(_) if pixels => Err(format!(
                "the array `{name}` holds integers, but numbers (f32) or bytes (u8, pixels of 0..255) were expected; \
                 convert it, in NumPy with `.astype(numpy.float32)`"
            )),
            Values::Integers(values) => {
                Ok((values.into_iter().map(|value| value as f32).collect(), false))
            }
        }
    }

    /// As [`Array::numbers`], all of them finite.
    ///
    /// # Errors
    /// A sentence that names the array, and the place of what is not finite.
    pub fn floats(self, name: &str, pixels: bool) -> Result<(Vec<f32>, bool), String> {
        let shape = self.shape.clone();
        let (values, rounded) = self.numbers(name, pixels)?;
        check_finite(name, &shape, &values)?;
        Ok((values, rounded))
    }

    /// Its values as integers.
    ///
    /// # Errors
    /// A sentence that names the array.
    pub fn integers(self, name: &str) -> Result<Vec<i64>, String> {
        match self.values {
            Values::Integers(values) => Ok(values),
            Values::Bytes(bytes) => Ok(bytes.into_iter().map(i64::from).collect()),
            Values::Floats(_) | Values::Rounded(_) => Err(format!(
                "the array `{name}` holds numbers with a point, but integers were expected; convert it, in NumPy with \
                 `.astype(numpy.int64)`"
            )),
        }
    }
}

/// An open file of arrays, or a folder of them.
#[derive(Debug)]
pub(super) struct ArrayFile {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tensors(Vec<u8>),
    Zip(ZipArchive<BufReader<File>>),
    /// `NAME.npy` in it.
    Folder(PathBuf),
}

impl ArrayFile {
    /// Opens the file at `path`: an `.npz`, a `.safetensors`, or a folder with an `x.npy` and others, which that `x.npy`
    /// stands for as well.
    ///
    /// # Errors
    /// [`Error::Data`] if it is none of these, or damaged; [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |message: String| Error::data(path, message);
        let about = fs::metadata(path).map_err(Error::io(path))?;
        let folder = |folder: &Path| {
            if folder.join("x.npy").is_file() {
                return Ok(Kind::Folder(folder.to_path_buf()));
            }
            Err(wrong("has no `x.npy`; give the folder with x.npy and y.npy, or a file".into()))
        };
        let kind = if about.is_dir() {
            folder(path)?
        } else if !about.is_file() {
            return Err(wrong("is no regular file; give one".into()));
        } else {
            let mut file = BufReader::new(read::open(path)?);
            let mut start = Vec::new();
            file.by_ref().take(6).read_to_end(&mut start).map_err(Error::io(path))?;
            match start.as_slice() {
                [b'P', b'K', ..] => {
                    std::io::Seek::rewind(&mut file).map_err(Error::io(path))?;
                    Kind::Zip(ZipArchive::new(file).map_err(|error| {
                        wrong(format!("is damaged, or no .npz ({error}); write it anew"))
                    })?)
                }
                b"\x93NUMPY" if path.file_name().is_some_and(|name| name == "x.npy") => {
                    folder(path.parent().unwrap_or(Path::new("")))?
                }
                b"\x93NUMPY" => {
                    let message = "is one array; name a folder with x.npy and y.npy, or save both with numpy.savez";
                    return Err(wrong(message.into()));
                }
                _ => {
                    let bytes = read::bytes(path)?;
                    if let Err(message) = TensorFile::parse(&bytes) {
                        let message = format!("no .npz, and as safetensors: {message}");
                        return Err(wrong(message));
                    }
                    Kind::Tensors(bytes)
                }
            }
        };
        Ok(Self { path: path.to_path_buf(), kind })
    }

    /// The names of its arrays.
    fn names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Tensors(bytes) => match TensorFile::parse(bytes) {
                Ok(file) => file.tensors.keys().cloned().collect(),
                Err(_) => Vec::new(),
            },
            Kind::Zip(zip) => {
                let names = zip.file_names().flatten();
                names.map(|name| name.trim_end_matches(".npy").to_string()).collect()
            }
            Kind::Folder(folder) => {
                let name = |entry: fs::DirEntry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    name.strip_suffix(".npy").map(str::to_string)
                };
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                let mut names: Vec<String> = entries.filter_map(name).collect();
                names.sort();
                names
            }
        }
    }

    /// The array `name`, which must be there.
    ///
    /// # Errors
    /// As [`ArrayFile::read`], and [`Error::Data`] that says which arrays there are.
    pub fn need(&mut self, name: &str) -> Result<Array> {
        match self.read(name)? {
            Some(array) => Ok(array),
            None => {
                let names = self.names();
                let there = if names.is_empty() { "nothing".into() } else { listed(&names) };
                Err(self.wrong(format!("holds no array `{name}`; it holds {there}")))
            }
        }
    }

    /// The array `name`, if it is there.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged or of a type that is not read; [`Error::Io`].
    pub fn read(&mut self, name: &str) -> Result<Option<Array>> {
        let path = self.path.clone();
        let wrong = |message: String| Error::data(&path, message);
        match &mut self.kind {
            Kind::Tensors(bytes) => {
                let file = TensorFile::parse(bytes).map_err(wrong)?;
                file.tensors.get(name).map(of_tensor(name)).transpose().map_err(wrong)
            }
            Kind::Zip(zip) => {
                let place = zip.index_for_name(&format!("{name}.npy"));
                let Some(place) = place.or_else(|| zip.index_for_name(name)) else {
                    return Ok(None);
                };
                let entry = zip.by_index(place).map_err(|error| {
                    wrong(format!("the array `{name}`: {error}; write it anew with numpy.savez"))
                })?;
                let (size, packed) = (entry.size(), entry.compressed_size());
                if size > packed.saturating_mul(MOST_UNFOLDED).saturating_add(LONGEST_HEADER) {
                    let message = format!(
                        "the array `{name}` says that its {packed} bytes unfold to {size}: it is damaged"
                    );
                    return Err(wrong(message));
                }
                FILE.check(&path, &format!("the array `{name}` has"), size)?;
                let array = of_npy(name, BufReader::new(entry), size);
                array.map(Some).map_err(wrong)
            }
            Kind::Folder(folder) => {
                let own = folder.join(format!("{name}.npy"));
                let about = match fs::metadata(&own) {
                    Ok(about) => about,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(Error::io(&own)(error)),
                };
                FILE.check(&own, "has", about.len())?;
                let file = BufReader::new(read::open(&own)?);
                let array = of_npy(name, file, about.len());
                array.map(Some).map_err(|message| Error::data(&own, message))
            }
        }
    }

    /// The error of this file.
    pub fn wrong(&self, message: impl Into<String>) -> Error {
        Error::data(&self.path, message.into())
    }
}

fn of_tensor(name: &str) -> impl Fn(&safetensors::tensor::TensorView<'_>) -> Result<Array, String> {
    move |tensor| {
        let data = tensor.data();
        let values = match tensor.dtype() {
            Dtype::F32 => Values::Floats(little_endian(data, f32::from_le_bytes).collect()),
            Dtype::F16 => {
                let halves = little_endian(data, f16::from_le_bytes);
                Values::Floats(halves.map(f32::from).collect())
            }
            Dtype::BF16 => {
                let halves = little_endian(data, half::bf16::from_le_bytes);
                Values::Floats(halves.map(f32::from).collect())
            }
            Dtype::F64 => {
                let doubles = little_endian(data, f64::from_le_bytes);
                Values::Rounded(doubles.map(|value| value as f32).collect())
            }
            Dtype::U8 => Values::Bytes(data.to_vec()),
            Dtype::I32 => {
                Values::Integers(little_endian(data, i32::from_le_bytes).map(i64::from).collect())
            }
            Dtype::U32 => {
                Values::Integers(little_endian(data, u32::from_le_bytes).map(i64::from).collect())
            }
            Dtype::I16 => {
                Values::Integers(little_endian(data, i16::from_le_bytes).map(i64::from).collect())
            }
            Dtype::U16 => {
                Values::Integers(little_endian(data, u16::from_le_bytes).map(i64::from).collect())
            }
            Dtype::I8 => {
                Values::Integers(little_endian(data, i8::from_le_bytes).map(i64::from).collect())
            }
            Dtype::I64 => Values::Integers(little_endian(data, i64::from_le_bytes).collect()),
            Dtype::U64 => signed(name, little_endian(data, u64::from_le_bytes).collect())?,
            other => {
                return Err(format!(
                    "the array `{name}` is {other}; give floats (f16, f32, f64) or integers"
                ));
            }
        };
        Ok(Array { shape: tensor.shape().to_vec(), values })
    }
}

/// The array in a `.npy` of `bytes` bytes.
fn of_npy(name: &str, mut reader: impl Read, bytes: u64) -> Result<Array, String> {
    let damaged = |error: std::io::Error| format!("the array `{name}` is damaged: {error}");
    // The header by itself: what it says must fit what follows.
    let mut start = vec![0; 12];
    reader.read_exact(&mut start[..10]).map_err(damaged)?;
    let mut length = u64::from(u16::from_le_bytes([start[8], start[9]]));
    let mut before = 10;
    if start[6] > 1 {
        reader.read_exact(&mut start[10..]).map_err(damaged)?;
        length = u64::from(u32::from_le_bytes([start[8], start[9], start[10], start[11]]));
        before = 12;
    }
    if length > LONGEST_HEADER {
        return Err(format!("the array `{name}` is damaged: a header of {length} bytes"));
    }
    start.truncate(before);
    reader.by_ref().take(length).read_to_end(&mut start).map_err(damaged)?;
    let header = String::from_utf8_lossy(&start[before..]).into_owned();
    let elements = elements_of(&header);
    let rest = bytes.saturating_sub(start.len() as u64);
    if elements.is_none_or(|elements| elements > rest) {
        return Err(format!(
            "the array `{name}` is truncated or damaged: {rest} bytes follow its header, which says: {}",
            header.trim()
        ));
    }
    let file = NpyFile::new(Cursor::new(start).chain(reader.by_ref())).map_err(damaged)?;
    if file.uses_pickled_array() {
        return Err(format!(
            "the array `{name}` holds Python objects; give numbers, in NumPy with `.astype(numpy.float32)` (lists of \
             different lengths: fill up and add `count`)"
        ));
    }
    let shape: Vec<usize> = file.shape().iter().map(|size| *size as usize).collect();
    let fortran = file.order() == Order::Fortran;
    let values = values_of(name, file)?.map_err(damaged)?;
    // Behind its end a zip says whether it is what was written.
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(damaged)?;
    Ok(Array { values: if fortran { values.row_major(&shape) } else { values }, shape })
}

/// The product of the shape in a header's text; none if it cannot be counted.
fn elements_of(header: &str) -> Option<u64> {
    let (_, shape) = header.split_once("'shape'")?;
    let (_, shape) = shape.split_once('(')?;
    let (shape, _) = shape.split_once(')')?;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().ok()).try_fold(1_u64, |product, size| product.checked_mul(size?))
}

/// The elements of a `.npy`, of whatever type they are.
fn values_of<R: Read>(name: &str, file: NpyFile<R>) -> Result<std::io::Result<Values>, String> {
    let dtype = file.dtype().descr();
    macro_rules! of {
        ($file:ident, $type:ty, $wrap:expr) => {
            let $file = match $file.try_data::<$type>() {
                Ok(data) => return Ok(data.collect::<std::io::Result<Vec<$type>>>().map($wrap)),
                Err(file) => file,
            };
        };
    }
    of!(file, f32, Values::Floats);
    of!(file, f64, |all| Values::Rounded(all.into_iter().map(|value| value as f32).collect()));
    of!(file, f16, |all| Values::Floats(all.into_iter().map(f32::from).collect()));
    of!(file, i64, Values::Integers);
    let file = match file.try_data::<u64>() {
        Ok(data) => {
            let all = data.collect::<std::io::Result<Vec<u64>>>();
            return all
                .map(|all| signed(name, all))
                .map_or_else(|error| Ok(Err(error)), |all| all.map(Ok));
        }
        Err(file) => file,
    };
    of!(file, i32, |all| Values::Integers(all.into_iter().map(i64::from).collect()));
    of!(file, u8, Values::Bytes);
    of!(file, u32, |all| Values::Integers(all.into_iter().map(i64::from).collect()));
    of!(file, i16, |all| Values::Integers(all.into_iter().map(i64::from).collect()));
    of!(file, u16, |all| Values::Integers(all.into_iter().map(i64::from).collect()));
    of!(file, i8, |all| Values::Integers(all.into_iter().map(i64::from).collect()));
    of!(file, bool, |all| Values::Bytes(all.into_iter().map(u8::from).collect()));
    drop(file);
    Err(format!(
        "the array `{name}` is of the type {dtype}; give floats (f16, f32, f64) or integers"
    ))
}

/// Unsigned integers of 64 bits, as far as they have a sign's room.
fn signed(name: &str, all: Vec<u64>) -> Result<Values, String> {
    let large = |value| format!("the array `{name}` holds {value}; give integers below 2^63");
    let all = all.into_iter().map(|value| i64::try_from(value).map_err(|_| large(value)));
    all.collect::<Result<_, _>>().map(Values::Integers)
}

impl Values {
    /// Elements that lie column-major, row-major.
    fn row_major(self, shape: &[usize]) -> Self {
        match self {
            Self::Floats(all) => Self::Floats(row_major(&all, shape)),
            Self::Rounded(all) => Self::Rounded(row_major(&all, shape)),
            Self::Integers(all) => Self::Integers(row_major(&all, shape)),
            Self::Bytes(all) => Self::Bytes(row_major(&all, shape)),
        }
    }
}

fn row_major<T: Copy>(column_major: &[T], shape: &[usize]) -> Vec<T> {
    let mut place = vec![0; shape.len()];
    let mut all = Vec::with_capacity(column_major.len());
    for _ in 0..column_major.len() {
        let index = place.iter().zip(shape).rev().fold(0, |index, (at, size)| index * size + at);
        all.push(column_major[index]);
        for (at, size) in place.iter_mut().zip(shape).rev() {
            *at += 1;
            if *at < *size {
                break;
            }
            *at = 0;
        }
    }
    all
}
