use super::*;
use crate::disk::shell::quoted;
use crate::meta::TrainingState;
use crate::model::{Activation, ModelSpec};
use crate::store::checkpoint::{ARITHMETIC, RunInfo};

fn model() -> Model {
    Model::new(ModelSpec::builder(&[2]).dense(1, Activation::Linear)).unwrap()
}

fn checkpoint(iteration: u64) -> Checkpoint {
    let run = RunInfo {
        seed: 0,
        config_hash: String::new(),
        config: String::new(),
        split: None,
        arithmetic: ARITHMETIC,
        ranks: 1,
    };
    let parameters = vec![vec![iteration as f32; 3]];
    Checkpoint {
        run,
        state: TrainingState { iteration, runs: 1, parameters, ..Default::default() },
    }
}

fn iterations(run: &RunDirectory) -> Vec<u64> {
    run.checkpoints().unwrap().into_iter().map(|(iteration, _)| iteration).collect()
}

/// A run with checkpoints after 10, 20 and 30 iterations.
fn run_of_30(path: &Path) -> RunDirectory {
    let run = RunDirectory::create(path).unwrap();
    run.describe("seed = 0\n", None).unwrap();
    for iteration in [10, 20, 30] {
        run.save(&checkpoint(iteration), &model(), 3).unwrap();
    }
    run
}

#[test]
fn a_new_run_takes_a_missing_or_empty_folder_only() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("a/b");
    drop(run_of_30(&deep));
    let message = RunDirectory::create(&deep).unwrap_err().to_string();
    assert!(message.contains("already holds a run; resume it"), "{message}");
    assert_eq!(RunDirectory::open(&deep).unwrap().config_text().unwrap(), "seed = 0\n");

    let empty = tempfile::tempdir().unwrap();
    drop(RunDirectory::create(empty.path()).unwrap());
    drop(RunDirectory::create(empty.path()).expect("as left by a run that never began"));

    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("thesis.tex"), "text").unwrap();
    let message = RunDirectory::create(foreign.path()).unwrap_err().to_string();
    assert!(message.contains("is not empty: it holds `thesis.tex`"), "{message}");
    assert_eq!(entries(foreign.path()).unwrap().len(), 1, "nothing was added");

    let file = foreign.path().join("thesis.tex");
    let message = RunDirectory::create(&file).unwrap_err().to_string();
    assert!(message.contains("is a file"), "{message}");
}

#[test]
fn checkpoints_without_a_configuration_are_not_written_over() {
    let root = tempfile::tempdir().unwrap();
    drop(run_of_30(root.path()));
    fs::remove_file(root.path().join(CONFIG)).unwrap();
    let message = RunDirectory::create(root.path()).unwrap_err().to_string();
    assert!(message.contains("already holds a run"), "{message}");
    let message = RunDirectory::resume(root.path()).unwrap_err().to_string();
    assert!(message.contains("config.toml is missing"), "{message}");
    let message = RunDirectory::open(root.path().join("no")).unwrap_err().to_string();
    assert!(message.contains("no such folder"), "{message}");
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let root = tempfile::tempdir().unwrap();
    let run = run_of_30(root.path());
    let message = RunDirectory::resume(root.path()).unwrap_err().to_string();
    assert!(message.contains("another process trains this run"), "{message}");
    assert_eq!(iterations(&RunDirectory::open(root.path()).unwrap()), [10, 20, 30]);
    drop(run);
    RunDirectory::resume(root.path()).unwrap();
}

#[test]
fn the_newest_are_kept_and_the_best_and_the_one_just_stored() {
    let root = tempfile::tempdir().unwrap();
    let run = run_of_30(root.path());
    checkpoint(10).save(&model(), run.best_path()).unwrap();
    run.save(&checkpoint(40), &model(), 2).unwrap();
    assert_eq!(iterations(&run), [30, 40]);
    run.save(&checkpoint(5), &model(), 2).unwrap();
    assert_eq!(iterations(&run), [5, 30, 40]);
    run.save(&checkpoint(50), &model(), 0).unwrap();
    assert_eq!(iterations(&run), [50]);
    assert!(run.best_path().is_file());
    run.save(&checkpoint(60), &model(), 9).unwrap();
    run.set_aside_after(50).unwrap();
    assert_eq!((iterations(&run), run.best_iteration()), (vec![50], Some(10)));
    checkpoint(60).save(&model(), run.best_path()).unwrap();
    run.set_aside_after(50).unwrap();
    assert_eq!((iterations(&run), run.best_iteration()), (vec![50], None));
}

#[test]
fn later_checkpoints_are_set_aside_and_none_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let run = run_of_30(root.path());
    assert_eq!(run.set_aside_after(30).unwrap(), Vec::<PathBuf>::new());
    fs::write(run.metrics_path(), "lines").unwrap();
    let wanted =
        |names: &[&str]| names.iter().map(|name| root.path().join(name)).collect::<Vec<_>>();
    let aside = ["checkpoints/0000000030.safetensors.replaced", "metrics.jsonl.replaced"];
    assert_eq!(run.set_aside_after(20).unwrap(), wanted(&aside));
    assert_eq!(iterations(&run), [10, 20]);
    assert_eq!(Checkpoint::load(&model(), root.path().join(aside[0])).unwrap(), checkpoint(30));
    run.save(&checkpoint(30), &model(), 9).unwrap();
    let again = ["checkpoints/0000000030.safetensors.replaced-2", "metrics.jsonl.replaced-2"];
    assert_eq!(run.set_aside_after(20).unwrap(), wanted(&again));
    assert_eq!(fs::read_to_string(run.metrics_path()).unwrap(), "lines");
}

#[test]
fn a_name_of_another_iteration_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let run = run_of_30(root.path());
    let wrong = run.checkpoint_path(99);
    fs::copy(run.checkpoint_path(10), &wrong).unwrap();
    let message = run.latest(&model()).unwrap_err().to_string();
    assert!(message.contains("named after iteration 99 and holds iteration 10"), "{message}");
    assert!(message.contains("call it 0000000010.safetensors"), "{message}");
    let offer = format!("go on from {}", quoted(&run.checkpoint_path(30)));
    assert!(message.contains(&offer), "{message}");
    let message = Checkpoint::load_header(&wrong).unwrap_err().to_string();
    assert!(message.contains("named after iteration 99"), "{message}");
    // Names that are not numbers are anybody's.
    let mine = root.path().join("mine.safetensors");
    fs::copy(&wrong, &mine).unwrap();
    assert_eq!(Checkpoint::load(&model(), mine).unwrap(), checkpoint(10));
}

#[test]
fn the_latest_is_loaded_or_an_older_one_offered() {
    let root = tempfile::tempdir().unwrap();
    let run = run_of_30(root.path());
    assert_eq!(run.latest(&model()).unwrap(), Some(checkpoint(30)));
    let mut bytes = fs::read(run.checkpoint_path(30)).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(run.checkpoint_path(30), bytes).unwrap();
    let message = run.latest(&model()).unwrap_err().to_string();
    let offer = format!("go on from {}", quoted(&run.checkpoint_path(20)));
    assert!(message.contains("truncated") && message.contains(&offer), "{message}");
    run.set_aside_after(0).unwrap();
    assert_eq!(run.latest(&model()).unwrap(), None);
}

#[test]
fn what_a_killed_writer_left_is_ignored_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let run = run_of_30(root.path());
    let half = run.checkpoint_folder().join(".reptile-Ab3.tmp");
    fs::write(&half, "half a checkpoint").unwrap();
    assert_eq!(run.latest(&model()).unwrap(), Some(checkpoint(30)));
    drop(run);
    let run = RunDirectory::resume(root.path()).unwrap();
    assert!(!half.exists());
    assert_eq!(iterations(&run), [10, 20, 30]);
}

#[test]
fn a_run_a_folder_of_checkpoints_or_a_file_are_resolved() {
    let root = tempfile::tempdir().unwrap();
    let run = run_of_30(root.path());
    let newest = run.checkpoint_path(30);
    for path in [root.path().to_owned(), run.checkpoint_folder(), newest.clone()] {
        assert_eq!(resolve(&path).unwrap(), newest);
    }
    assert_eq!(resolve(run.checkpoint_path(10)).unwrap(), run.checkpoint_path(10));
    run.set_aside_after(0).unwrap();
    let message = resolve(root.path()).unwrap_err().to_string();
    assert!(message.contains("holds no checkpoint"), "{message}");
    let message = resolve(root.path().join("no")).unwrap_err().to_string();
    assert!(message.contains("no such file or folder"), "{message}");
}
