//! Readers of data sets: Omniglot, folders of images, the user's arrays, lists of tasks; and the split that a run was
//! trained on. No GPU.

mod array_file;
pub mod array_tasks;
pub mod arrays;
mod arrivals;
mod data_folder;
mod data_set;
mod decode;
mod episodes;
mod image_cache;
pub mod image_folder;
mod labelled;
mod left_out;
pub(crate) mod names;
pub mod omniglot;
mod stored_arrays;
mod stored_split;
pub mod task_functions;

pub use array_tasks::ArrayData;
pub use arrivals::TaskFiles;
pub use data_set::{DataSet, Reading};
pub use episodes::{EpisodeClass, EpisodeList};
pub use labelled::{Labelled, Unlabelled, labelled, unlabelled};
pub use names::listed;
pub use stored_arrays::{Normalization, StoredArrays};
pub use stored_split::StoredSplit;
pub use task_functions::FunctionData;
