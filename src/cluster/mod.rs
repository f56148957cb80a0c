//! Several processes, each with a device of its own, that train one network: the ranks of a job, in the words of MPI.
//!
//! - [`Transport`] carries messages between ranks: [`Threads`] between those of one process,
//!   `Mpi` (feature `mpi`) between processes and machines.
//! - [`Ranks`] is what a rank knows of the others: sums and means over all of them, in the order of the ranks, so that every
//!   rank has the same bytes and the same job gives them again.
//! - [`Distributed`] trains one network on all ranks.
//! - [`Network`] and [`Clock`] calculate what many ranks cost.
//! - [`DistributedSpec`] says how (docs/cluster.md).

#[cfg(feature = "files")]
mod agreed;
#[cfg(feature = "files")]
mod clock;
#[cfg(feature = "files")]
mod codec;
#[cfg(feature = "files")]
mod distributed;
#[cfg(feature = "files")]
mod mean;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "files")]
mod ranks;
mod spec;
#[cfg(feature = "files")]
mod threads;
#[cfg(feature = "files")]
mod transport;

#[cfg(feature = "files")]
pub use clock::{Clock, Network};
#[cfg(feature = "files")]
pub use distributed::{Distributed, Wishes};
#[cfg(feature = "files")]
pub(crate) use mean::segment;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
#[cfg(feature = "files")]
pub use ranks::Ranks;
pub use spec::{DistributedSpec, Exchange, RoundOptimizer};
#[cfg(feature = "files")]
pub use threads::Threads;
#[cfg(feature = "files")]
pub use transport::{Failure, Transport};
