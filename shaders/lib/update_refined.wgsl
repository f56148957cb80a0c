// SGD with the rates of ARUBA++: σ = √(b / g), where a task's g goes on from what was learned,
// g += REFINE g_k² with each gradient g_k. Needs lib/see_*.wgsl, lib/learned_steps.wgsl.
@group(0) @binding(5) var<storage, read_write> second: array<vec4<f32>>;   // g: [T, STRIDE]
@group(0) @binding(6) var<storage, read_write> first: array<vec4<f32>>;    // b: [R, STRIDE]

struct Rates {
    task: u32,      // where the task's sets begin in [T, STRIDE]
    run: u32,       // where the run's begin in [R, STRIDE]
    part: f32,      // of the rates that this step takes
}

fn rates_of(run: RunStep, task: u32, k: u32, last: bool) -> Rates {
    return Rates(task * STRIDE, task / TASKS_PER_RUN * STRIDE, part_of(k));
}

fn updated(index: u32, before: vec4<f32>, gradient: vec4<f32>, rates: Rates) -> vec4<f32> {
    see(index, gradient);
    let squares = fma(REFINE * gradient, gradient, second[index]);
    second[index] = squares;
    let way = first[rates.run + index - rates.task];
    let bounded = clamp(sqrt(way / squares), vec4<f32>(MIN_RATE), vec4<f32>(MAX_RATE));
    // Padding has no gradient; without b and g its rate would be no number.
    let rate = select(bounded, vec4<f32>(0.0), way == vec4<f32>(0.0));
    return fma(-rates.part * rate, gradient, before);
}
