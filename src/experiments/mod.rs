//! What is made of many runs: cells of the paper, sweeps, benchmarks.

pub mod bench;
pub mod reproduce;
pub mod sweep;
