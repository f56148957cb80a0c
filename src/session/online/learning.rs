//! A stream under way: task by task, and from where it was stopped.

use super::stage::Stage;
use super::{Arrival, Arrivals, LEARNERS, Protocol, Report, State};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::meta::{Adaptation, Leader, StartingPoint};
use crate::store::checkpoint::RunInfo;

/// A stream that is learned from.
pub struct Learning<'a> {
    stage: Stage<'a>,
    protocol: Protocol,
    initial: Vec<f32>,
    /// Reptile, joint training.
    learners: [Leader; 2],
    /// One for each number of samples.
    scorers: Vec<Adaptation>,
    done: Vec<Arrival>,
    /// The parameters before the task that was given up in its middle, `[P]` each.
    given_up: Option<[Vec<f32>; 2]>,
}

impl<'a> Learning<'a> {
    /// Before the first task.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible numbers; as [`Adaptation::new`].
    pub fn start(
        gpu: &'a Gpu,
        config: &'a Config,
        arrivals: Arrivals<'a>,
        protocol: Protocol,
    ) -> Result<Self> {
        let initial = config.validate()?.initial(config.seed);
        Self::at(gpu, config, arrivals, protocol, [&initial, &initial], Vec::new())
    }

    /// Behind the last task of `state`, exactly.
    ///
    /// # Errors
    /// [`Error::Config`] if `arrivals` are not the tasks that it was begun with; as [`Learning::start`].
    pub fn resume(
        gpu: &'a Gpu,
        config: &'a Config,
        arrivals: Arrivals<'a>,
        state: State,
    ) -> Result<Self> {
        if arrivals.digest() != state.tasks {
            let message = "are not the files that the stream was begun with; name the folder that holds those";
            return Err(Error::config("arrivals", message));
        }
        let State { protocol, parameters: [reptile, joint], arrivals: done, .. } = state;
        Self::at(gpu, config, arrivals, protocol, [&reptile, &joint], done)
    }

    fn at(
        gpu: &'a Gpu,
        config: &'a Config,
        arrivals: Arrivals<'a>,
        protocol: Protocol,
        [reptile, joint]: [&[f32]; 2],
        done: Vec<Arrival>,
    ) -> Result<Self> {
        let stage = Stage { gpu, config, model: config.validate()?, arrivals };
        stage.check(&protocol)?;
        let initial = stage.model.initial(config.seed);
        let mut learners = [
            stage.leader(config.inner_steps(), config.outer.rate, reptile)?,
            stage.leader(1, 1.0, joint)?,
        ];
        for (learner, steps) in learners.iter_mut().zip(meta_steps(config, &protocol)) {
            learner.skip((done.len() as u64).wrapping_mul(steps as u64));
        }
        let scorer = |samples: &usize| stage.scorer(*samples);
        let scorers = protocol.samples.iter().map(scorer).collect::<Result<_>>()?;
        Ok(Self { stage, protocol, initial, learners, scorers, done, given_up: None })
    }

    /// Scores the next task and takes the meta-steps behind it; nothing at the end of the stream. As soon as `going` says no,
    /// the task is given up: there is nothing either, and [`Learning::state`] is that before the task.
    ///
    /// # Errors
    /// [`Error::Config`] if a learner diverges; as [`Leader::step`].
    pub fn next_arrival(&mut self, going: impl Fn() -> bool) -> Result<Option<&Arrival>> {
        let task = self.done.len();
        if task == self.protocol.tasks || self.given_up.is_some() {
            return Ok(None);
        }
        let [reptile, joint] = self.parameters()?;
        if let Some(run) =
            [&reptile, &joint].iter().position(|set| set.iter().any(|v| !v.is_finite()))
        {
            let message = format!(
                "the learner `{}` diverged before task {task}; lower it or outer.rate",
                LEARNERS[run]
            );
            return Err(Error::config("inner.rate", message));
        }
        let starts = [reptile, joint, self.initial.clone()].map(StartingPoint::new);
        let mut needed = [None; 3];
        let mut error = [f64::NAN; 3];
        for (samples, scorer) in self.protocol.samples.iter().zip(&mut self.scorers) {
            error = self.stage.score(scorer, *samples, &starts, task)?;
            for (needed, error) in needed.iter_mut().zip(error) {
                *needed = needed.or((error <= self.protocol.threshold).then_some(*samples));
            }
        }
        let steps = meta_steps(self.stage.config, &self.protocol);
        for (learner, steps) in self.learners.iter_mut().zip(steps) {
            for step in 0..steps {
                if !going() {
                    let [reptile, joint, _] = starts;
                    self.given_up = Some([reptile.parameters, joint.parameters]);
                    return Ok(None);
                }
                self.stage.learn(learner, task, step)?;
            }
        }
        self.done.push(Arrival { task, error, samples_to_threshold: needed });
        Ok(self.done.last())
    }

    /// What is known so far.
    pub fn report(&self) -> Report {
        Report::new(self.protocol.clone(), self.done.clone())
    }

    /// Tasks that have arrived.
    pub fn done(&self) -> usize {
        self.done.len()
    }

    /// What the stream goes on from.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the device does not answer.
    pub fn state(&self) -> Result<State> {
        let split = match self.stage.arrivals {
            Arrivals::Drawn(job) => job.stored_split(),
            Arrivals::Files(_) => None,
        };
        Ok(State {
            run: RunInfo::of(self.stage.config, split),
            folder: None,
            tasks: self.stage.arrivals.digest(),
            protocol: self.protocol.clone(),
            arrivals: self.done.clone(),
            parameters: match &self.given_up {
                Some(before) => before.clone(),
                None => self.parameters()?,
            },
        })
    }

    /// Those of Reptile and of joint training, `[P]` each.
    fn parameters(&self) -> Result<[Vec<f32>; 2]> {
        let [reptile, joint] = &self.learners;
        Ok([reptile.parameters()?, joint.parameters()?])
    }
}

/// Meta-steps behind a task: of Reptile, and as many gradients of joint training.
fn meta_steps(config: &Config, protocol: &Protocol) -> [usize; 2] {
    [protocol.meta_steps, protocol.meta_steps * config.inner_steps()]
}
