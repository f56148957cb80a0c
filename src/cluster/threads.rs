//! Ranks that are threads of one process: several devices of a program, and tests.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::cluster::Transport;
use crate::error::{Error, Result};

/// How often a rank that waits looks around.
const LOOK: Duration = Duration::from_millis(20);

/// One of several ranks in one process.
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    timeout: Duration,
    /// To each rank.
    to: Vec<Sender<Vec<u8>>>,
    /// From each rank.
    from: Vec<Receiver<Vec<u8>>>,
}

impl Threads {
    /// The `size` ranks of a job; each waits for the others up to `timeout`.
    pub fn new(size: usize, timeout: Duration) -> Vec<Self> {
        let mut ranks: Vec<Self> = (0..size)
            .map(|rank| Self { rank, timeout, to: Vec::new(), from: Vec::new() })
            .collect();
        for from in 0..size {
            for to in 0..size {
                let (sender, receiver) = channel();
                ranks[from].to.push(sender);
                ranks[to].from.push(receiver);
            }
        }
        ranks
    }
}

impl Transport for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn hosts(&self) -> Vec<String> {
        vec!["this machine".into(); self.to.len()]
    }

    fn exchange(&mut self, messages: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        let gone = |rank: usize| Error::Ranks(format!("rank {rank} has ended"));
        for (rank, message) in messages.into_iter().enumerate() {
            self.to[rank].send(message).map_err(|_| gone(rank))?;
        }
        let began = Instant::now();
        let take = |(rank, from): (usize, &Receiver<Vec<u8>>)| loop {
            match from.recv_timeout(LOOK) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Disconnected) => return Err(gone(rank)),
                Err(RecvTimeoutError::Timeout) if began.elapsed() < self.timeout => {}
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.timeout.as_secs();
                    let message = format!("rank {rank} did not answer for {seconds} seconds");
                    return Err(Error::Ranks(message));
                }
            }
        };
        self.from.iter().enumerate().map(take).collect()
    }

    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}
