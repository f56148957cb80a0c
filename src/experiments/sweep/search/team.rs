//! Who works at a sweep: one process, or one of several ranks, of which the first writes.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::Ranks;
use crate::error::{Error, Result};

/// One of them, seen from itself.
#[derive(Clone, Debug)]
pub(super) struct Team(Option<Arc<Ranks>>);

impl Team {
    /// Of these ranks, or alone.
    pub fn new(ranks: Option<Arc<Ranks>>) -> Self {
        Self(ranks)
    }

    /// The number of this one.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |ranks| ranks.rank())
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |ranks| ranks.size())
    }

    /// Whether this one writes.
    pub fn writes(&self) -> bool {
        self.rank() == 0
    }

    /// The result of a step, if all could take it.
    pub fn agree<T>(&self, result: Result<T>) -> Result<T> {
        match &self.0 {
            Some(ranks) => ranks.agree(result),
            None => result,
        }
    }

    /// Refuses others that have another `what` than this one's, `own`.
    pub fn same(&self, what: &str, own: &str) -> Result<()> {
        let all = self.gather(&own.to_string())?;
        match all.iter().position(|one| *one != all[0]) {
            Some(rank) => {
                let host = self.0.as_ref().map_or("this machine", |ranks| &ranks.hosts()[rank]);
                let message = format!(
                    "rank {rank} on {host} has another {what} than rank 0; give all the same"
                );
                Err(Error::Ranks(message))
            }
            None => Ok(()),
        }
    }

    /// What each of them says, in their order.
    pub fn gather<T: Clone + Serialize + DeserializeOwned>(&self, own: &T) -> Result<Vec<T>> {
        match &self.0 {
            Some(ranks) => ranks.gather(bytes(own))?.iter().map(|one| value(one)).collect(),
            None => Ok(vec![own.clone()]),
        }
    }

    /// What the first one has in the place of `own`.
    pub fn of_first<T: Clone + Serialize + DeserializeOwned>(&self, own: &T) -> Result<T> {
        match &self.0 {
            Some(ranks) => {
                let first = ranks.rank() == 0;
                value(&ranks.of_first(first.then(|| bytes(own)))?)
            }
            None => Ok(own.clone()),
        }
    }

    /// What the first one gives each of them.
    pub fn scatter(&self, mut messages: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        match &self.0 {
            Some(ranks) => ranks.scatter(messages),
            None => Ok(messages.swap_remove(0)),
        }
    }

    /// What each of them gives the first one.
    pub fn to_first(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        match &self.0 {
            Some(ranks) => ranks.to_first(own),
            None => Ok(vec![own]),
        }
    }
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}

fn value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let refused =
        |error| Error::Ranks(format!("what another rank says is not understood: {error}"));
    serde_json::from_slice(bytes).map_err(refused)
}
