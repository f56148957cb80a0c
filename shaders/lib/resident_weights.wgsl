// Weights between hidden layers that a lane keeps in registers, the rows of its units, and what steps with them do again and again:
// functions, called with numbers for places, since front ends take more than in proportion to read a long text.
// Needs the arrays h, d and back of fused_subgroup.wgsl, lib/update_*.wgsl, and the constants LANES, BATCH, W_TOTAL, STAGES, HALVES.

// [layer, slot of the row, column vector, component of the row]
var<private> w: array<vec4<f32>, W_TOTAL>;
var<private> share: array<vec4<f32>, LANES>;
var<private> e: array<vec4<f32>, BATCH>;

fn clear_shares() {
    for (var q = 0u; q < LANES; q++) { // unroll
        share[q] = vec4<f32>(0.0);
    }
}

// Adds what the rows from register `weights` on give to the columns of all lanes.
fn add_shares(weights: u32, activation: u32) {
    let v = h[activation];
    for (var q = 0u; q < LANES; q++) { // unroll
        let at = weights + 4u * q;
        share[q] = fma(w[at], vec4<f32>(v.x), share[q]);
        share[q] = fma(w[at + 1u], vec4<f32>(v.y), share[q]);
        share[q] = fma(w[at + 2u], vec4<f32>(v.z), share[q]);
        share[q] = fma(w[at + 3u], vec4<f32>(v.w), share[q]);
    }
}

// The shares of all lanes in this lane's column.
fn sum_of_shares(lane: u32) -> vec4<f32> {
    for (var t = 0u; t < STAGES; t++) { // unroll
        let upper = (lane & HALVES[t]) != 0u;
        for (var i = 0u; i < HALVES[t]; i++) { // unroll
            let kept = select(share[i], share[i + HALVES[t]], upper);
            let given = select(share[i + HALVES[t]], share[i], upper);
            share[i] = kept + subgroupShuffleXor(given, HALVES[t]);
        }
    }
    return share[0];
}

// Gives all lanes the gradients by the column of lane `owner`.
fn spread(gradient: u32, owner: u32) {
    for (var b = 0u; b < BATCH; b++) { // unroll
        e[b] = subgroupShuffle(d[gradient + b], owner);
    }
}

// Four rows of that column: the gradients below, and the step of the weights, whose parameters and state begin at `row`.
fn back_and_update(weights: u32, below: u32, activation: u32, row: u32, columns: u32, rates: Rates) {
    let wx = w[weights];
    let wy = w[weights + 1u];
    let wz = w[weights + 2u];
    let ww = w[weights + 3u];
    for (var b = 0u; b < BATCH; b++) { // unroll
        back[below + b] += vec4<f32>(dot(wx, e[b]), dot(wy, e[b]), dot(wz, e[b]), dot(ww, e[b]));
    }
    var g = mat4x4<f32>();
    for (var b = 0u; b < BATCH; b++) { // unroll
        let v = h[activation + b];
        g[0] = fma(vec4<f32>(v.x), e[b], g[0]);
        g[1] = fma(vec4<f32>(v.y), e[b], g[1]);
        g[2] = fma(vec4<f32>(v.z), e[b], g[2]);
        g[3] = fma(vec4<f32>(v.w), e[b], g[3]);
    }
    w[weights] = updated(row, wx, g[0], rates);
    w[weights + 1u] = updated(row + columns, wy, g[1], rates);
    w[weights + 2u] = updated(row + 2u * columns, wz, g[2], rates);
    w[weights + 3u] = updated(row + 3u * columns, ww, g[3], rates);
}
