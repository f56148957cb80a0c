// The whole inner loop of one task, by one workgroup: activations and their gradients in workgroup
// memory, parameters in the task's part of `theta`, where a broadcast put them, or in workgroup memory too.
// Needs no optional feature and works with every inner optimiser. Grid: (tasks).
// Needs lib/run_step.wgsl, lib/activation.wgsl, lib/targets_*.wgsl, lib/rows_*.wgsl, lib/fused_loss_*.wgsl, lib/update_*.wgsl,
// lib/weights_*.wgsl, lib/row_of.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> order: array<u32>;              // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> support_x: array<vec4<f32>>;    // [T, SUPPORT, IN4]
@group(0) @binding(3) var<storage, read> support_y: array<Target>;       // [T, SUPPORT, …]
@group(0) @binding(4) var<storage, read_write> theta: array<vec4<f32>>;  // [T, STRIDE]
@group(0) @binding(7) var<storage, read_write> losses: array<f32>;       // [T, LOSS_STRIDE]

// Per layer, from the host: INS and OUTS (vectors), UNITS, OFFSETS (vectors into a parameter set),
// ACTIVATIONS, H_START (first vector of its outputs in `h`). An invocation takes ROWS rows of one
// vector column at a time; there are BLOCK of them.
const ROW_GROUPS = (BATCH + ROWS - 1u) / ROWS;

var<workgroup> h: array<vec4<f32>, H_TOTAL>;            // [layer, B, OUTS]
var<workgroup> z: array<vec4<f32>, Z_TOTAL>;            // the same before GELU
var<workgroup> d: array<vec4<f32>, 2u * D_SIZE>;        // gradients, two layers in turn: [B, OUTS]
var<workgroup> rows: array<u32, BATCH>;
var<workgroup> row_losses: array<f32, BATCH>;

// Vector k of row b of the inputs of layer l.
fn input_of(l: u32, b: u32, k: u32) -> vec4<f32> {
    if (l == 0u) {
        return support_x[rows[b] * IN4 + k];
    }
    return h[H_START[max(l, 1u) - 1u] + b * INS[l] + k];
}

fn forward(base: u32, l: u32, lane: u32) {
    for (var item = lane; item < OUTS[l] * ROW_GROUPS; item += BLOCK) {
        let column = item % OUTS[l];
        let first = item / OUTS[l] * ROWS;
        let bias = weight(weight_place(base, l, 4u * INS[l], column));
        var sums = array<vec4<f32>, ROWS>();
        for (var r = 0u; r < ROWS; r++) { // unroll
            sums[r] = bias;
        }
        for (var k = 0u; k < INS[l]; k++) {
            let w = weight_place(base, l, 4u * k, column);
            let w0 = weight(w);
            let w1 = weight(w + OUTS[l]);
            let w2 = weight(w + 2u * OUTS[l]);
            let w3 = weight(w + 3u * OUTS[l]);
            for (var r = 0u; r < ROWS; r++) { // unroll
                let v = input_of(l, min(first + r, BATCH - 1u), k);
                sums[r] = fma(vec4<f32>(v.w), w3, fma(vec4<f32>(v.z), w2,
                    fma(vec4<f32>(v.y), w1, fma(vec4<f32>(v.x), w0, sums[r]))));
            }
        }
        for (var r = 0u; r < ROWS; r++) { // unroll
            let b = first + r;
            if (b < BATCH) {
                let place = H_START[l] + b * OUTS[l] + column;
                if (ACTIVATIONS[l] == GELU) {
                    z[place % Z_TOTAL] = sums[r];
                }
                h[place] = without_padding(activate(ACTIVATIONS[l], sums[r]), 4u * column, UNITS[l]);
            }
        }
    }
}

// Loss of every row; the gradient by the outputs goes to `d` at `to`.
fn head_loss(to: u32, lane: u32) {
    for (var b = lane; b < BATCH; b += BLOCK) {
        var outputs = array<f32, OUTPUTS>();
        for (var o = 0u; o < OUTPUTS; o++) {
            outputs[o] = h[H_START[LAYERS - 1u] + b * OUT4 + o / 4u][o % 4u];
        }
        row_losses[b] = loss_gradient(&outputs, rows[b]);
        for (var column = 0u; column < OUT4; column++) {
            d[to + b * OUT4 + column] = vec4<f32>(0.0);
        }
        for (var o = 0u; o < OUTPUTS; o++) {
            d[to + b * OUT4 + o / 4u][o % 4u] = outputs[o];
        }
    }
}

// Gradient by the inputs of layer l > 0 before their activation: from `d` at `from` to `d` at `to`.
fn backward(base: u32, l: u32, from_place: u32, to: u32, lane: u32) {
    for (var item = lane; item < INS[l] * ROW_GROUPS; item += BLOCK) {
        let column = item % INS[l];
        let first = item / INS[l] * ROWS;
        var sums = array<vec4<f32>, ROWS>();
        for (var r = 0u; r < ROWS; r++) { // unroll
            sums[r] = vec4<f32>(0.0);
        }
        for (var k = 0u; k < OUTS[l]; k++) {
            let first_row = weight_place(base, l, 4u * column, k);
            let w = transpose(mat4x4<f32>(weight(first_row), weight(first_row + OUTS[l]),
                weight(first_row + 2u * OUTS[l]), weight(first_row + 3u * OUTS[l])));
            for (var r = 0u; r < ROWS; r++) { // unroll
                let v = d[from_place + min(first + r, BATCH - 1u) * OUTS[l] + k];
                sums[r] = fma(vec4<f32>(v.w), w[3], fma(vec4<f32>(v.z), w[2],
                    fma(vec4<f32>(v.y), w[1], fma(vec4<f32>(v.x), w[0], sums[r]))));
            }
        }
        for (var r = 0u; r < ROWS; r++) { // unroll
            let b = first + r;
            if (b < BATCH) {
                let place = H_START[max(l, 1u) - 1u] + b * INS[l] + column;
                d[to + b * INS[l] + column] = sums[r]
                    * slope(ACTIVATIONS[max(l, 1u) - 1u], h[place], z[place % Z_TOTAL]);
            }
        }
    }
}

// The optimiser's step on layer l, whose gradient by the outputs is `d` at `from_place`.
fn update_layer(base: u32, l: u32, from_place: u32, rates: Rates, lane: u32) {
    for (var item = lane; item < (INS[l] + 1u) * OUTS[l]; item += BLOCK) {
        let column = item % OUTS[l];
        let row_vector = item / OUTS[l];
        var g = mat4x4<f32>();
        for (var b = 0u; b < BATCH; b++) {
            let e = d[from_place + b * OUTS[l] + column];
            if (row_vector == INS[l]) {
                g[0] += e;
            } else {
                let v = input_of(l, b, row_vector);
                g[0] = fma(vec4<f32>(v.x), e, g[0]);
                g[1] = fma(vec4<f32>(v.y), e, g[1]);
                g[2] = fma(vec4<f32>(v.z), e, g[2]);
                g[3] = fma(vec4<f32>(v.w), e, g[3]);
            }
        }
        let place = weight_place(base, l, 4u * row_vector, column);
        let index = base + OFFSETS[l] + 4u * row_vector * OUTS[l] + column;
        let rows_here = select(4u, 1u, row_vector == INS[l]);
        if (ROWS_IN_TURN == 1u) { // static
            for (var i = 0u; i < rows_here; i++) {
                let at = i * OUTS[l];
                set_weight(place + at, updated(index + at, weight(place + at), row_of(g, i), rates));
            }
        }
        if (ROWS_IN_TURN == 0u) { // static
            for (var i = 0u; i < 4u; i++) { // unroll
                if (i < rows_here) {
                    let at = i * OUTS[l];
                    set_weight(place + at, updated(index + at, weight(place + at), g[i], rates));
                }
            }
        }
    }
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = group.x;
    let run = runs[task / TASKS_PER_RUN];
    let base = task * STRIDE;
    take_weights(base, lane);
    for (var step = 0u; step < STEPS; step++) {
        let rates = rates_of(run, task, FIRST_STEP + step, step + 1u == STEPS);
        for (var b = lane; b < BATCH; b += BLOCK) {
            rows[b] = task * SUPPORT + order[task * ORDER_STRIDE + ORDER_START + step * BATCH + b];
        }
        workgroupBarrier();
        for (var l = 0u; l < LAYERS; l++) { // unroll
            forward(base, l, lane);
            workgroupBarrier();
        }
        head_loss(0u, lane);
        workgroupBarrier();
        if (lane == 0u) {
            var loss = 0.0;
            for (var b = 0u; b < BATCH; b++) {
                loss += row_losses[b];
            }
            losses[task * LOSS_STRIDE + FIRST_STEP + step] = loss;
        }
        for (var up = 0u; up < LAYERS; up++) { // unroll
            let l = LAYERS - 1u - up;
            let from_place = (up % 2u) * D_SIZE;
            if (l > 0u) {
                backward(base, l, from_place, D_SIZE - from_place, lane);
            }
            workgroupBarrier();
            update_layer(base, l, from_place, rates, lane);
            weights_barrier();
        }
    }
    give_weights(base, lane);
}
