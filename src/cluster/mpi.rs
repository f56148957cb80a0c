//! Ranks that are processes, on one machine or many, which MPI starts.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mpi::environment::Universe;
use mpi::point_to_point::{Message, Status};
use mpi::request::{Request, Scope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, MatchedReceiveVec, Source};

use crate::cluster::ranks::numbered;
use crate::cluster::{Failure, Transport};
use crate::error::{Error, Result};

/// How long a wait looks without giving the processor away for good.
const BUSY: Duration = Duration::from_micros(200);
/// How often it looks then.
const LOOK: Duration = Duration::from_micros(50);
/// What the thread that trains gets to tell the user why the job ends: it may be at a submission of some seconds, and whoever
/// waits for more than that hangs.
const GRACE: Duration = Duration::from_secs(5);

/// One process of a job that `mpirun` or Slurm started; alone, the only one of its job. It stays on the thread that opened it.
///
/// Where the job cannot go on, it tells the [`Failure`], waits until the thread that trains has left, and ends the processes
/// of all ranks (`MPI_Abort`).
pub struct Mpi {
    /// Of what went wrong, apart from all else.
    failures: SimpleCommunicator,
    world: SimpleCommunicator,
    timeout: Duration,
    hosts: Vec<String>,
    failure: Arc<Failure>,
    /// Ends MPI when it goes, the last of all fields.
    _universe: Universe,
}

impl Mpi {
    /// Starts MPI on this thread. A rank waits for the others up to `timeout` before it gives the job up.
    ///
    /// # Errors
    /// [`Error::Ranks`] if MPI runs in this process already, or another rank does not answer.
    pub fn open(timeout: Duration, failure: Arc<Failure>) -> Result<Self> {
        let started = mpi::initialize_with_threading(mpi::Threading::Funneled);
        let Some((universe, _)) = started else {
            return Err(Error::Ranks(
                "MPI was started before in this process; start it once".into(),
            ));
        };
        let world = universe.world();
        let failures = world.duplicate();
        let hosts = vec!["a host that has not said its name".into(); world.size() as usize];
        let mut ranks = Self { failures, world, timeout, hosts, failure, _universe: universe };
        let own = mpi::environment::processor_name().unwrap_or_else(|_| "unknown".into());
        let all = ranks.exchange(vec![own.into_bytes(); ranks.size()])?;
        ranks.hosts = all.into_iter().map(|host| String::from_utf8_lossy(&host).into()).collect();
        Ok(ranks)
    }

    /// All other ranks.
    fn peers(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.rank();
        (0..self.size()).filter(move |rank| *rank != own)
    }

    /// Asks `done` until it breaks; it says which ranks are still missing. Does not return where the job cannot go on.
    fn until(&self, mut done: impl FnMut() -> ControlFlow<(), Vec<usize>>) {
        let began = Instant::now();
        while let ControlFlow::Continue(missing) = done() {
            self.look();
            let waited = began.elapsed();
            if waited > self.timeout {
                self.give_up(&missing);
            }
            if waited < BUSY { std::thread::yield_now() } else { std::thread::sleep(LOOK) }
        }
    }

    /// Ends the job if a rank has failed, this one or another.
    fn look(&self) {
        if let Some(reason) = self.failure.own() {
            self.tell(&reason);
            self.failure.until_left(GRACE);
            self.abort();
        }
        if let Some(told) = self.failures.any_process().immediate_matched_probe() {
            let (reason, status) = told.matched_receive_vec::<u8>();
            let (rank, reason) = (status.source_rank() as usize, String::from_utf8_lossy(&reason));
            let text = format!("rank {rank} on {}: {reason}", self.hosts[rank]);
            self.end(text, self.rank() == 0);
        }
    }

    /// Ends the job, for which ranks are missing.
    fn give_up(&self, missing: &[usize]) -> ! {
        let mut hosts: Vec<&str> = missing.iter().map(|rank| &self.hosts[*rank][..]).collect();
        hosts.dedup();
        let text = format!(
            "{} on {}: no answer for {} seconds; wait longer if so long a round is to be expected",
            numbered(missing),
            hosts.join(", "),
            self.timeout.as_secs_f64(),
        );
        self.end(text, (0..self.rank()).all(|rank| missing.contains(&rank)))
    }

    /// Ends the job for what is known of others; `speaks`: this rank is the one that tells the user.
    fn end(&self, reason: String, speaks: bool) -> ! {
        self.failure.of_others(reason, speaks);
        self.failure.until_left(GRACE);
        if !speaks {
            // The one that does ends all.
            std::thread::sleep(GRACE);
        }
        self.abort()
    }

    /// Tells all others why this rank cannot go on, as far as they listen.
    fn tell(&self, reason: &str) {
        let began = Instant::now();
        scope(|scope| {
            let mut sends: Vec<_> = self
                .peers()
                .map(|rank| {
                    let to = self.failures.process_at_rank(rank as i32);
                    (rank, to.immediate_send(scope, reason.as_bytes()))
                })
                .collect();
            while !sends.is_empty() {
                finish(&mut sends);
                if began.elapsed() > GRACE {
                    self.abort();
                }
                std::thread::sleep(LOOK);
            }
        });
    }

    fn abort(&self) -> ! {
        self.world.abort(1)
    }
}

/// A message on its way to or from a rank.
type Sent<'a, D, S> = (usize, Request<'a, D, S>);

/// Takes out what has arrived.
fn finish<'a, D: ?Sized, S: Scope<'a>>(requests: &mut Vec<Sent<'a, D, S>>) {
    let left = |(rank, request): Sent<'a, D, S>| Some((rank, request.test().err()?));
    *requests = std::mem::take(requests).into_iter().filter_map(left).collect();
}

/// Goes on as long as ranks are missing.
fn unless_all(mut missing: Vec<usize>) -> ControlFlow<(), Vec<usize>> {
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(missing) }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    fn exchange(&mut self, mut messages: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        let (rank, size) = (self.rank(), self.size());
        let mut received = vec![Vec::new(); size];
        scope(|sending| {
            let mut sends: Vec<_> = self
                .peers()
                .map(|peer| {
                    let to = self.world.process_at_rank(peer as i32);
                    (peer, to.immediate_send(sending, &messages[peer][..]))
                })
                .collect();
            // How long each is, is known once it begins to arrive.
            let mut begun: Vec<_> = (0..size).map(|_| None).collect();
            self.until(|| {
                let still = |begun: &[Option<_>], peer: &usize| begun[*peer].is_none();
                for peer in self.peers() {
                    if still(&begun, &peer) {
                        let from = self.world.process_at_rank(peer as i32);
                        begun[peer] = from.immediate_matched_probe();
                    }
                }
                unless_all(self.peers().filter(|peer| still(&begun, peer)).collect())
            });
            for (buffer, begun) in received.iter_mut().zip(&begun) {
                let bytes =
                    |(_, status): &(Message, Status)| status.count(u8::equivalent_datatype());
                buffer.resize(begun.as_ref().map_or(0, bytes) as usize, 0);
            }
            scope(|receiving| {
                let mut takes: Vec<_> = begun
                    .into_iter()
                    .zip(&mut received)
                    .enumerate()
                    .filter_map(|(peer, (begun, buffer))| {
                        let (message, _) = begun?;
                        let take =
                            message.immediate_matched_receive_into(receiving, &mut buffer[..]);
                        Some((peer, take))
                    })
                    .collect();
                self.until(|| {
                    finish(&mut takes);
                    finish(&mut sends);
                    let (from, to) = (takes.iter().map(|it| it.0), sends.iter().map(|it| it.0));
                    unless_all(from.chain(to).collect())
                });
            });
        });
        received[rank] = std::mem::take(&mut messages[rank]);
        Ok(received)
    }

    fn check(&mut self) -> Result<()> {
        self.look();
        Ok(())
    }
}
