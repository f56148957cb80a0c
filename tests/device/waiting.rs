//! Recordings that wait, and numbers that are too large for them or do not fit together.

use crate::common::{numbers, with};
use crate::harness::{Device, On, Tests, named};
use crate::misuse::{adapting, drawn, model, refused, training};
use reptile::kernels::InnerRule;
use reptile::meta::{
    Adaptation, Algorithm, CodeLayout, Coded, Schedule, StrategyKind, StrategySpec, Trainer,
    TrainerSetup, largest_differences,
};
use reptile::optimizers::{Inner, InnerOptimizer, Outer, OuterOptimizer, Settings};

pub fn tests(tests: &mut Tests) {
    tests.on(On::FIRST, named!(recordings_that_wait_keep_their_settings));
    tests.on(On::FIRST, named!(recording_says_what_is_past_the_end));
    tests.on(On::FIRST, named!(numbers_beyond_those_of_the_device_are_refused));
    tests.on(On::FIRST, named!(impossible_numbers_of_optimisers_are_refused));
    tests.on(On::FIRST, named!(strategies_and_memories_that_do_not_fit_are_refused));
    tests.on(On::FIRST, named!(impossible_codes_are_refused));
}

/// More than the ring of settings holds is recorded before the first of it is submitted, and two batches of tasks.
fn recordings_that_wait_keep_their_settings(Device { name, gpu, .. }: &Device) {
    let setup = with(training(), |it| {
        it.iterations = 2 * Trainer::most_recorded() as u64;
        it.inner.schedule = Schedule::Linear { last: 0.0 };
    });
    let encoder = || gpu.device().create_command_encoder(&Default::default());
    let mut trainer = Trainer::new(gpu, setup.clone()).unwrap();
    let mut waiting = Vec::new();
    for iterations in [700, 700, Trainer::most_recorded() - 700] {
        let mut encoder = encoder();
        assert_eq!(trainer.record(&mut encoder, iterations).unwrap(), 0);
        waiting.push(encoder.finish());
    }
    gpu.queue().submit(waiting);
    let mut straight = Trainer::new(gpu, setup).unwrap();
    straight.advance(trainer.iteration(), |_| true).unwrap();
    assert_eq!(trainer.snapshot().unwrap(), straight.snapshot().unwrap(), "{name}");

    let adaptation = Adaptation::new(gpu, drawn(), 2).unwrap();
    let bytes = adaptation.parameters().size();
    let kept: Vec<_> = (0..2).map(|_| gpu.storage("kept", bytes).unwrap()).collect();
    let mut both = encoder();
    for (first, kept) in [0, 6].into_iter().zip(&kept) {
        adaptation.record(&mut both, first).unwrap();
        both.copy_buffer_to_buffer(adaptation.parameters(), 0, kept, 0, Some(bytes));
    }
    gpu.queue().submit([both.finish()]);
    for (first, kept) in [0, 6].into_iter().zip(&kept) {
        adaptation.run(first).unwrap();
        let read = |buffer| gpu.read::<f32>(buffer, 0, bytes as usize / 4).unwrap();
        assert_eq!(read(kept), read(adaptation.parameters()), "from task {first} on, {name}");
    }
}

fn recording_says_what_is_past_the_end(Device { gpu, .. }: &Device) {
    let setup = with(training(), |it| it.iterations = 5);
    let mut trainer = Trainer::new(gpu, setup).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let past: Vec<u64> =
        [3, 4, 2, 0].map(|count| trainer.record(&mut encoder, count).unwrap()).to_vec();
    assert_eq!(past, [0, 2, 2, 0]);
}

fn numbers_beyond_those_of_the_device_are_refused(Device { gpu, .. }: &Device) {
    let adaptation = Adaptation::new(gpu, adapting(), 2).unwrap();
    for task in [u32::MAX as usize, usize::MAX] {
        refused("run", adaptation.run(task), "first_task");
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        refused("record", adaptation.record(&mut encoder, task), "first_task");
    }
    adaptation.run(u32::MAX as usize - 2).unwrap();
    let buffer = adaptation.parameters();
    let floats = buffer.size() as usize / 4;
    assert_eq!(gpu.read::<f32>(buffer, 0, floats).unwrap().len(), floats);
    for (offset, count) in [(0, floats + 1), (floats, 1), (usize::MAX, 1), (0, usize::MAX)] {
        refused("read", gpu.read::<f32>(buffer, offset, count), "read fewer");
    }
    let mut trainer = Trainer::new(gpu, training()).unwrap();
    trainer.advance(1, |_| true).unwrap();
    trainer.advance(u64::MAX, |_| false).unwrap();
}

fn impossible_numbers_of_optimisers_are_refused(Device { gpu, .. }: &Device) {
    let default = Settings::DEFAULT;
    let inner = |optimizer, settings, part: &str| {
        let rule = Inner::new(optimizer, settings);
        let mut setup = training();
        setup.inner.set_rule(rule);
        refused(part, Trainer::new(gpu, setup), &format!("`inner.{part}`"));
        let setup = with(adapting(), |it| it.rule = InnerRule::Optimizer(rule));
        refused(part, Adaptation::new(gpu, setup, 2), &format!("`rule.{part}`"));
    };
    inner(InnerOptimizer::RmsProp, with(default, |it| it.rho = f32::NAN), "rho");
    inner(InnerOptimizer::Momentum, with(default, |it| it.momentum = 1.5), "momentum");
    inner(InnerOptimizer::Adam, with(default, |it| it.epsilon = 0.0), "epsilon");
    let decay = with(default, |it| it.decoupled_weight_decay = f32::INFINITY);
    inner(InnerOptimizer::AdamW, decay, "decoupled_weight_decay");
    let mut setup = training();
    let settings = with(default, |it| it.momentum = -1.0);
    setup.outer.set_rule(Outer::new(OuterOptimizer::Nesterov, settings));
    refused("outer", Trainer::new(gpu, setup), "`outer.momentum`");
}

fn strategies_and_memories_that_do_not_fit_are_refused(Device { gpu, .. }: &Device) {
    let learned = with(StrategySpec::default(), |it| it.kind = StrategyKind::Aruba);
    let setup = with(training(), |it| it.strategy = learned);
    Trainer::new(gpu, setup.clone()).unwrap();
    type Change = fn(&mut TrainerSetup);
    let cases: [(&str, Change); 10] = [
        ("inner.optimizer", |s| s.inner.optimizer = InnerOptimizer::Momentum),
        ("inner.schedule", |s| s.inner.schedule = Schedule::Linear { last: 0.0 }),
        ("outer.algorithm", |s| s.outer.algorithm = Algorithm::Fomaml),
        ("strategy.momentum", |s| {
            (s.strategy.momentum, s.outer.optimizer) = (0.5, OuterOptimizer::Nesterov);
        }),
        ("strategy.momentum", |s| s.strategy.momentum = 2.0),
        ("inner.rate", |s| s.strategy.min_rate = 0.5),
        ("strategy.min_rate", |s| (s.strategy.min_rate, s.strategy.max_rate) = (1.0, 0.1)),
        ("strategy.guard", |s| s.strategy.guard = Some(f32::NAN)),
        ("strategy.zeta", |s| s.strategy.zeta = f32::NAN),
        ("memory.blend", |s| (s.memory.capacity, s.memory.blend) = (4, f32::NAN)),
    ];
    for (part, change) in cases {
        let mut setup = setup.clone();
        change(&mut setup);
        refused(part, Trainer::new(gpu, setup), &format!("`{part}`"));
    }
}

fn impossible_codes_are_refused(Device { gpu, .. }: &Device) {
    let base = numbers(1, model().parameter_count());
    for bits in [0, 3, 32, 64] {
        refused("bits", CodeLayout::new(&model(), bits), "`bits`");
    }
    let layout = CodeLayout::new(&model(), 8).unwrap();
    refused("base", layout.encode(gpu, &base[1..], std::slice::from_ref(&base)), "`base`");
    refused("model", layout.encode(gpu, &base, &[base.clone(), vec![0.0]]), "`model 1`");
    let coded = layout.encode(gpu, &base, std::slice::from_ref(&base)).unwrap();
    refused("base", layout.decode(gpu, &base[1..], &coded), "`base`");
    let codes = Coded { codes: coded.codes[1..].to_vec(), ..coded.clone() };
    refused("codes", layout.decode(gpu, &base, &codes), "`codes`");
    let scales = Coded { scales: Vec::new(), ..coded };
    refused("scales", layout.decode(gpu, &base, &scales), "`codes`");
    for (base, kept) in [(&base[..], 0), (&base, base.len() + 1), (&[], 0)] {
        refused("kept", largest_differences(gpu, base, &[base.to_vec()], kept), "`kept`");
    }
    refused("set", largest_differences(gpu, &base, &[vec![0.0]], 1), "`model 0`");
}
