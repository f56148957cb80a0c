// The inner optimiser of a learned strategy: θ ← θ − σ ⊙ g with a rate σ for every parameter of a run;
// and what the strategy learns from (STATISTIC): Σ_k g_k ⊙ g_{k−1} (PRODUCTS; the second plane of a task
// holds the gradient of the step before), Σ_k g_k² (SQUARES), or nothing. Needs lib/see_*.wgsl, lib/learned_steps.wgsl.
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;   // [T, PLANES, STRIDE]
@group(0) @binding(6) var<storage, read_write> first: array<vec4<f32>>;    // σ: [R, STRIDE]

const PRODUCTS = 1u;
const SQUARES = 2u;

struct Rates {
    task: u32,      // where the task's sets begin in [T, STRIDE]
    run: u32,       // where the run's begin in [R, STRIDE]
    fresh: bool,    // whether this is the first step
    part: f32,      // of the rates that this step takes
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    return Rates(task * STRIDE, task / TASKS_PER_RUN * STRIDE, k == 0u, part_of(k));
}

fn updated(index: u32, before: vec4<f32>, gradient: vec4<f32>, rates: Rates) -> vec4<f32> {
    see(index, gradient);
    let place = index - rates.task;
    if (STATISTIC == PRODUCTS) {
        let sum = 2u * rates.task + place;
        if (rates.fresh) {
            second[sum] = vec4<f32>(0.0);
        } else {
            second[sum] = fma(gradient, second[sum + STRIDE], second[sum]);
        }
        second[sum + STRIDE] = gradient;
    }
    if (STATISTIC == SQUARES) {
        let before = select(second[index], vec4<f32>(0.0), rates.fresh);
        second[index] = fma(gradient, gradient, before);
    }
    return fma(-rates.part * first[rates.run + place], gradient, before);
}
