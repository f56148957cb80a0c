//! Ranks that are killed at random moments: every time all end, and the run goes on to the bytes of one that was stopped at the
//! same place in order.

use std::time::Duration;

use rand::RngExt;
use reptile::rng::{Part, Phase, Stream};

use crate::faults::{endless, ends, has_checkpoint, newest, processes, signal};
use crate::program::wait_for;
use crate::{done, mpirun, parameters, resume, train};

/// Kills in `make mpi-test`; `REPTILE_KILLS` is another number.
const KILLS: usize = 4;

#[test]
fn a_killed_job_goes_on_to_the_bytes_of_one_that_was_stopped() {
    let kills = std::env::var("REPTILE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut draws = Stream::new(kills as u64, Phase::Adapt, 0, 0).draws(Part::Task);
    let kinds: [&[&str]; 4] = [
        &[],
        &["--local-steps", "7"],
        &["--local-steps", "3", "--overlap", "--exchange", "int8"],
        &["--local-steps", "5", "--outer-optimizer", "nesterov", "--exchange", "f16"],
    ];
    let mut compared = 0;
    for kill in 0..kills {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("killed");
        let more = kinds[kill % kinds.len()];
        let (child, _) = endless(3, &out, more);
        // One of four may be killed while it starts.
        if draws.random_range(0..4) > 0 {
            wait_for(|| has_checkpoint(&out));
        }
        let moment = draws.random_range(0..1500);
        std::thread::sleep(Duration::from_millis(moment));
        // Those that have started.
        let ranks = processes(&child);
        let Some(rank) = ranks.get(draws.random_range(0..3)) else {
            signal(child.id(), "KILL");
            continue;
        };
        signal(*rank, "KILL");
        assert!(!ends(child, Duration::from_secs(20)).success(), "{kill}");
        if !out.join("config.toml").exists() || crate::program::numbers(&out).is_empty() {
            continue;
        }
        let newest = newest(&out);
        resume(&out, 3, newest + 30);
        // The same, stopped there.
        let stopped = folder.path().join("stopped");
        let constant = ["--distributed", "--set", "outer.schedule.kind=constant"];
        let flags = [&constant[..], more].concat();
        let iterations = newest.to_string();
        done(mpirun(3, &train("outer.meta_batch=2", &iterations, &flags, &stopped)));
        resume(&stopped, 3, newest + 30);
        let [a, b] = [&out, &stopped].map(|run| parameters(run, newest + 30));
        assert!(a == b, "{kill}: {more:?} at {newest} after {moment} ms");
        compared += 1;
    }
    eprintln!("{compared} of {kills} jobs had a checkpoint to go on from");
    assert!(
        3 * compared >= kills,
        "{compared} of {kills}: most were killed too early to tell anything"
    );
}
