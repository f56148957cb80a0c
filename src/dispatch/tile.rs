//! How a kernel's work is cut for a device: variants that change its speed, and never its bytes, since
//! every sum has the same order in all of them.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::gpu::{Gpu, Loads, Profile};

/// Who owns a tile, and how many rows it has (of a product), row vectors (of a weights' gradient) or
/// none (of a task's whole inner loop); or how many tasks go through the layers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// A subgroup of `lanes`, each with `width` vector columns: values go around by broadcasts.
    Subgroup {
        /// Invocations of the subgroup.
        lanes: usize,
        /// Rows of the tile.
        rows: usize,
        /// Columns of a lane, in vectors of four.
        width: usize,
    },
    /// A workgroup of `slices` groups of invocations: values go around in workgroup memory, and each group sums other
    /// blocks of the inner dimension.
    Workgroup {
        /// What a group is, and what each of its invocations owns.
        group: Group,
        /// How many groups.
        slices: usize,
    },
    /// A workgroup of so many groups, in which each invocation loads what it multiplies itself, and each group sums other
    /// blocks.
    Direct(usize),
    /// A workgroup of so many invocations.
    Invocations(usize),
    /// The same, which holds a task's weights in workgroup memory.
    Resident(usize),
    /// So many tasks at a time.
    Tasks(usize),
    /// Not cut otherwise, but read from there.
    From(Loads),
}

/// Eight rows of invocations that own a tile together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Invocations in a row, 8 or 16: beside each other over the columns.
    pub across: usize,
    /// Rows of an invocation.
    pub rows: usize,
    /// Columns of an invocation, in vectors of four.
    pub width: usize,
    /// What goes through workgroup memory in a round: vectors of a product's rows, pixels of a weights' gradient.
    pub depth: usize,
}

impl Group {
    /// One of `across` invocations in a row, each with `rows` rows of `width` vector columns, `depth` at a time.
    pub const fn new(across: usize, [rows, width]: [usize; 2], depth: usize) -> Self {
        Self { across, rows, width, depth }
    }

    /// How many invocations it has.
    pub const fn invocations(&self) -> usize {
        8 * self.across
    }

    /// Columns of its tile, in vectors of four.
    pub const fn columns(&self) -> usize {
        self.across * self.width
    }
}

impl Display for Tile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subgroup { lanes, rows, width } => write!(f, "subgroup{lanes}x{rows}x{width}"),
            Self::Workgroup { group, slices } => {
                let Group { rows, width, depth, .. } = group;
                write!(f, "workgroup{}x{slices}x{rows}x{width}x{depth}", group.invocations())
            }
            Self::Invocations(count) => write!(f, "workgroup{count}"),
            Self::Direct(groups) => write!(f, "direct{groups}"),
            Self::Resident(count) => write!(f, "resident{count}"),
            Self::Tasks(count) => write!(f, "tasks{count}"),
            Self::From(Loads::Mirrors) => f.write_str("mirrors"),
            Self::From(Loads::Buffers) => f.write_str("buffers"),
        }
    }
}

impl FromStr for Tile {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "mirrors" => return Ok(Self::From(Loads::Mirrors)),
            "buffers" => return Ok(Self::From(Loads::Buffers)),
            _ => {}
        }
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or(());
        let (kind, numbers) = text.split_at(text.find(|c: char| c.is_ascii_digit()).ok_or(())?);
        match (kind, numbers.split_once('x')) {
            ("subgroup", Some((lanes, size))) => {
                let (rows, width) = size.split_once('x').ok_or(())?;
                let [lanes, rows, width] = [number(lanes)?, number(rows)?, number(width)?];
                Ok(Self::Subgroup { lanes, rows, width })
            }
            ("workgroup", Some((invocations, size))) => {
                let sizes: Vec<&str> = size.split('x').collect();
                let [slices, rows, width, depth] = *sizes.as_slice() else { return Err(()) };
                let across = match number(invocations)? {
                    64 => 8,
                    128 => 16,
                    _ => return Err(()),
                };
                let group = Group::new(across, [number(rows)?, number(width)?], number(depth)?);
                Ok(Self::Workgroup { group, slices: number(slices)? })
            }
            ("workgroup", None) => Ok(Self::Invocations(number(numbers)?)),
            ("direct", None) => Ok(Self::Direct(number(numbers)?)),
            ("resident", None) => Ok(Self::Resident(number(numbers)?)),
            ("tasks", None) => Ok(Self::Tasks(number(numbers)?)),
            _ => Err(()),
        }
    }
}

/// The cuts that a kernel, or a chunk of tasks, of one shape may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    /// Kernel and shape: what the device's table of variants knows the choice by.
    pub key: String,
    /// Without a measurement, the first is taken.
    pub candidates: Vec<Tile>,
}

impl Tiles {
    /// Where kernels may read what they don't write, if a device has the choice.
    pub fn loads(profile: &Profile) -> Option<Self> {
        let candidates = [Loads::Mirrors, Loads::Buffers].map(Tile::From).to_vec();
        profile.mirrors.then(|| Self { key: Loads::KEY.to_string(), candidates })
    }

    /// The one that was found to be the fastest here, or the profile's default.
    pub fn choose(&self, gpu: &Gpu) -> Tile {
        let tuned = gpu.variant(&self.key).and_then(|name| name.parse().ok());
        tuned.filter(|tile| self.candidates.contains(tile)).unwrap_or(self.candidates[0])
    }

    /// Whether a measurement has chosen among these candidates.
    pub fn is_known(&self, gpu: &Gpu) -> bool {
        let tuned = gpu.variant(&self.key).and_then(|name| name.parse().ok());
        tuned.is_some_and(|tile| self.candidates.contains(&tile))
    }
}

/// What is summed by itself, whatever the tile: a chain of thousands of numbers would round too much, and several
/// groups of invocations can share the blocks of a sum. A rule of the profile: on a software device no groups share
/// them, and long ones cost less.
pub(crate) struct Blocks {
    /// Vectors of a product's row at most, taps included.
    pub vectors: usize,
    /// Pixels of a weights' gradient, about.
    pub pixels: usize,
}

impl Blocks {
    pub fn of(profile: &Profile) -> Self {
        match profile.software {
            true => Self { vectors: 64, pixels: 256 },
            false => Self { vectors: 32, pixels: 64 },
        }
    }
}

/// Workgroups of so many bytes of workgroup memory that run at once on a large GPU. Measured on an H200, by Vulkan: each of 132
/// multiprocessors has 60 KiB for all of its workgroups, and each takes a KiB more than it says.
pub(crate) const fn at_once(bytes: usize) -> usize {
    132 * ((60 << 10) / (bytes + 1024))
}

/// Numbers of batches beyond this one have the same tiles: any GPU is busy then.
pub const MOST_BATCHES: usize = 128;

/// What the device's table of variants knows a kernel by. How many batches there are says which tiles keep a real
/// GPU busy; a software device is busy with one.
pub(crate) fn key(profile: &Profile, kernel: &str, shape: &str, count: usize) -> String {
    match profile.software {
        true => format!("{kernel}, {shape}"),
        false => {
            format!("{kernel}, {shape}, {} batches", count.next_power_of_two().min(MOST_BATCHES))
        }
    }
}

/// The tiles of one or several groups of invocations that a product may have.
pub(crate) struct Groups<'a> {
    /// Those that there are.
    pub kinds: &'a [Group],
    /// Vectors of columns that there are.
    pub columns: usize,
    /// Blocks that groups can share at most.
    pub blocks: usize,
    /// Vectors of workgroup memory for so many groups.
    pub vectors: fn(Group, usize) -> usize,
}

impl Groups<'_> {
    /// Those that have room. The first is `default` in so many groups, or as many as fit.
    pub fn candidates(&self, profile: &Profile, default: Group, slices: usize) -> Vec<Tile> {
        // No invocation without columns, but in the smallest group.
        let useful = |group: Group| group.columns() == 8 || self.columns > group.columns() / 2;
        let room = |slices: usize, group: Group| {
            slices <= self.blocks.max(1)
                && group.invocations() * slices <= profile.largest_workgroup as usize
                && 16 * (self.vectors)(group, slices) <= profile.workgroup_memory as usize
        };
        let counts = counts(self.blocks);
        let most = counts.iter().find(|count| **count <= slices && room(**count, default));
        let default = Tile::Workgroup { group: default, slices: most.copied().unwrap_or(1) };
        let all = counts.iter().rev().flat_map(|slices| {
            let fitting =
                self.kinds.iter().filter(|group| useful(**group) && room(*slices, **group));
            fitting.map(|group| Tile::Workgroup { group: *group, slices: *slices })
        });
        [default].into_iter().chain(all.filter(|tile| *tile != default)).collect()
    }
}

/// Groups that may share `blocks` blocks, so that each has as many as the others or one fewer: one for each, one for two, …, a
/// single one; 16 at most.
fn counts(blocks: usize) -> Vec<usize> {
    let halves = std::iter::successors(Some(blocks.max(1)), |groups| {
        (*groups > 1).then(|| groups.div_ceil(2))
    });
    halves.filter(|groups| *groups <= 16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_share_blocks_evenly() {
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(5), [5, 3, 2, 1]);
        assert_eq!(counts(35), [9, 5, 3, 2, 1]);
        // As many as there may be, however long the sum.
        assert_eq!(counts(105), [14, 7, 4, 2, 1]);
        assert_eq!(counts(420), [14, 7, 4, 2, 1]);
        assert_eq!(counts(100_000), [13, 7, 4, 2, 1]);
    }

    #[test]
    fn names_are_read_back() {
        for tile in [
            Tile::Subgroup { lanes: 8, rows: 32, width: 2 },
            Tile::Workgroup { group: Group::new(8, [4, 1], 4), slices: 1 },
            Tile::Workgroup { group: Group::new(16, [8, 1], 8), slices: 5 },
            Tile::Invocations(128),
            Tile::Resident(256),
            Tile::Direct(31),
            Tile::Tasks(16),
            Tile::From(Loads::Mirrors),
            Tile::From(Loads::Buffers),
        ] {
            assert_eq!(tile.to_string().parse(), Ok(tile));
        }
        for wrong in [
            "",
            "subgroup",
            "subgroup8",
            "subgroup8x2",
            "workgroup64x",
            "workgroup64x1x2x1",
            "workgroup64x1x2x1x4x1",
            "workgroup32x1x2x1x4",
            "group8x2",
            "workgroup0",
        ] {
            assert_eq!(wrong.parse::<Tile>(), Err(()), "{wrong}");
        }
    }
}
