//! Where tasks come from: plain types and readers, no GPU.

pub mod arrays;
mod batches;
mod images;
pub mod omniglot;
mod spec;

pub use batches::{Batches, Segment};
pub use images::{Bits, ImageClass, ImageSet, Split, SplitClass};
pub use spec::{OmniglotSpec, SineSpec, TaskSpec};
