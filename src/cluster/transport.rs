//! What carries messages between the ranks of a job.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};

/// Messages between the ranks of a job, from one thread of each.
pub trait Transport {
    /// The number of this rank, 0..size.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// The machine of each rank.
    fn hosts(&self) -> Vec<String>;

    /// Gives `messages[r]` to rank r, and returns what each rank gave to this one, in their order. All ranks call it as
    /// often and in the same order.
    ///
    /// # Errors
    /// [`Error::Ranks`] if another rank has failed or does not answer.
    fn exchange(&mut self, messages: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>>;

    /// Looks, between exchanges, whether a rank has failed.
    ///
    /// # Errors
    /// [`Error::Ranks`] that says which and why.
    fn check(&mut self) -> Result<()>;
}

/// Why a job of several ranks ends, told between the thread that trains and the one that has the transport.
#[derive(Debug, Default)]
pub struct Failure {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
struct Told {
    /// What went wrong here.
    own: Option<String>,
    /// What is known of other ranks, and whether this rank is the one to say so.
    others: Option<(String, bool)>,
    /// Whether the thread that trains has nothing more to do.
    leaving: bool,
}

impl Failure {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told());
        self.changed.notify_all();
    }

    /// Says that this rank cannot go on.
    pub fn fail(&self, reason: String) {
        self.tell(|told| {
            told.own.get_or_insert(reason);
        });
    }

    /// What went wrong here.
    pub fn own(&self) -> Option<String> {
        self.told().own.clone()
    }

    /// Says that others cannot go on, or do not answer; `speaks`: that this rank is the one to tell the user.
    pub fn of_others(&self, reason: String, speaks: bool) {
        self.tell(|told| {
            told.others.get_or_insert((reason, speaks));
        });
    }

    /// That as an error.
    ///
    /// # Errors
    /// [`Error::Ranks`], once others have failed.
    pub fn check(&self) -> Result<()> {
        match &self.told().others {
            Some((reason, _)) => Err(Error::Ranks(reason.clone())),
            None => Ok(()),
        }
    }

    /// Whether this rank is the one to say what is known of others, once something is.
    pub fn speaks(&self) -> Option<bool> {
        self.told().others.as_ref().map(|(_, speaks)| *speaks)
    }

    /// Says that the thread that trains has told the user all there is to tell.
    pub fn leave(&self) {
        self.tell(|told| told.leaving = true);
    }

    /// Waits for that, but not longer than `most`.
    pub fn until_left(&self, most: Duration) {
        let waiting = |told: &mut Told| !told.leaving;
        let _ = self.changed.wait_timeout_while(self.told(), most, waiting);
    }
}
