//! Adapted parameters as differences from what they were adapted from, coded on the device for many models
//! at once.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recording, Wait, now, size_of_f32s};
use crate::kernels::{self, Coding};
use crate::meta::budget::Parts;
use crate::model::Model;

/// Elements of a group with a scale of its own, where differences have 8 or 4 bits.
const GROUP: usize = 128;
/// Elements of a tensor's row, what one output unit or channel has, from which on signs have a scale for each row: shorter
/// rows would have more scales than signs.
const SHORTEST_ROW: usize = 32;

/// Differences of T models in few bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    /// `[T, words]`
    pub codes: Vec<u32>,
    /// `[T, groups]`: the largest difference of a group is scale · 127 (8 bits) or scale · 7 (4 bits); all of a
    /// group are ± scale (1 bit); unused (16 bits).
    pub scales: Vec<f32>,
}

/// Where the groups of a model's parameters lie: in canonical order, none across two tensors, each from a whole
/// word on.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeLayout {
    bits: usize,
    /// First element and first word of each group, and behind the last one.
    table: Vec<[u32; 2]>,
}

impl CodeLayout {
    /// Of codes with so many bits: 16, 8, 4 or 1.
    ///
    /// # Errors
    /// [`Error::Config`] for another number of bits.
    pub fn new(model: &Model, bits: usize) -> Result<Self> {
        if ![16, 8, 4, 1].contains(&bits) {
            let message = format!("{bits} are not possible; give 16, 8, 4 or 1");
            return Err(Error::config("bits", message));
        }
        let mut table = vec![[0, 0]];
        let (mut element, mut word) = (0, 0);
        for tensor in model.tensors() {
            let row = tensor.elements() / tensor.shape.first().map_or(1, |rows| *rows.max(&1));
            let size = match bits {
                8 | 4 => GROUP,
                1 if row >= SHORTEST_ROW => row,
                _ => tensor.elements(),
            };
            let end = element + tensor.elements();
            while element < end {
                let group = size.min(end - element);
                element += group;
                word += group.div_ceil(32 / bits);
                table.push([element as u32, word as u32]);
            }
        }
        Ok(Self { bits, table })
    }

    /// Groups of a model.
    pub fn groups(&self) -> usize {
        self.table.len() - 1
    }

    /// Words of the codes of a model.
    pub fn words(&self) -> usize {
        self.table[self.groups()][1] as usize
    }

    fn parameters(&self) -> usize {
        self.table[self.groups()][0] as usize
    }

    fn largest(&self) -> usize {
        self.table.windows(2).map(|pair| (pair[1][0] - pair[0][0]) as usize).max().unwrap_or(0)
    }

    /// Codes the differences of `sets` `[T][P]` from `base` `[P]`.
    ///
    /// # Errors
    /// [`Error::Config`] if a set is not as long as the parameters of the layout's model, [`Error::Limit`] if the device has
    /// no room for one model, [`Error::DeviceLost`].
    pub fn encode(&self, gpu: &Gpu, base: &[f32], sets: &[Vec<f32>]) -> Result<Coded> {
        now(self.encode_by(Wait::Blocking, gpu, base, sets))
    }

    /// The async twin of [`CodeLayout::encode`].
    ///
    /// # Errors
    /// As [`CodeLayout::encode`].
    pub async fn encode_async(&self, gpu: &Gpu, base: &[f32], sets: &[Vec<f32>]) -> Result<Coded> {
        self.encode_by(Wait::Awaiting, gpu, base, sets).await
    }

    async fn encode_by(
        &self,
        wait: Wait,
        gpu: &Gpu,
        base: &[f32],
        sets: &[Vec<f32>],
    ) -> Result<Coded> {
        check_lengths(self.parameters(), base, sets)?;
        let mut coded = Coded { codes: Vec::new(), scales: Vec::new() };
        let mut parts = Parts::new(0..sets.len(), at_once(gpu, self.parameters())?);
        while let Some(part) = parts.next() {
            if let Some(part) = parts.end(self.encode_part(wait, gpu, base, &sets[part]).await)? {
                coded.codes.extend(part.codes);
                coded.scales.extend(part.scales);
            }
        }
        Ok(coded)
    }

    /// Those of as many sets as the device has room for.
    async fn encode_part(
        &self,
        wait: Wait,
        gpu: &Gpu,
        base: &[f32],
        sets: &[Vec<f32>],
    ) -> Result<Coded> {
        let buffers = Buffers::new(gpu, self, base, sets.len())?;
        gpu.queue().write_buffer(&buffers.values, 0, bytemuck::cast_slice(&sets.concat()));
        let mut recording = Recording::default();
        kernels::compress(gpu, &mut recording, &buffers.coding(self, sets.len()))?;
        recording.run_times_by(wait, gpu, 1).await?;
        let [words, groups] = [self.words(), self.groups()].map(|one| sets.len() * one);
        let codes = wait.read::<u32>(gpu, &buffers.codes, 0, words).await?;
        let scales = wait.read::<f32>(gpu, &buffers.scales, 0, groups).await?;
        Ok(Coded { codes, scales })
    }

    /// The sets `[T][P]` that `coded` stands for.
    ///
    /// # Errors
    /// As [`CodeLayout::encode`]; [`Error::Config`] if `coded` does not hold whole models of this layout.
    pub fn decode(&self, gpu: &Gpu, base: &[f32], coded: &Coded) -> Result<Vec<Vec<f32>>> {
        now(self.decode_by(Wait::Blocking, gpu, base, coded))
    }

    /// The async twin of [`CodeLayout::decode`].
    ///
    /// # Errors
    /// As [`CodeLayout::decode`].
    pub async fn decode_async(
        &self,
        gpu: &Gpu,
        base: &[f32],
        coded: &Coded,
    ) -> Result<Vec<Vec<f32>>> {
        self.decode_by(Wait::Awaiting, gpu, base, coded).await
    }

    pub(crate) async fn decode_by(
        &self,
        wait: Wait,
        gpu: &Gpu,
        base: &[f32],
        coded: &Coded,
    ) -> Result<Vec<Vec<f32>>> {
        let (words, groups, parameters) = (self.words(), self.groups(), self.parameters());
        check_lengths(parameters, base, &[])?;
        let models = coded.codes.len() / words.max(1);
        if coded.codes.len() != models * words || coded.scales.len() != models * groups {
            let message = format!(
                "{} words and {} scales are no whole models of {words} and {groups}; decode them with the layout that \
                 they were made with",
                coded.codes.len(),
                coded.scales.len()
            );
            return Err(Error::config("codes", message));
        }
        let mut sets = Vec::new();
        let mut parts = Parts::new(0..models, at_once(gpu, parameters)?);
        while let Some(part) = parts.next() {
            let codes = &coded.codes[part.start * words..part.end * words];
            let scales = &coded.scales[part.start * groups..part.end * groups];
            let decoded =
                self.decode_part(wait, gpu, base, [codes, bytemuck::cast_slice(scales)]).await;
            if let Some(values) = parts.end(decoded)? {
                sets.extend(values.chunks_exact(parameters).map(<[f32]>::to_vec));
            }
        }
        Ok(sets)
    }

    /// The sets, one behind the other, of as many codes and scales as the device has room for.
    async fn decode_part(
        &self,
        wait: Wait,
        gpu: &Gpu,
        base: &[f32],
        [codes, scales]: [&[u32]; 2],
    ) -> Result<Vec<f32>> {
        let count = codes.len() / self.words();
        let buffers = Buffers::new(gpu, self, base, count)?;
        gpu.queue().write_buffer(&buffers.codes, 0, bytemuck::cast_slice(codes));
        gpu.queue().write_buffer(&buffers.scales, 0, bytemuck::cast_slice(scales));
        let mut recording = Recording::default();
        kernels::decompress(gpu, &mut recording, &buffers.coding(self, count))?;
        recording.run_times_by(wait, gpu, 1).await?;
        wait.read(gpu, &buffers.values, 0, count * self.parameters()).await
    }
}

/// Refuses sets that are not all of so many numbers.
fn check_lengths(parameters: usize, base: &[f32], sets: &[Vec<f32>]) -> Result<()> {
    let lengths = std::iter::once(base.len()).chain(sets.iter().map(Vec::len));
    match lengths.enumerate().find(|(_, length)| *length != parameters) {
        None => Ok(()),
        Some((place, length)) => {
            let name = if place == 0 { "base".into() } else { format!("model {}", place - 1) };
            let message =
                format!("has {length} numbers; give {parameters}, one for each parameter");
            Err(Error::config(name, message))
        }
    }
}

/// The size of the `kept`-th largest difference of each of `sets` `[T][P]` from `base` `[P]`; `kept` is 1..=P.
///
/// # Errors
/// As [`CodeLayout::encode`]; [`Error::Config`] for another `kept`.
pub fn largest_differences(
    gpu: &Gpu,
    base: &[f32],
    sets: &[Vec<f32>],
    kept: usize,
) -> Result<Vec<f32>> {
    now(largest_by(Wait::Blocking, gpu, base, sets, kept))
}

/// The async twin of [`largest_differences`].
///
/// # Errors
/// As [`largest_differences`].
pub async fn largest_differences_async(
    gpu: &Gpu,
    base: &[f32],
    sets: &[Vec<f32>],
    kept: usize,
) -> Result<Vec<f32>> {
    largest_by(Wait::Awaiting, gpu, base, sets, kept).await
}

async fn largest_by(
    wait: Wait,
    gpu: &Gpu,
    base: &[f32],
    sets: &[Vec<f32>],
    kept: usize,
) -> Result<Vec<f32>> {
    check_lengths(base.len(), base, sets)?;
    if !(1..=base.len()).contains(&kept) {
        let message = format!("{kept} of {} differences; give 1 to all of them", base.len());
        return Err(Error::config("kept", message));
    }
    let mut thresholds = Vec::new();
    let base_buffer = gpu.storage_with("base", base)?;
    let mut parts = Parts::new(0..sets.len(), at_once(gpu, base.len())?);
    while let Some(part) = parts.next() {
        let found = largest_of(wait, gpu, &base_buffer, &sets[part], kept).await;
        thresholds.extend(parts.end(found)?.into_iter().flatten());
    }
    Ok(thresholds)
}

/// Those of as many sets as the device has room for.
async fn largest_of(
    wait: Wait,
    gpu: &Gpu,
    base: &wgpu::Buffer,
    sets: &[Vec<f32>],
    kept: usize,
) -> Result<Vec<f32>> {
    let values = gpu.storage_with("models", &sets.concat())?;
    let found = gpu.storage("thresholds", size_of_f32s(sets.len()))?;
    let mut recording = Recording::default();
    let sizes = [sets.len(), sets[0].len(), kept];
    kernels::largest(gpu, &mut recording, sizes, base, &values, &found)?;
    recording.run_times_by(wait, gpu, 1).await?;
    wait.read(gpu, &found, 0, sets.len()).await
}

/// Models that one dispatch takes.
fn at_once(gpu: &Gpu, parameters: usize) -> Result<usize> {
    let (one, most) = (size_of_f32s(parameters), gpu.profile().largest_binding);
    if one > most {
        return Err(Error::Limit {
            unit: "bytes",
            what: "one model's parameters".into(),
            needed: one,
            available: most,
            remedy: "use another device".into(),
        });
    }
    Ok((most / one).min(u64::from(gpu.profile().largest_grid)) as usize)
}

struct Buffers {
    base: wgpu::Buffer,
    table: wgpu::Buffer,
    codes: wgpu::Buffer,
    scales: wgpu::Buffer,
    values: wgpu::Buffer,
}

impl Buffers {
    fn new(gpu: &Gpu, layout: &CodeLayout, base: &[f32], sets: usize) -> Result<Self> {
        let words = |name, count| gpu.storage(name, size_of_f32s(count));
        Ok(Self {
            base: gpu.storage_with("base", base)?,
            table: gpu.storage_with("groups", &layout.table)?,
            codes: words("codes", sets * layout.words())?,
            scales: words("scales", sets * layout.groups())?,
            values: words("models", sets * layout.parameters())?,
        })
    }

    fn coding(&self, layout: &CodeLayout, sets: usize) -> Coding<'_> {
        Coding {
            bits: layout.bits,
            sets,
            parameters: layout.parameters(),
            groups: layout.groups(),
            largest: layout.largest(),
            words: layout.words(),
            base: &self.base,
            table: &self.table,
            codes: &self.codes,
            scales: &self.scales,
            values: &self.values,
        }
    }
}
