//! The library's shortest ways: a preset, a stored run, an adaptation of what was learned.

use reptile::Error;
use reptile::config::Config;
use reptile::gpu::{AdapterChoice, Gpu, GpuOptions};
use reptile::meta::{Adaptation, Trainer};
use reptile::store::checkpoint::Checkpoint;

use crate::program::Run;
use crate::{asynchronous, embed, quick};

#[test]
fn the_embedding_example_learns_the_curve() {
    embed::main().unwrap();
}

/// From scratch the error is above 2.
#[test]
fn the_quick_example_learns_the_curve() {
    let error = quick::train_and_adapt().unwrap();
    assert!(error < 1.2, "{error}");
}

#[test]
fn the_async_example_learns_the_curve() {
    let error = pollster::block_on(asynchronous::train_and_adapt()).unwrap();
    assert!(error < 1.2, "{error}");
}

#[test]
fn a_stored_run_is_loaded_and_adapted() {
    let run = Run::train(&["--iterations", "20", "--set", "runs=2"]);
    let config = std::fs::read_to_string(run.path().join("config.toml")).unwrap();
    let model = Config::from_toml(&config, "config").unwrap().validate().unwrap();
    let stored = Checkpoint::load(&model, run.checkpoint("0000000020")).unwrap().state;
    let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default()).unwrap();
    let trainer = Trainer::load(&gpu, run.path()).unwrap();
    assert_eq!(trainer.iteration(), 20);
    assert_eq!(trainer.snapshot().unwrap(), stored);

    // With no rate to speak of, an adaptation stays where its run is.
    let still = |run| {
        let builder = Adaptation::builder(&trainer).run(run).tasks(3).support(4).queries(2);
        let adaptation = builder.steps(1).rate(1e-30).build().unwrap();
        let tasks = adaptation.tasks();
        tasks.upload_support_x(&gpu, trainer.model(), &[0.5; 12]).unwrap();
        tasks.upload_support_values(&gpu, trainer.model(), &[1.0; 12]).unwrap();
        tasks.upload_query_x(&gpu, trainer.model(), &[0.25; 6]).unwrap();
        adaptation.run(0).unwrap();
        assert_eq!(adaptation.query_outputs().unwrap()[1].as_ref().unwrap().len(), 6);
        adaptation.adapted().unwrap()
    };
    assert_eq!(still(1), vec![stored.parameters[1].clone(); 3]);
    assert_eq!(still(0), vec![stored.parameters[0].clone(); 3]);
}

#[test]
fn impossible_adaptations_are_named() {
    let gpu = Gpu::request(&AdapterChoice::default(), GpuOptions::default()).unwrap();
    let trainer = Trainer::preset(&gpu, "sine").unwrap();
    let message = |built: reptile::Result<Adaptation>| built.unwrap_err().to_string();
    let builder = || Adaptation::builder(&trainer);
    assert_eq!(message(builder().tasks(0).build()), "`tasks`: is 0; give 1 or more");
    assert_eq!(message(builder().support(0).build()), "`support`: is 0; give 1 or more");
    assert_eq!(message(builder().steps(0).build()), "`steps`: is 0; give 1 or more");
    assert_eq!(message(builder().batch(0).build()), "`batch`: is 0; give 1 or more");
    assert!(message(builder().rate(f32::NAN).build()).contains("give a number above 0"));
    assert!(message(builder().run(1).build()).contains("there is no run 1; the trainer has 1"));
    let preset = Trainer::preset(&gpu, "sinus").unwrap_err();
    assert!(matches!(&preset, Error::Config { key, .. } if key == "preset"), "{preset}");
    let folder = tempfile::tempdir().unwrap();
    let nothing = Trainer::load(&gpu, folder.path()).unwrap_err().to_string();
    assert!(nothing.contains("holds no run"), "{nothing}");
}
