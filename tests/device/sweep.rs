//! Sweeps: every run equals the run alone, and they stop and go on.

use crate::common::sweep_file::{BASE, write};
use crate::common::with;
use crate::harness::{Device, On, Tests, named};
use reptile::config::{Config, Job};
use reptile::experiments::sweep::{Prepared, Search};
use reptile::gpu::Gpu;
use reptile::meta::memory;
use reptile::store::checkpoint::Checkpoint;
use serde_json::Value;
use std::path::Path;

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST_OR_PLAIN, named!(every_run_of_a_sweep_equals_the_run_alone));
    tests.on(On::FIRST, named!(a_sweep_that_was_stopped_goes_on_exactly));
    tests.on(On::FIRST, named!(a_configuration_that_diverges_is_the_last_and_harms_no_other));
    tests.on(On::FIRST, named!(an_infinite_moment_of_the_optimiser_is_a_divergence));
    tests.on(On::FIRST, named!(a_sweep_knows_how_many_runs_the_device_has_room_for));
    tests.on(On::FIRST, named!(a_folder_is_taken_over_or_refused_for_what_it_holds));
}

fn job(gpu: &Gpu, config: Config) -> Job {
    Job::new(gpu, config, &mut |_, _| {}).unwrap()
}

fn start(gpu: &Gpu, file: &Path, out: &Path) -> Search {
    let prepared = Prepared::read(file).unwrap();
    let job = job(gpu, prepared.base().clone());
    Search::start(gpu, prepared, job, out).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The parameters that a finished sweep kept: trial, seed, and the set.
fn kept(gpu: &Gpu, file: &Path, out: &Path) -> Vec<([u64; 2], Vec<f32>)> {
    let base = Prepared::read(file).unwrap().base().clone();
    let model = job(gpu, base).model().clone();
    let mut kept = Vec::new();
    for batch in json(&out.join("state.json"))["before"].as_array().unwrap() {
        let path = out.join(batch["file"].as_str().unwrap());
        let sets = Checkpoint::load(&model, path).unwrap().state.parameters;
        let members = batch["members"].as_array().unwrap();
        let member = |it: &Value| [it[0].as_u64().unwrap(), it[1].as_u64().unwrap()];
        kept.extend(members.iter().map(member).zip(sets));
    }
    kept.sort_by_key(|(member, _)| *member);
    kept
}

fn every_run_of_a_sweep_equals_the_run_alone(Device { name, gpu, .. }: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "seeds = 2\n[values]\ninner.rate = [0.01, 0.05]\nouter.rate = [0.3, 1.0]\n\
         inner.steps = [2, 4]",
    );
    let out = folder.path().join("sweep");
    assert!(start(gpu, &file, &out).run(|_| true).unwrap());
    let kept = kept(gpu, &file, &out);
    assert_eq!(kept.len(), 16, "{name}");
    let base = Prepared::read(&file).unwrap().base().clone();
    for ([trial, seed], parameters) in kept {
        // The last key's values come fastest: inner.rate, inner.steps, outer.rate.
        let mut config = with(base.clone(), |it| it.seed = base.seed + seed);
        config.inner.rate = [0.01, 0.05][trial as usize / 4];
        config.inner.steps = Some([2, 4][trial as usize / 2 % 2]);
        config.outer.rate = [0.3, 1.0][trial as usize % 2];
        let mut alone = job(gpu, config).trainer(gpu).unwrap();
        alone.advance(12, |_| true).unwrap();
        let wanted = alone.snapshot().unwrap().parameters.remove(0);
        assert_eq!(parameters, wanted, "trial {trial}, seed {seed}, {name}");
    }
}

fn a_sweep_that_was_stopped_goes_on_exactly(Device { gpu, .. }: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "seeds = 2\nsearch = \"halving\"\nfirst = 3\neta = 2\n\
         [values]\ninner.rate = { log = [0.001, 0.1], count = 3 }\ninner.steps = [2, 3]",
    );
    let [straight, cut] = ["straight", "cut"].map(|name| folder.path().join(name));
    assert!(start(gpu, &file, &straight).run(|_| true).unwrap());
    // 6, 3 and 2 trials of two shapes, 3, 3 and 6 iterations: stopped wherever it can be.
    let mut search = start(gpu, &file, &cut);
    let mut sessions = 0;
    loop {
        let mut calls = 0;
        let stop_after = 1 + sessions % 4;
        let finished = search.run(|_| {
            calls += 1;
            calls < stop_after
        });
        drop(search);
        sessions += 1;
        if finished.unwrap() {
            break;
        }
        assert!(sessions < 100, "it gets on");
        let prepared = Prepared::reopen(&cut).unwrap();
        let job = job(gpu, prepared.base().clone());
        search = Search::resume(gpu, prepared, job, &cut).unwrap();
    }
    assert!(sessions > 5, "{sessions}");
    for name in ["state.json", "results.json", "best.toml"] {
        let [a, b] = [&straight, &cut].map(|out| std::fs::read(out.join(name)).unwrap());
        assert_eq!(a, b, "{name}");
    }
    assert_eq!(kept(gpu, &file, &straight), kept(gpu, &file, &cut));
    let rows = json(&cut.join("results.json"))["rows"].take();
    let iterations: Vec<u64> =
        rows.as_array().unwrap().iter().map(|row| row["iterations"].as_u64().unwrap()).collect();
    assert_eq!(iterations, [12, 12, 6, 3, 3, 3]);
}

fn a_configuration_that_diverges_is_the_last_and_harms_no_other(Device { gpu, .. }: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let mut results = Vec::new();
    for (name, rates) in [("with", "[1e12, 0.02]"), ("without", "[0.02]")] {
        let file = write(folder.path(), &format!("[values]\ninner.rate = {rates}"));
        let out = folder.path().join(name);
        assert!(start(gpu, &file, &out).run(|_| true).unwrap());
        results.push(json(&out.join("results.json"))["rows"].take());
    }
    assert_eq!(results[0][0]["metric"], results[1][0]["metric"]);
    assert_eq!(results[0][0]["values"]["inner.rate"], 0.02);
    assert!(results[0][1]["metric"].is_null() && results[0][1]["seeds"][0].is_null());
}

fn an_infinite_moment_of_the_optimiser_is_a_divergence(Device { gpu, .. }: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let adam = "\"iterations=12\", \"inner.optimizer=adam\", \"model.layers.0.activation=relu\", \
                \"model.layers.1.activation=relu\",";
    let file = folder.path().join("adam.toml");
    let base = BASE.replace("\"iterations=12\",", adam);
    std::fs::write(&file, format!("{base}[values]\ninner.rate = [3e4, 1e9, 0.02]")).unwrap();
    let out = folder.path().join("sweep");
    assert!(start(gpu, &file, &out).run(|_| true).unwrap());
    let rows = json(&out.join("results.json"))["rows"].take();
    assert_eq!(rows[0]["values"]["inner.rate"], 0.02);
    assert!(rows[2]["metric"].is_null(), "{rows}");
}

fn a_folder_is_taken_over_or_refused_for_what_it_holds(Device { gpu, .. }: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "[values]\ninner.rate = [0.02, 0.03]");
    let out = folder.path().join("sweep");
    // What a kill in the middle of a start leaves.
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("base.toml"), "half").unwrap();
    let mut search = start(gpu, &file, &out);
    assert!(!search.run(|progress| progress.iterations[0] < 5).unwrap());
    drop(search);
    let text = Prepared::check_unused(&out).unwrap_err().to_string();
    assert!(text.contains("already holds a sweep"), "{text}");
    // Other values than the states were trained with.
    let edited = std::fs::read_to_string(out.join("sweep.toml")).unwrap().replace("0.03", "0.3");
    std::fs::write(out.join("sweep.toml"), edited).unwrap();
    let prepared = Prepared::reopen(&out).unwrap();
    let base = job(gpu, prepared.base().clone());
    let text = Search::resume(gpu, prepared, base, &out).unwrap_err().to_string();
    assert!(text.contains("not what the sweep was begun with"), "{text}");
    std::fs::write(folder.path().join("mine"), "mine").unwrap();
    let text = Prepared::check_unused(folder.path()).unwrap_err().to_string();
    assert!(text.contains("is not empty"), "{text}");
    let text = Prepared::reopen(folder.path()).unwrap_err().to_string();
    assert!(text.contains("holds no sweep"), "{text}");
}

/// Nothing is made for it, so that the runs may be larger than a test's.
fn a_sweep_knows_how_many_runs_the_device_has_room_for(Device { gpu, .. }: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sweep.toml");
    let text =
        "preset = \"sine\"\nset = [\"outer.meta_batch=40\"]\n[values]\ninner.rate = [0.01, 0.02]\n";
    std::fs::write(&file, text).unwrap();
    let search = start(gpu, &file, &folder.path().join("out"));
    let setup = search.largest_setup().unwrap();
    assert_eq!(setup.runs, 2);
    let most = search.most_at_once(&setup);
    let needed = |runs| {
        let own = setup.own.iter().cycle().take(runs).copied().collect();
        memory(gpu, &with(setup.clone(), |it| (it.runs, it.own) = (runs, own)))
    };
    assert!(needed(most).is_ok(), "{most}");
    assert!((2..=4096).contains(&most) && (most == 4096 || needed(most + 1).is_err()), "{most}");
    // 4,417 parameters of 40 tasks a run.
    assert!(most < 4096 || gpu.profile().largest_binding > 1 << 31, "{most}");
}
