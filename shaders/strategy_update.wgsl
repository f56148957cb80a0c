// The strategy's step on the rates σ of all parameters, and the mean rate of each layer for the metrics
// (−1 where a rate overflowed).
// Meta-SGD and hypergradients take AdaGrad's step on what they learn from, h: β h / √(s + 0.01 s̄), s the sum of the squares
// of all h so far and s̄ its mean over the layer, which is what a parameter without a signal is measured by.
// A workgroup has a layer, or all of them where they share one rate (GRANULARITY). Grid: (layers or 1, runs).
// Needs lib/run_step.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;           // [R, 2, VECTORS] of strategy_sums
@group(0) @binding(2) var<storage, read> left_out: array<u32>;             // [R]
@group(0) @binding(3) var<storage, read_write> rates: array<vec4<f32>>;    // σ: [R, VECTORS], 0 for padding
@group(0) @binding(4) var<storage, read_write> ways: array<vec4<f32>>;     // b of ARUBA: [R, VECTORS]
@group(0) @binding(5) var<storage, read_write> squares: array<vec4<f32>>;  // g of ARUBA, s of the others: [R, VECTORS]
@group(0) @binding(6) var<storage, read_write> metrics: array<f32>;        // [SLOTS, R, COLUMNS]

// KIND
const META_SGD = 0u;
const HYPERGRADIENT = 1u;
const ARUBA = 2u;
// GRANULARITY
const SCALAR = 0u;
const LAYER = 1u;
const PARAMETER = 2u;
// Of s̄.
const FLOOR = 0.01;

// Per layer, from the host: BEGINS and ENDS (vectors), COUNTS (parameters).
var<workgroup> shares: array<vec2<f32>, BLOCK>;

fn across(value: vec4<f32>) -> f32 {
    return (value.x + value.y) + (value.z + value.w);
}

// The sum of all lanes' shares, in a fixed order.
fn total(share: vec2<f32>, lane: u32) -> vec2<f32> {
    shares[lane] = share;
    for (var half = BLOCK / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            shares[lane] += shares[lane + half];
        }
    }
    workgroupBarrier();
    let sum = shares[0];
    workgroupBarrier();
    return sum;
}

// The sums of vector `v` of a plane, or what all that share a rate have together.
fn statistic_of(run: u32, v: u32, plane: u32, shared_sum: f32) -> vec4<f32> {
    if (GRANULARITY == PARAMETER) {
        return sums[2u * run * VECTORS + plane + v];
    }
    return vec4<f32>(shared_sum);
}

// Whether a rate was not finite before it was bounded.
var<private> overflowed: bool;

// e^x − 1 without cancellation near zero.
fn exp_minus_one(x: vec4<f32>) -> vec4<f32> {
    let series = x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0))));
    return select(exp(x) - 1.0, series, abs(x) < vec4<f32>(0.1));
}

// Adds the squares of this meta-iteration, but for padding; returns the sum of all four parameters' squares.
fn square(run: u32, place: u32, statistic: vec4<f32>) -> f32 {
    let mean = runs[run].tasks_inverse * statistic;
    let all = select(fma(mean, mean, squares[place]), vec4<f32>(0.0), rates[place] == vec4<f32>(0.0));
    squares[place] = all;
    return across(all);
}

// From sums over tasks (and over the parameters that share a rate) of the statistics; `layer_square` is s̄.
fn step_of(run: u32, place: u32, statistic: vec4<f32>, way: vec4<f32>, layer_square: f32) {
    let settings = runs[run];
    let old = rates[place];
    let mean = settings.tasks_inverse * statistic;
    let back = exp2(-f32(left_out[run]) * settings.tasks_inverse);
    var moved = old;
    if (KIND != ARUBA) {
        let size = sqrt(squares[place] + FLOOR * layer_square);
        // Where nothing was seen yet there is no step.
        let x = settings.strategy_rate * select(mean / size, vec4<f32>(0.0), size == vec4<f32>(0.0));
        moved = old + select(x, old * exp_minus_one(-x), KIND == META_SGD);
    }
    if (KIND == ARUBA) {
        let prior = settings.strategy_prior * ZETA * ZETA;
        var b = ways[place] + settings.tasks_inverse * way + prior * settings.inner_rate * settings.inner_rate;
        let g = squares[place] + mean + prior;
        if (left_out[run] > 0u) {
            b *= back * back;
        }
        ways[place] = b;
        squares[place] = g;
        moved = sqrt(b / g);
    } else if (left_out[run] > 0u) {
        moved *= back;
    }
    overflowed |= !all(moved < vec4<f32>(3e38));
    // Also what is not a number ends at the lower bound; padding stays 0.
    moved = select(vec4<f32>(MIN_RATE), min(moved, vec4<f32>(MAX_RATE)), moved >= vec4<f32>(MIN_RATE));
    rates[place] = select(moved, vec4<f32>(0.0), old == vec4<f32>(0.0));
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let run = group.y;
    let first_layer = select(group.x, 0u, GRANULARITY == SCALAR);
    let end_layer = select(group.x + 1u, LAYERS, GRANULARITY == SCALAR);
    var shared_sums = vec2<f32>(0.0);
    if (GRANULARITY != PARAMETER) {
        var share = vec2<f32>(0.0);
        var count = 0.0;
        for (var layer = first_layer; layer < end_layer; layer++) {
            for (var v = BEGINS[layer] + lane; v < ENDS[layer]; v += BLOCK) {
                let place = 2u * run * VECTORS + v;
                share += vec2<f32>(across(sums[place]), across(sums[place + VECTORS]));
            }
            count += f32(COUNTS[layer]);
        }
        shared_sums = total(share, lane);
        if (KIND == ARUBA) {
            shared_sums /= count;
        }
    }
    for (var layer = first_layer; layer < end_layer; layer++) {
        var layer_square = 0.0;
        if (KIND != ARUBA) {
            var share = vec2<f32>(0.0);
            for (var v = BEGINS[layer] + lane; v < ENDS[layer]; v += BLOCK) {
                share.x += square(run, run * VECTORS + v, statistic_of(run, v, 0u, shared_sums.x));
            }
            layer_square = total(share, lane).x / f32(COUNTS[layer]);
        }
        overflowed = false;
        var share = vec2<f32>(0.0);
        for (var v = BEGINS[layer] + lane; v < ENDS[layer]; v += BLOCK) {
            let place = run * VECTORS + v;
            let statistic = statistic_of(run, v, 0u, shared_sums.x);
            let way = statistic_of(run, v, VECTORS, shared_sums.y);
            step_of(run, place, statistic, way, layer_square);
            share.x += across(rates[place]);
        }
        share.y = select(0.0, 1.0, overflowed);
        let sum = total(share, lane);
        if (lane == 0u) {
            metrics[(runs[run].slot * RUNS + run) * COLUMNS + STEPS + layer] =
                select(sum.x / f32(COUNTS[layer]), -1.0, sum.y > 0.0);
        }
    }
}
