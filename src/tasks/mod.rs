//! Where tasks come from: plain types and readers, no GPU.

pub mod arrays;
mod batches;
mod data_folder;
mod decode;
mod episodes;
pub mod image_folder;
mod images;
pub mod omniglot;
mod spec;

pub use batches::{Batches, Segment};
pub use episodes::{EpisodeClass, EpisodeList, Episodes};
pub use images::{Bits, ImageClass, ImageSet, Split, SplitClass, SplitPart};
pub use spec::{EpisodeSpec, GlyphsSpec, ImagesSpec, OmniglotSpec, SineSpec, TaskSpec, Variation};
