//! Everything that runs on a device, on every adapter of the machine; `cargo test --test device -- NAME`
//! runs the tests whose names contain NAME, of a module, a driver, a mode or a random case.

#[path = "../common/mod.rs"]
mod common;

mod adapted;
mod arrays;
mod bench;
mod browser;
mod cluster;
mod compression;
mod episodes;
mod every_kernel;
mod filled;
mod forms;
mod frozen;
mod functions;
mod golden;
mod golden_device;
mod golden_reference;
mod harness;
mod inner_loops;
mod kernels_gather;
mod kernels_layers;
mod kernels_other;
mod memory;
mod mirrors;
mod misuse;
mod online;
mod pending;
mod sampling;
mod shaders;
mod sines;
mod sizes;
mod spare_outputs;
mod strategy;
mod sweep;
mod telemetry;
mod tools;
mod trainer;
mod trainer_images;
mod tuning;
mod twins;
mod uploads;
mod waiting;

use std::process::ExitCode;

use harness::Tests;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut tests = Tests::default();
    // Those that take long come first; what several wait for comes before them, and others in between.
    tests.module("every_kernel", every_kernel::first);
    tests.module("browser", browser::tests);
    tests.module("tuning", tuning::tests);
    tests.module("every_kernel", every_kernel::tests);
    tests.module("shaders", shaders::tests);
    tests.module("kernels_layers", kernels_layers::tests);
    tests.module("inner_loops", inner_loops::tests);
    tests.module("golden_device", golden_device::tests);
    tests.module("golden_reference", golden_reference::tests);
    tests.module("trainer_images", trainer_images::tests);
    tests.module("trainer", trainer::tests);
    tests.module("strategy", strategy::tests);
    tests.module("bench", bench::tests);
    tests.module("sampling", sampling::tests);
    tests.module("arrays", arrays::tests);
    tests.module("filled", filled::tests);
    tests.module("functions", functions::tests);
    tests.module("frozen", frozen::tests);
    tests.module("kernels_gather", kernels_gather::tests);
    tests.module("kernels_other", kernels_other::tests);
    tests.module("cluster", cluster::tests);
    tests.module("compression", compression::tests);
    tests.module("episodes", episodes::tests);
    tests.module("memory", memory::tests);
    tests.module("mirrors", mirrors::tests);
    tests.module("uploads", uploads::tests);
    tests.module("misuse", misuse::tests);
    tests.module("waiting", waiting::tests);
    tests.module("sizes", sizes::tests);
    tests.module("spare_outputs", spare_outputs::tests);
    tests.module("online", online::tests);
    tests.module("pending", pending::tests);
    tests.module("twins", twins::tests);
    tests.module("sweep", sweep::tests);
    tests.module("telemetry", telemetry::tests);
    let listed = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, tests.trials);
    if !listed {
        harness::print_costs();
    }
    conclusion.exit_code()
}
