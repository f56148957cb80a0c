//! Compressed adapted models: differences from the base that they were adapted from, in one safetensors file.
//!
//! Metadata (strings): `format`, `codec`, `models` (T), what [`Settings`] names, `base` (SHA-256 of the checkpoint's file)
//! among it, for `replay` also `adapted` (SHA-256 of the file that is made again) and `device`, and the digests of all of it
//! (`src/store/digests.rs`).
//!
//! | codec | tensors | error of a number |
//! |---|---|---|
//! | `f16` | `codes` u32 `[T, words]`: two halves a word | the half's rounding, up or down: up to 2⁻¹⁰ of the difference, and up to 2⁻²⁴ below 2⁻¹⁴, where halves are subnormal |
//! | `int8`, `int4` | `codes`: four or eight numbers a word; `scales` f32 `[T, groups]`, one for 128 numbers of a tensor | scale / 2 |
//! | `1bit` | `codes`: signs; `scales`: one for each row of a tensor (what an output has), or for the tensor where rows have fewer than 32 numbers | less than the differences, as a root of mean squares |
//! | `topk:F` | `counts` u32 `[T]`, `places` u32 `[N]`, `values` f32 `[N]`: the share F of the numbers that differ most | none for those, the difference for the others |
//! | `replay` | `tasks` u8: the file of tasks, if they were the user's own | none, on the same device |

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use safetensors::tensor::Dtype;

use crate::disk::tensor_file::{Data, TensorFile};
use crate::error::Result;
use crate::gpu::{Gpu, Wait, now};
use crate::meta::{CodeLayout, Coded, largest_differences};
use crate::model::Model;
use crate::store::adapted::{Adapted, Settings};
use crate::store::digests;

/// The format tag of the files.
pub const FORMAT: &str = "reptile-compressed-2";

/// How models are compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Codec {
    /// Halves.
    F16,
    /// 8 bits.
    Int8,
    /// 4 bits.
    Int4,
    /// Signs.
    OneBit,
    /// The share of the numbers that differ most.
    TopK(f64),
    /// How to adapt again.
    Replay,
}

impl Codec {
    /// Bits of a number, where all of them are coded.
    fn bits(self) -> Option<usize> {
        match self {
            Self::F16 => Some(16),
            Self::Int8 => Some(8),
            Self::Int4 => Some(4),
            Self::OneBit => Some(1),
            Self::TopK(_) | Self::Replay => None,
        }
    }
}

impl Display for Codec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::F16 => f.write_str("f16"),
            Self::Int8 => f.write_str("int8"),
            Self::Int4 => f.write_str("int4"),
            Self::OneBit => f.write_str("1bit"),
            Self::TopK(share) => write!(f, "topk:{share}"),
            Self::Replay => f.write_str("replay"),
        }
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str| {
            text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(|| {
                format!("`{text}` is no share; give topk:F with F above 0 and up to 1")
            })
        };
        match text {
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            "int4" => Ok(Self::Int4),
            "1bit" => Ok(Self::OneBit),
            "replay" => Ok(Self::Replay),
            _ => match text.strip_prefix("topk:") {
                Some(text) => share(text).map(Self::TopK),
                None => Err("the codecs are f16, int8, int4, 1bit, topk:F and replay".into()),
            },
        }
    }
}

/// What stands for the models.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// All numbers.
    Coded(Coded),
    /// Some numbers of each model, N in all.
    Sparse {
        /// `[T]`: numbers that are kept of each model.
        counts: Vec<u32>,
        /// `[N]`: their indices in the canonical layout, model after model.
        places: Vec<u32>,
        /// `[N]`: their differences from the base.
        values: Vec<f32>,
    },
    /// How they were made.
    Replay {
        /// SHA-256 of the adapted file, in hexadecimal digits.
        adapted: String,
        /// The device that the models were made on; on others the bytes may differ.
        device: String,
        /// Bytes of the file with the user's own tasks; none for test tasks of the run.
        tasks: Option<Vec<u8>>,
    },
}

/// T compressed models.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Compressed {
    /// What `payload` is coded with.
    pub codec: Codec,
    /// Models T.
    pub models: usize,
    /// How they were adapted.
    pub settings: Settings,
    /// The differences from the base, or what makes them again.
    pub payload: Payload,
}

impl Compressed {
    /// Compresses the parameters of `adapted`, `[T][P]`, as differences from `base` `[P]`.
    ///
    /// # Errors
    /// As [`CodeLayout::encode`].
    ///
    /// # Panics
    /// If the codec is [`Codec::Replay`], which needs no numbers.
    pub fn new(
        gpu: &Gpu,
        model: &Model,
        base: &[f32],
        adapted: &Adapted,
        codec: Codec,
    ) -> Result<Self> {
        let sets = &adapted.parameters;
        let payload = match (codec, codec.bits()) {
            (_, Some(bits)) => {
                Payload::Coded(CodeLayout::new(model, bits)?.encode(gpu, base, sets)?)
            }
            (Codec::TopK(share), None) => {
                let kept = ((share * base.len() as f64).ceil() as usize).clamp(1, base.len());
                let thresholds = largest_differences(gpu, base, sets, kept)?;
                sparse(base, sets, &thresholds)
            }
            (_, None) => panic!("a replay is made from its recipe"),
        };
        Ok(Self { codec, models: sets.len(), settings: adapted.settings.clone(), payload })
    }

    /// The models' parameters, `[T][P]`, from the `base` `[P]` that they were adapted from.
    ///
    /// # Errors
    /// As [`CodeLayout::encode`].
    ///
    /// # Panics
    /// If it is a replay.
    pub fn parameters(&self, gpu: &Gpu, model: &Model, base: &[f32]) -> Result<Vec<Vec<f32>>> {
        now(self.parameters_by(Wait::Blocking, gpu, model, base))
    }

    /// The async twin of [`Compressed::parameters`].
    ///
    /// # Errors
    /// As [`CodeLayout::encode`].
    ///
    /// # Panics
    /// If it is a replay.
    pub async fn parameters_async(
        &self,
        gpu: &Gpu,
        model: &Model,
        base: &[f32],
    ) -> Result<Vec<Vec<f32>>> {
        self.parameters_by(Wait::Awaiting, gpu, model, base).await
    }

    async fn parameters_by(
        &self,
        wait: Wait,
        gpu: &Gpu,
        model: &Model,
        base: &[f32],
    ) -> Result<Vec<Vec<f32>>> {
        match (&self.payload, self.codec.bits()) {
            (Payload::Coded(coded), Some(bits)) => {
                CodeLayout::new(model, bits)?.decode_by(wait, gpu, base, coded).await
            }
            (Payload::Sparse { counts, places, values }, _) => {
                let mut pairs = places.iter().zip(values);
                let set = |count: &u32| {
                    let mut set = base.to_vec();
                    for (place, value) in pairs.by_ref().take(*count as usize) {
                        set[*place as usize] += value;
                    }
                    set
                };
                Ok(counts.iter().map(set).collect())
            }
            _ => panic!("a replay has no numbers"),
        }
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = self.settings.fields();
        fields.insert("format".into(), FORMAT.into());
        fields.insert("codec".into(), self.codec.to_string());
        fields.insert("models".into(), self.models.to_string());
        let models = self.models;
        let mut tensors: BTreeMap<String, Data> = BTreeMap::new();
        let mut words = |name: &str, lead: &[usize], values: &[u32]| {
            let bytes = bytemuck::cast_slice(values).to_vec();
            tensors.insert(name.into(), Data { dtype: Dtype::U32, shape: lead.to_vec(), bytes });
        };
        match &self.payload {
            Payload::Coded(Coded { codes, scales }) => {
                words("codes", &[models, codes.len() / models], codes);
                if self.codec != Codec::F16 {
                    let shape = vec![models, scales.len() / models];
                    tensors.insert("scales".into(), Data::floats(shape, scales));
                }
            }
            Payload::Sparse { counts, places, values } => {
                words("counts", &[models], counts);
                words("places", &[places.len()], places);
                tensors.insert("values".into(), Data::floats(vec![values.len()], values));
            }
            Payload::Replay { adapted, device, tasks } => {
                fields.insert("adapted".into(), adapted.clone());
                fields.insert("device".into(), device.clone());
                if let Some(bytes) = tasks.clone() {
                    let data = Data { dtype: Dtype::U8, shape: vec![bytes.len()], bytes };
                    tensors.insert("tasks".into(), data);
                }
            }
        }
        digests::sealed(fields, &tensors)
    }

    /// The compressed models of `model` in a file's `bytes`.
    ///
    /// # Errors
    /// A sentence that says whether it is truncated, changed, of another model or another kind of file.
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Result<Self, String> {
        let file = TensorFile::parse(bytes)?;
        let field = |name: &str| {
            let field = file.metadata.get(name);
            field.ok_or_else(|| format!("metadata field `{name}` is missing"))
        };
        match file.metadata.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some("reptile-compressed-1") => {
                return Err("was written by an earlier version, under other digests; compress the models anew, or read it \
                            with that version"
                    .into());
            }
            _ => {
                return Err(format!(
                    "not compressed models: its `format` is not `{FORMAT}`; `reptile compress` writes those"
                ));
            }
        }
        digests::check(&file).map_err(|message| format!("{message}; compress the models anew"))?;
        let codec: Codec = field("codec")?.parse()?;
        let models: usize =
            field("models")?.parse().map_err(|_| "metadata field `models` is no number")?;
        let numbers = models.saturating_mul(model.parameter_count());
        if u32::try_from(numbers).is_err() {
            return Err(format!(
                "says that it holds {models} models, {numbers} numbers; at most {} are read",
                u32::MAX
            ));
        }
        let words = |name: &str, shape: &[usize]| file.words(name, shape);
        let payload = match (codec, codec.bits()) {
            (_, Some(bits)) => {
                let layout = CodeLayout::new(model, bits).map_err(|error| error.to_string())?;
                let tensors = model.tensors().len();
                if tensors != layout.groups()
                    && codec == Codec::OneBit
                    && has_scales(&file, [models, tensors])
                {
                    return Err("its signs have one scale for a tensor, as an earlier version wrote them; compress the models \
                                anew".into());
                }
                let scales = match codec {
                    Codec::F16 => vec![0.0; models * layout.groups()],
                    _ => file.floats("scales", &[models, layout.groups()])?,
                };
                let codes = words("codes", &[models, layout.words()])?;
                Payload::Coded(Coded { codes, scales })
            }
            (Codec::TopK(_), None) => {
                let counts = words("counts", &[models])?;
                let all: usize = counts.iter().map(|count| *count as usize).sum();
                let places = words("places", &[all])?;
                if places.iter().any(|place| *place as usize >= model.parameter_count()) {
                    return Err("tensor `places` names numbers that the model has not".into());
                }
                Payload::Sparse { counts, places, values: file.floats("values", &[all])? }
            }
            (_, None) => Payload::Replay {
                adapted: field("adapted")?.clone(),
                device: field("device")?.clone(),
                tasks: file.tensors.get("tasks").map(|tensor| tensor.data().to_vec()),
            },
        };
        Ok(Self { codec, models, settings: Settings::read(&file.metadata)?, payload })
    }
}

/// The differences of each set that are at least as large as its threshold, and not zero.
fn sparse(base: &[f32], sets: &[Vec<f32>], thresholds: &[f32]) -> Payload {
    let (mut counts, mut places, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (set, threshold) in sets.iter().zip(thresholds) {
        let before = places.len();
        for (place, (value, base)) in set.iter().zip(base).enumerate() {
            let difference = value - base;
            if difference.abs() >= *threshold && difference != 0.0 {
                places.push(place as u32);
                values.push(difference);
            }
        }
        counts.push((places.len() - before) as u32);
    }
    Payload::Sparse { counts, places, values }
}

/// Whether it has scales of this shape.
fn has_scales(file: &TensorFile<'_>, shape: [usize; 2]) -> bool {
    file.tensors.get("scales").is_some_and(|tensor| tensor.shape() == shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, ModelSpec};

    fn model() -> Model {
        let spec = ModelSpec::builder(&[2]).dense(3, Activation::Tanh).dense(1, Activation::Linear);
        Model::new(spec).unwrap()
    }

    fn compressed() -> Compressed {
        let settings = Settings {
            base: "ab".into(),
            steps: 4,
            batch: 10,
            rate: 0.02,
            optimizer: "sgd".into(),
            seed: 7,
            tasks: "test".into(),
            recipe: "{}".into(),
        };
        let payload = Payload::Sparse {
            counts: vec![2, 1],
            places: vec![0, 12, 5],
            values: vec![0.5, -1.0, 2.0],
        };
        Compressed { codec: Codec::TopK(0.1), models: 2, settings, payload }
    }

    #[test]
    fn files_read_back_and_damage_is_named() {
        let bytes = compressed().to_bytes();
        assert_eq!(Compressed::from_bytes(&model(), &bytes).unwrap(), compressed());
        for length in 0..bytes.len() {
            let message = Compressed::from_bytes(&model(), &bytes[..length]).unwrap_err();
            assert!(message.contains("truncated"), "{length} bytes: {message}");
        }
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(Compressed::from_bytes(&model(), &changed).unwrap_err().contains("changed"));
        let seed = bytes.windows(10).position(|window| window == b"\"seed\":\"7\"").unwrap();
        let mut changed = bytes.clone();
        changed[seed + 8] = b'8';
        assert!(Compressed::from_bytes(&model(), &changed).unwrap_err().contains("changed"));
        let payload = Payload::Replay { adapted: "ab".into(), device: "d".into(), tasks: None };
        let many = Compressed { models: 1 << 40, codec: Codec::Replay, payload, ..compressed() };
        let message = Compressed::from_bytes(&model(), &many.to_bytes()).unwrap_err();
        assert!(message.contains("1099511627776 models"), "{message}");
        let mut other = compressed();
        other.payload = Payload::Sparse { counts: vec![1, 0], places: vec![13], values: vec![1.0] };
        let message = Compressed::from_bytes(&model(), &other.to_bytes()).unwrap_err();
        assert!(message.contains("places"), "{message}");
    }

    #[test]
    fn codecs_have_names() {
        for name in ["f16", "int8", "int4", "1bit", "topk:0.01", "replay"] {
            assert_eq!(name.parse::<Codec>().unwrap().to_string(), name);
        }
        for wrong in ["", "int2", "topk", "topk:0", "topk:1.5", "topk:x", "topk:nan"] {
            assert!(wrong.parse::<Codec>().is_err(), "{wrong}");
        }
    }
}
