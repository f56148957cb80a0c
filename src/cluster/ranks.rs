//! What a rank of a job knows of the others, from the thread that trains.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::mean::{Averager, sum};
use crate::cluster::{Exchange, Failure, Transport};
use crate::error::{Error, Result};

/// How often the transport is looked at while nothing is to be sent, and failures while something is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// What a transport gets to end a job that has failed.
const LEAVING: Duration = Duration::from_secs(30);

/// What the transport's thread is asked to do.
type Work = Box<dyn FnOnce(&mut dyn Transport) + Send>;

/// The ranks of a job, seen from one of them. Messages go through a thread of their own: what is begun goes on while the rank
/// works at something else.
#[derive(Debug)]
pub struct Ranks {
    rank: usize,
    /// The machine of each rank.
    hosts: Vec<String>,
    failure: Arc<Failure>,
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

/// Something that the transport's thread is at.
#[derive(Debug)]
pub(super) struct Begun<T> {
    result: Receiver<Result<T>>,
    failure: Arc<Failure>,
}

impl Ranks {
    /// Opens a transport on a thread of its own, where it stays.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn start<T: Transport>(
        open: impl FnOnce(Arc<Failure>) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let failure = Arc::<Failure>::default();
        let (work, asked) = channel::<Work>();
        let (tell, told) = channel();
        let own = failure.clone();
        let thread = std::thread::Builder::new().name("ranks".into()).spawn(move || {
            match open(own.clone()) {
                Ok(mut transport) => {
                    let _ = tell.send(Ok((transport.rank(), transport.hosts())));
                    serve(&mut transport, &asked, &own);
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        });
        let thread =
            thread.map_err(|error| Error::Ranks(format!("no thread for messages: {error}")))?;
        let (rank, hosts) = told.recv().map_err(|_| ended())??;
        Ok(Self { rank, hosts, failure, work: Some(work), thread: Some(thread) })
    }

    /// The number of this rank, 0..size. Rank 0 is the one that writes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.hosts.len()
    }

    /// The machine of each rank.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The number of this rank among those of its machine.
    pub fn place_on_host(&self) -> usize {
        self.hosts[..self.rank].iter().filter(|host| **host == self.hosts[self.rank]).count()
    }

    /// «rank 1 on host», «ranks 1 and 3 on host, other host».
    fn named(&self, ranks: &[usize]) -> String {
        let mut hosts: Vec<&str> = ranks.iter().map(|rank| &self.hosts[*rank][..]).collect();
        hosts.dedup();
        format!("{} on {}", numbered(ranks), hosts.join(", "))
    }

    /// The name of this rank in messages.
    pub fn name(&self) -> String {
        self.named(&[self.rank])
    }

    /// Begins something with the transport.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Transport) -> Result<T> + Send + 'static,
    ) -> Begun<T> {
        let (done, result) = channel();
        let boxed = Box::new(move |transport: &mut dyn Transport| {
            // Who asked may have gone.
            let _ = done.send(work(transport));
        });
        // Where the thread is gone, the result never comes, and that is said there.
        let _ = self.work.as_ref().map(|asked| asked.send(boxed));
        Begun { result, failure: self.failure.clone() }
    }

    /// What each rank has to say, in their order.
    ///
    /// # Errors
    /// [`Error::Ranks`] if another rank has failed or does not answer.
    pub fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let size = self.size();
        self.begin(move |transport| transport.exchange(vec![message; size])).wait()
    }

    /// What rank 0 has to say; the others give nothing.
    ///
    /// # Errors
    /// As [`Ranks::gather`].
    pub fn of_first(&self, message: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let mut all = self.gather(message.unwrap_or_default())?;
        Ok(all.swap_remove(0))
    }

    /// Rank 0 gives each rank something; the others give nothing.
    ///
    /// # Errors
    /// As [`Ranks::gather`].
    pub fn scatter(&self, messages: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        let size = self.size();
        let messages = if self.rank == 0 { messages } else { vec![Vec::new(); size] };
        let mut all = self.begin(move |transport| transport.exchange(messages)).wait()?;
        Ok(all.swap_remove(0))
    }

    /// What each rank has to say to rank 0, in their order; the others get nothing.
    ///
    /// # Errors
    /// As [`Ranks::gather`].
    pub fn to_first(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let mut messages = vec![Vec::new(); self.size()];
        messages[0] = message;
        self.begin(move |transport| transport.exchange(messages)).wait()
    }

    /// Puts the sums over all ranks in the place of `values`, of which all ranks have as many: the same bytes everywhere.
    ///
    /// # Errors
    /// As [`Ranks::gather`].
    pub fn sum(&self, values: &mut Vec<f32>) -> Result<()> {
        let mut own = std::mem::take(values);
        *values = self
            .begin(move |transport| {
                sum(transport, &mut own)?;
                Ok(own)
            })
            .wait()?;
        Ok(())
    }

    /// Puts the means over all ranks in the place of `values`, of which all ranks have as many, sent as `exchange` says; what that
    /// leaves out is lost.
    ///
    /// # Errors
    /// As [`Ranks::gather`].
    pub fn mean(&self, values: &mut Vec<f32>, exchange: Exchange) -> Result<()> {
        let mut own = std::mem::take(values);
        *values = self
            .begin(move |transport| {
                Averager::new(exchange).mean(transport, &mut own, false)?;
                Ok(own)
            })
            .wait()?;
        Ok(())
    }

    /// The result of a step that every rank has taken, if all of them could take it; all hear of it if one could not.
    ///
    /// # Errors
    /// [`Error::Ranks`] that names the ranks that could not, and why; as [`Ranks::gather`].
    pub fn agree<T, E: std::fmt::Display>(&self, result: std::result::Result<T, E>) -> Result<T> {
        let message = match &result {
            Ok(_) => Vec::new(),
            // `{:#}`: with what it was caused by.
            Err(error) => format!("{error:#}").into_bytes(),
        };
        let all = self.gather(message)?;
        let mut reasons: Vec<(String, Vec<usize>)> = Vec::new();
        for (rank, reason) in all.iter().enumerate().filter(|(_, reason)| !reason.is_empty()) {
            let reason = String::from_utf8_lossy(reason).into_owned();
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, ranks)) => ranks.push(rank),
                None => reasons.push((reason, vec![rank])),
            }
        }
        match result {
            Ok(value) if reasons.is_empty() => Ok(value),
            _ => {
                let size = self.size();
                let said = reasons.into_iter().map(|(reason, ranks)| match ranks.len() {
                    all if all == size => reason,
                    _ => format!("{}: {reason}", self.named(&ranks)),
                });
                Err(Error::Ranks(said.collect::<Vec<_>>().join("; ")))
            }
        }
    }

    /// Tells the others that this rank cannot go on, where one has failed that others wait for.
    pub fn fail(&self, reason: impl std::fmt::Display) {
        self.failure.fail(reason.to_string());
    }

    /// Whether what the ranks have found out together is this one's to say.
    pub fn speaks(&self) -> bool {
        self.failure.speaks().unwrap_or(self.rank == 0)
    }

    /// Whether this rank has failed, or has heard that others have.
    pub fn has_failed(&self) -> bool {
        self.failure.own().is_some() || self.failure.check().is_err()
    }

    /// Leaves a job that has failed, once the user has been told why. Where the transport ends the process, this does not
    /// return.
    pub fn leave(&self) {
        self.failure.leave();
        let began = Instant::now();
        while began.elapsed() < LEAVING && self.thread.as_ref().is_some_and(|it| !it.is_finished())
        {
            std::thread::sleep(LOOK);
        }
    }

    fn end(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say any more.
            let _ = thread.join();
        }
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        self.end();
    }
}

/// Does what is asked for, in order, until nobody can ask any more; looks for failures in between.
fn serve(transport: &mut dyn Transport, asked: &Receiver<Work>, failure: &Failure) {
    loop {
        match asked.recv_timeout(LOOK) {
            Ok(work) => work(transport),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = transport.check() {
                    failure.of_others(error.to_string(), transport.rank() == 0);
                }
            }
        }
    }
}

impl<T> Begun<T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// Those of the work; [`Error::Ranks`] if another rank has failed.
    pub fn wait(self) -> Result<T> {
        loop {
            match self.result.recv_timeout(LOOK) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => {
                    self.failure.check()?;
                    return Err(ended());
                }
                Err(RecvTimeoutError::Timeout) => self.failure.check()?,
            }
        }
    }
}

fn ended() -> Error {
    Error::Ranks("the thread for messages has ended; start the job again".into())
}

/// «rank 1», «ranks 1 and 3», «ranks 1, 2 and 3».
pub(crate) fn numbered(ranks: &[usize]) -> String {
    let texts: Vec<String> = ranks.iter().map(usize::to_string).collect();
    match &texts[..] {
        [] => "no rank".into(),
        [one] => format!("rank {one}"),
        [most @ .., last] => format!("ranks {} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Threads;

    fn ranks(size: usize) -> Vec<Ranks> {
        let transports = Threads::new(size, Duration::from_secs(60));
        transports.into_iter().map(|one| Ranks::start(|_| Ok(one)).unwrap()).collect()
    }

    #[test]
    fn a_step_that_some_could_not_take_ends_for_all() {
        let mut all = ranks(3);
        assert_eq!(all.iter().map(Ranks::rank).collect::<Vec<_>>(), [0, 1, 2]);
        let said = std::thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter_mut()
                .map(|ranks| {
                    scope.spawn(|| {
                        let first = ranks.of_first((ranks.rank() == 0).then(|| vec![7])).unwrap();
                        assert_eq!(first, [7]);
                        ranks.agree::<_, Error>(Ok(())).unwrap();
                        let own = if ranks.rank() == 0 { Ok(()) } else { Err("no device") };
                        ranks.agree(own).unwrap_err().to_string()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(said, ["ranks 1 and 2 on this machine: no device"; 3]);
    }

    #[test]
    fn a_rank_that_is_gone_is_named() {
        let mut all = ranks(2);
        drop(all.pop());
        let error = all[0].gather(Vec::new()).unwrap_err().to_string();
        assert!(error.contains("rank 1 has ended"), "{error}");
    }
}
