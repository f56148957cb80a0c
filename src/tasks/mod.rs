//! Where tasks come from: plain types and readers, no GPU.

pub mod arrays;
mod arrivals;
mod batches;
mod data_folder;
mod data_set;
mod decode;
mod episodes;
mod image_cache;
pub mod image_folder;
mod images;
mod left_out;
pub(crate) mod names;
pub mod omniglot;
mod spec;
mod stored_split;

pub use arrivals::TaskFiles;
pub use batches::{Batches, Segment};
pub use data_set::{DataSet, Reading};
pub use episodes::{EpisodeClass, EpisodeList, Episodes};
pub use images::{Bits, ImageClass, ImageSet, Split, SplitClass, SplitPart};
pub use names::listed;
pub use spec::{
    Background, EpisodeSpec, GlyphsSpec, ImagesSpec, OmniglotSpec, SineSpec, TaskSpec, Variation,
};
pub use stored_split::StoredSplit;
