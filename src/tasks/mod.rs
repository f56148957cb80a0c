//! What a task is: sine waves, glyphs, episodes over images, examples in arrays, functions in WGSL, and its batches. No files, no GPU.

mod array_set;
mod arrays;
mod batches;
mod episodes;
mod function;
mod images;
mod part;
mod spec;

pub use array_set::{ArraySet, ArrayTargets};
pub use arrays::{ArraysSpec, Normalize};
pub use batches::{Batches, Segment};
pub use episodes::Episodes;
pub use function::{FunctionSpec, TaskFunctions};
pub use images::{Bits, ImageClass, ImageSet, Split, SplitClass};
pub use part::{SplitPart, TestClasses};
pub use spec::{
    Background, EpisodeSpec, GlyphsSpec, ImagesSpec, OmniglotSpec, SineSpec, TaskSpec, Variation,
};
