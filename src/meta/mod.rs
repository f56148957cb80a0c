//! Reptile: inner loops, outer update, schedules, the trainer, evaluation and adaptation.

mod adaptation;
mod adaptation_builder;
mod arrays;
mod budget;
mod checks;
mod codec;
mod evaluation;
mod images;
mod inner;
mod layers;
mod memory;
mod online;
mod query;
mod schedule;
mod setup;
mod source;
mod spec;
mod strategy;
mod strategy_spec;
mod summary;
mod task_batches;
mod trainer;
mod trainer_builder;
mod training_state;
mod warm_start;
mod waves;

pub use crate::dispatch::InnerRule;
pub use crate::optimizers::{InnerOptimizer, OuterOptimizer};
pub use adaptation::{Adaptation, AdaptationSetup, Score, Starts};
pub use adaptation_builder::AdaptationBuilder;
pub use arrays::DeviceArrays;
pub use budget::{memory, memory_bytes};
pub use codec::{CodeLayout, Coded, largest_differences, largest_differences_async};
#[cfg(feature = "files")]
pub(crate) use evaluation::{Tested, evaluate_until};
pub use evaluation::{
    evaluate, evaluate_async, evaluate_episodes, evaluate_episodes_async, evaluate_models,
    evaluate_models_async, evaluate_warm, evaluate_warm_async,
};
pub use images::DeviceImages;
pub use inner::InnerLoop;
pub use online::Leader;
pub use query::DeviceRows;
pub use schedule::Schedule;
pub use setup::{RunSettings, TrainerSetup};
pub use source::{Origin, TaskBuffers, try_functions, try_functions_async};
pub use spec::{
    Algorithm, EvalSpec, InnerSpec, MemorySpec, OuterSpec, PlanKind, StatePolicy, StopSpec,
};
pub use strategy_spec::{Granularity, StrategyKind, StrategySpec};
pub use summary::{Mean, Summary, number, pooled};
pub use task_batches::{Start, in_batches, in_batches_async};
pub use trainer::{IterationMetrics, Trainer};
pub use trainer_builder::TrainerBuilder;
pub use training_state::{Sets, StartingPoint, TrainingState};
pub use warm_start::{best_entries, best_entries_async};
