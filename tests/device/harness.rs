//! Which devices a test runs on, and the list of all tests: one for each device (and random case), so
//! that they run side by side and can be chosen by name.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use reptile::gpu::{AdapterChoice, AdapterEntry, Gpu, GpuOptions, list_adapters};
use reptile::wgpu::Backend;

use crate::common::with;

pub use crate::common::all;

/// A device and what it is opened as.
pub struct Device {
    /// Adapter, backend and mode.
    pub name: String,
    pub mode: &'static str,
    pub gpu: Gpu,
}

/// Kinds of devices.
#[derive(Clone, Copy, PartialEq)]
pub enum Set {
    /// The first adapter, as it is: of software drivers Mesa's, which compiles faster.
    First,
    /// Every Vulkan adapter as it is (without one, the first adapter).
    Vulkan,
    /// Every adapter as it is.
    Plain,
    /// The first adapter in its other modes.
    Modes,
    /// Every adapter as it is, and every Vulkan one without optional features and as a real GPU.
    Fast,
    /// Every adapter as it is, and every Vulkan one in every mode.
    Every,
}

/// The devices that a test runs on: for `make test`, and for `make test-all`.
#[derive(Clone, Copy)]
pub struct On(pub Set, pub Set);

impl On {
    pub const FIRST: Self = Self(Set::First, Set::First);
    pub const PLAIN: Self = Self(Set::Vulkan, Set::Plain);
    pub const FAST: Self = Self(Set::Vulkan, Set::Fast);
    pub const EVERY: Self = Self(Set::Vulkan, Set::Every);
    /// With GL in the short run as well.
    pub const PLAIN_OR_EVERY: Self = Self(Set::Plain, Set::Every);
    pub const MODES: Self = Self(Set::Modes, Set::Every);
    /// Where one driver shows in a short run what there is to see.
    pub const FIRST_OR_EVERY: Self = Self(Set::First, Set::Every);
    pub const FIRST_OR_FAST: Self = Self(Set::First, Set::Fast);
    pub const FIRST_OR_PLAIN: Self = Self(Set::First, Set::Plain);

    /// Those of this run.
    fn pools(self) -> Vec<&'static Pool> {
        chosen(if all() { self.1 } else { self.0 })
    }
}

/// The modes of a device.
fn modes() -> [(&'static str, GpuOptions); 5] {
    let plain = GpuOptions::default();
    [
        ("plain", plain.clone()),
        ("baseline", with(plain.clone(), |it| it.baseline = true)),
        ("checked", with(plain.clone(), |it| it.checked = true)),
        ("hardware", with(plain.clone(), |it| it.hardware = true)),
        ("rolled", with(plain, |it| it.rolled = true)),
    ]
}

/// The adapter of [`Set::First`].
fn first_entry() -> &'static AdapterEntry {
    let slow = |pool: &&Pool| pool.entry.info.name.contains("SwiftShader");
    let pools = pools();
    &pools.iter().find(|pool| !slow(pool)).unwrap_or(&pools[0]).entry
}

/// How to open it.
pub fn first_adapter() -> AdapterChoice {
    with(AdapterChoice::default(), |it| it.device = Some(first_entry().index.to_string()))
}

/// Pipelines after which a device makes room for a new one: each takes about a megabyte of a software driver's memory, and all
/// tests compile tens of thousands.
const MOST_PIPELINES: usize = 100;

/// Devices of one adapter in one mode. A test has one to itself: drivers compile at a dispatch, one
/// after another on a device, and a GL adapter does not take several threads at all.
struct Pool {
    entry: AdapterEntry,
    mode: &'static str,
    options: GpuOptions,
    state: Mutex<PoolState>,
    given_back: Condvar,
}

#[derive(Default)]
struct PoolState {
    free: Vec<Device>,
    in_use: usize,
}

impl Pool {
    fn is_gl(&self) -> bool {
        self.entry.info.backend == Backend::Gl
    }

    fn name(&self) -> String {
        format!("{} ({}), {}", self.entry.info.name, self.entry.info.backend, self.mode)
    }

    fn take(&self) -> Device {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(device) = state.free.pop() {
                state.in_use += 1;
                return device;
            }
            if !self.is_gl() || state.in_use == 0 {
                break;
            }
            state = self.given_back.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.in_use += 1;
        drop(state);
        let index = Some(self.entry.index.to_string());
        let choice = with(AdapterChoice::default(), |it| it.device = index);
        let gpu = Gpu::request(&choice, self.options.clone()).expect("a listed adapter opens");
        Device { name: self.name(), mode: self.mode, gpu }
    }

    fn give_back(&self, device: Option<Device>) {
        // What its driver has compiled goes with it.
        let device = device.filter(|device| device.gpu.pipelines() < MOST_PIPELINES);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_use -= 1;
        state.free.extend(device);
        self.given_back.notify_one();
    }
}

/// All pools. Panics if there is no adapter: no GPU is not a pass.
fn pools() -> &'static [Pool] {
    static POOLS: OnceLock<Vec<Pool>> = OnceLock::new();
    POOLS.get_or_init(|| {
        let entries = list_adapters(&AdapterChoice::default());
        assert!(
            !entries.is_empty(),
            "these tests need a GPU adapter; scripts/setup.sh installs a software one"
        );
        let pool = |entry: &AdapterEntry, (mode, options)| {
            let (state, given_back) = (Mutex::default(), Condvar::new());
            Pool { entry: entry.clone(), mode, options, state, given_back }
        };
        entries.iter().flat_map(|entry| modes().map(|mode| pool(entry, mode))).collect()
    })
}

/// The pools of `set`.
fn chosen(set: Set) -> Vec<&'static Pool> {
    let pools = pools();
    let first = first_entry().index;
    let vulkan = pools.iter().any(|pool| pool.entry.info.backend == Backend::Vulkan);
    let is_in = |pool: &&Pool| {
        let (plain, is_first) = (pool.mode == "plain", pool.entry.index == first);
        let without_gl = !pool.is_gl() && (pool.entry.info.backend == Backend::Vulkan || !vulkan);
        match set {
            Set::First => plain && is_first,
            Set::Vulkan => plain && (without_gl || is_first),
            Set::Plain => plain,
            Set::Modes => !plain && is_first && !pool.is_gl(),
            Set::Fast => plain || (["baseline", "hardware"].contains(&pool.mode) && !pool.is_gl()),
            Set::Every => plain || !pool.is_gl(),
        }
    };
    pools.iter().filter(is_in).collect()
}

/// A function and its name.
macro_rules! named {
    ($test:ident) => {
        (stringify!($test), $test)
    };
}
pub(crate) use named;

/// What the tests of a module took.
#[derive(Clone, Copy, Default)]
struct Cost {
    tests: usize,
    pipelines: usize,
    time: Duration,
}

/// Seconds and names of tests.
static TIMES: Mutex<Vec<(f64, String)>> = Mutex::new(Vec::new());

static COSTS: Mutex<BTreeMap<&'static str, Cost>> = Mutex::new(BTreeMap::new());

/// The list of all tests.
#[derive(Default)]
pub struct Tests {
    module: &'static str,
    pub trials: Vec<Trial>,
}

impl Tests {
    /// Adds the tests of a module.
    pub fn module(&mut self, name: &'static str, add: fn(&mut Self)) {
        self.module = name;
        add(self);
    }

    fn add(&mut self, name: String, test: impl FnOnce() -> usize + Send + 'static) {
        let module = self.module;
        let name = format!("{module}::{name}");
        let shown = name.clone();
        let run = move || -> Result<(), Failed> {
            let start = Instant::now();
            let pipelines = test();
            let time = start.elapsed();
            let mut costs = COSTS.lock().unwrap_or_else(PoisonError::into_inner);
            let cost = costs.entry(module).or_default();
            cost.tests += 1;
            cost.pipelines += pipelines;
            cost.time += time;
            drop(costs);
            let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
            times.push((time.as_secs_f64(), shown));
            Ok(())
        };
        self.trials.push(Trial::test(name, run));
    }

    /// A test that needs no device, or opens its own.
    pub fn alone(&mut self, (name, test): (&str, fn())) {
        self.add(name.to_string(), move || {
            test();
            0
        });
    }

    /// A test that opens devices of its own on the adapters of `on`, but for those of GL.
    pub fn own(&mut self, on: On, (name, test): (&str, fn(&AdapterEntry))) {
        for pool in on.pools().into_iter().filter(|pool| pool.mode == "plain" && !pool.is_gl()) {
            let name = format!("{name}, {}", pool.name());
            self.add(name, move || {
                test(&pool.entry);
                0
            });
        }
    }

    /// A test of every device of `on`.
    pub fn on(&mut self, on: On, (name, test): (&str, fn(&Device))) {
        for pool in on.pools() {
            self.on_pool(pool, name, test);
        }
    }

    /// The same, for `make test-all` alone.
    pub fn on_if_all(&mut self, on: On, test: (&str, fn(&Device))) {
        if all() {
            self.on(on, test);
        }
    }

    /// A test of random cases, so many for `make test` and so many for `make test-all`.
    pub fn cases(&mut self, on: On, [few, many]: [u64; 2], (name, test): (&str, fn(&Device, u64))) {
        for case in 0..if all() { many } else { few } {
            for pool in on.pools() {
                self.on_pool(pool, &format!("{name}/{case}"), move |device| test(device, case));
            }
        }
    }

    fn on_pool(
        &mut self,
        pool: &'static Pool,
        name: &str,
        test: impl FnOnce(&Device) + Send + 'static,
    ) {
        self.add(format!("{name}, {}", pool.name()), move || {
            /// Gives the device back, or (after a panic) the place of it.
            struct Guard(&'static Pool, Option<Device>);
            impl Drop for Guard {
                fn drop(&mut self) {
                    let device = if std::thread::panicking() { None } else { self.1.take() };
                    self.0.give_back(device);
                }
            }
            let guard = Guard(pool, Some(pool.take()));
            let device = guard.1.as_ref().expect("it was just taken");
            let before = device.gpu.pipelines();
            test(device);
            device.gpu.pipelines() - before
        });
    }
}

/// Prints the tests that took the longest, and what each module took.
pub fn print_costs() {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (seconds, name) in times.iter().take(30) {
        println!("{seconds:7.1} s  {name}");
    }
    let costs = COSTS.lock().unwrap_or_else(PoisonError::into_inner);
    println!("| module | tests | pipelines | seconds |\n|---|---|---|---|");
    for (module, Cost { tests, pipelines, time }) in costs.iter() {
        println!("| {module} | {tests} | {pipelines} | {:.1} |", time.as_secs_f64());
    }
}
