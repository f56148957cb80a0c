//! What a task is: sine waves, glyphs, episodes over images, and its batches. No files, no GPU.

mod batches;
mod episodes;
mod images;
mod spec;

pub use batches::{Batches, Segment};
pub use episodes::Episodes;
pub use images::{Bits, ImageClass, ImageSet, Split, SplitClass, SplitPart};
pub use spec::{
    Background, EpisodeSpec, GlyphsSpec, ImagesSpec, OmniglotSpec, SineSpec, TaskSpec, Variation,
};
