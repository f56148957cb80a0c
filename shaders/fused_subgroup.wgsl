// The whole inner loop of one task, by one subgroup, with every inner optimiser. Hidden units live in registers, four to a
// lane and slot: unit 4 (s · LANES + lane) + i of a layer is component i of slot s. Activations
// reach the other lanes by shuffles; the head's weights stay in registers, turned by 90 degrees.
// The first layer's weights stay in the task's part of `theta`, read and updated once a step; so do
// those between hidden layers, unless RESIDENT: then a lane keeps the rows of its units in registers.
// Grid: (tasks). Needs lib/run_step.wgsl, lib/activation.wgsl, lib/targets_*.wgsl, lib/rows_*.wgsl, lib/fused_loss_*.wgsl,
// lib/update_*.wgsl, lib/resident_weights.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read> order: array<u32>;              // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> support_x: array<vec4<f32>>;    // [T, SUPPORT, IN4]
@group(0) @binding(3) var<storage, read> support_y: array<Target>;       // [T, SUPPORT, …]
@group(0) @binding(4) var<storage, read> start: array<vec4<f32>>;        // [T / SHARERS, STRIDE]
@group(0) @binding(7) var<storage, read_write> theta: array<vec4<f32>>;  // [T, STRIDE]
@group(0) @binding(8) var<storage, read_write> losses: array<f32>;       // [T, LOSS_STRIDE]

// Per hidden layer, from the host: UNITS, COLUMNS (vectors), SLOTS (vectors a lane), H_START
// (first activation), B_START (first bias register), W_START (first weight register), OFFSETS and
// BIASES (vectors into a parameter set), ACTIVATIONS. HALVES: LANES / 2, LANES / 4, … 1.
const LAST = HIDDEN - 1u;

// Activations [layer, slot, b]; gradients by the units of a layer [slot, b], before the activation and after that below.
var<private> h: array<vec4<f32>, H_TOTAL>;
var<private> d: array<vec4<f32>, D_SIZE>;
var<private> back: array<vec4<f32>, D_SIZE>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) place_in_subgroup: u32,
) {
    // A number for each lane that the compiler knows, which makes this a fast shuffle.
    let next = (place_in_subgroup + 1u) % LANES;
    let task = group.x;
    let run = runs[task / TASKS_PER_RUN];
    let base = task * STRIDE;
    let source = task / SHARERS * STRIDE;
    // What does not go into registers.
    for (var i = lane; i < select(STRIDE, INPUTS * COLUMNS[0], RESIDENT == 1u); i += LANES) {
        theta[base + i] = run.weight_decay * start[source + i];
    }
    workgroupBarrier();
    storageBarrier();
    var bias: array<vec4<f32>, B_TOTAL>;
    for (var l = 0u; l < HIDDEN; l++) { // unroll
        for (var s = 0u; s < SLOTS[l]; s++) { // unroll
            bias[B_START[l] + s] = run.weight_decay
                * start[source + BIASES[l] + min(s * LANES + lane, COLUMNS[l] - 1u)];
        }
    }
    if (RESIDENT == 1u) { // static
        for (var l = 1u; l < HIDDEN; l++) { // unroll
            for (var s = 0u; s < SLOTS[l - 1u]; s++) { // unroll
                for (var c = 0u; c < 4u * COLUMNS[l]; c++) { // unroll
                    let row = 4u * (s * LANES + lane) + c % 4u;
                    w[(W_START[l] + s * 4u * COLUMNS[l] + c) % W_TOTAL] =
                        run.weight_decay * start[source + OFFSETS[l] + row * COLUMNS[l] + c / 4u];
                }
            }
        }
    }
    var head: array<vec4<f32>, OUTPUTS * SLOTS[LAST]>;
    var head_bias: array<f32, OUTPUTS>;
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        head_bias[o] = run.weight_decay * start[source + HEAD_BIAS + o / 4u][o % 4u];
        for (var s = 0u; s < SLOTS[LAST]; s++) { // unroll
            let column = s * LANES + lane;
            let place = source + HEAD + 4u * min(column, COLUMNS[LAST] - 1u) * OUT4 + o / 4u;
            let row = run.weight_decay * vec4<f32>(start[place][o % 4u], start[place + OUT4][o % 4u],
                start[place + 2u * OUT4][o % 4u], start[place + 3u * OUT4][o % 4u]);
            head[o * SLOTS[LAST] + s] = select(vec4<f32>(0.0), row, column < COLUMNS[LAST]);
        }
    }

    for (var step = 0u; step < STEPS; step++) {
        let rates = rates_of(run, task, FIRST_STEP + step, step + 1u == STEPS);
        let first = task * ORDER_STRIDE + ORDER_START + step * BATCH;
        var rows = array<u32, BATCH>();
        for (var b = 0u; b < BATCH; b++) { // unroll
            rows[b] = task * SUPPORT + order[first + b];
        }

        // Forward.
        var z = array<vec4<f32>, Z_TOTAL>();
        for (var s = 0u; s < SLOTS[0]; s++) { // unroll
            for (var b = 0u; b < BATCH; b++) { // unroll
                h[s * BATCH + b] = bias[s];
            }
        }
        for (var i = 0u; i < INPUTS; i++) {
            var x = array<f32, BATCH>();
            for (var b = 0u; b < BATCH; b++) { // unroll
                x[b] = support_x[rows[b] * IN4 + i / 4u][i % 4u];
            }
            for (var s = 0u; s < SLOTS[0]; s++) { // unroll
                let w = theta[base + i * COLUMNS[0] + min(s * LANES + lane, COLUMNS[0] - 1u)];
                for (var b = 0u; b < BATCH; b++) { // unroll
                    h[s * BATCH + b] = fma(vec4<f32>(x[b]), w, h[s * BATCH + b]);
                }
            }
        }
        for (var l = 0u; l < HIDDEN; l++) { // unroll
            if (l > 0u) { // layer 0 is done
                for (var s = 0u; s < SLOTS[l]; s++) { // unroll
                    for (var b = 0u; b < BATCH; b++) { // unroll
                        h[H_START[l] + s * BATCH + b] = bias[B_START[l] + s];
                    }
                }
                if (RESIDENT == 1u) { // static
                    // A lane's rows give a share of every column; the shares are added across lanes
                    // so that each lane ends with the sum of its own column.
                    for (var g = 0u; g < SLOTS[l]; g++) { // unroll
                        for (var b = 0u; b < BATCH; b++) { // unroll
                            clear_shares();
                            for (var s = 0u; s < SLOTS[max(l, 1u) - 1u]; s++) { // unroll
                                add_shares(W_START[l] + 4u * (s * COLUMNS[l] + g * LANES), H_START[max(l, 1u) - 1u] + s * BATCH + b);
                            }
                            h[H_START[l] + g * BATCH + b] += sum_of_shares(lane);
                        }
                    }
                }
                if (RESIDENT == 0u) { // static
                    // Row by row of the weights: q is the lane whose units they are. If TURNED, what lanes have goes around by one lane a
                    // round, and is back in its place at the end.
                    for (var q = 0u; q < LANES; q++) {
                        let giver = select(q, 0u, TURNED == 1u);
                        for (var g = 0u; g < SLOTS[max(l, 1u) - 1u]; g++) { // unroll
                            if ((g + 1u) * LANES <= COLUMNS[max(l, 1u) - 1u] || g * LANES + q < COLUMNS[max(l, 1u) - 1u]) {
                                let row = base + OFFSETS[l] + 4u * (g * LANES + q) * COLUMNS[l];
                                var rows_of = array<vec4<f32>, 4u * SLOTS_MAX>();
                                for (var s = 0u; s < SLOTS[l]; s++) { // unroll
                                    let place = row + min(s * LANES + lane, COLUMNS[l] - 1u);
                                    rows_of[4u * s] = theta[place];
                                    rows_of[4u * s + 1u] = theta[place + COLUMNS[l]];
                                    rows_of[4u * s + 2u] = theta[place + 2u * COLUMNS[l]];
                                    rows_of[4u * s + 3u] = theta[place + 3u * COLUMNS[l]];
                                }
                                for (var b = 0u; b < BATCH; b++) { // unroll
                                    let v = subgroupShuffle(h[H_START[max(l, 1u) - 1u] + g * BATCH + b], giver);
                                    for (var s = 0u; s < SLOTS[l]; s++) { // unroll
                                        h[H_START[l] + s * BATCH + b] = fma(rows_of[4u * s + 3u], vec4<f32>(v.w),
                                            fma(rows_of[4u * s + 2u], vec4<f32>(v.z),
                                            fma(rows_of[4u * s + 1u], vec4<f32>(v.y),
                                            fma(rows_of[4u * s], vec4<f32>(v.x), h[H_START[l] + s * BATCH + b]))));
                                    }
                                }
                            }
                            if (TURNED == 1u) { // static
                                for (var b = 0u; b < BATCH; b++) { // unroll
                                    let i = H_START[max(l, 1u) - 1u] + g * BATCH + b;
                                    h[i] = subgroupShuffle(h[i], next);
                                }
                            }
                        }
                    }
                }
            }
            for (var s = 0u; s < SLOTS[l]; s++) { // unroll
                for (var b = 0u; b < BATCH; b++) { // unroll
                    let before = h[H_START[l] + s * BATCH + b];
                    if (ACTIVATIONS[l] == GELU) {
                        z[(H_START[l] + s * BATCH + b) % Z_TOTAL] = before;
                    }
                    var after = activate(ACTIVATIONS[l], before);
                    // Lanes without units must stay zero: the head's gradient reads them.
                    if (UNITS[l] < 4u * LANES * SLOTS[l]) {
                        after = without_padding(after, 4u * (s * LANES + lane), UNITS[l]);
                    }
                    h[H_START[l] + s * BATCH + b] = after;
                }
            }
        }

        // Head, loss, and the gradient d by the last hidden layer before its activation.
        var head_gradient = array<vec4<f32>, OUTPUTS * SLOTS[LAST]>();
        var head_bias_gradient = array<f32, OUTPUTS>();
        for (var o = 0u; o < OUTPUTS; o++) { // unroll
            head_bias_gradient[o] = 0.0;
            for (var s = 0u; s < SLOTS[LAST]; s++) { // unroll
                head_gradient[o * SLOTS[LAST] + s] = vec4<f32>(0.0);
            }
        }
        var loss = 0.0;
        for (var b = 0u; b < BATCH; b++) { // unroll
            var outputs = array<f32, OUTPUTS>();
            for (var o = 0u; o < OUTPUTS; o++) { // unroll
                var part = 0.0;
                for (var s = 0u; s < SLOTS[LAST]; s++) { // unroll
                    part += dot(h[H_START[LAST] + s * BATCH + b], head[o * SLOTS[LAST] + s]);
                }
                outputs[o] = subgroupAdd(part) + head_bias[o];
            }
            loss += loss_gradient(&outputs, rows[b]);
            for (var s = 0u; s < SLOTS[LAST]; s++) { // unroll
                let after = h[H_START[LAST] + s * BATCH + b];
                var gradient = vec4<f32>(0.0);
                for (var o = 0u; o < OUTPUTS; o++) { // unroll
                    gradient = fma(vec4<f32>(outputs[o]), head[o * SLOTS[LAST] + s], gradient);
                    head_gradient[o * SLOTS[LAST] + s] =
                        fma(vec4<f32>(outputs[o]), after, head_gradient[o * SLOTS[LAST] + s]);
                }
                d[s * BATCH + b] = gradient
                    * slope(ACTIVATIONS[LAST], after, z[(H_START[LAST] + s * BATCH + b) % Z_TOTAL]);
            }
            for (var o = 0u; o < OUTPUTS; o++) { // unroll
                head_bias_gradient[o] += outputs[o];
            }
        }
        if (lane == 0u) {
            losses[task * LOSS_STRIDE + FIRST_STEP + step] = loss;
        }
        // Turned back, since an optimiser's state lies as the parameters do: a vector is a unit's weights to four outputs.
        for (var q = 0u; q < OUT4; q++) { // unroll
            var values = vec4<f32>();
            var gradient = vec4<f32>();
            for (var o = 4u * q; o < min(4u * q + 4u, OUTPUTS); o++) { // unroll
                values[o % 4u] = head_bias[o];
                gradient[o % 4u] = head_bias_gradient[o];
            }
            if (lane == 0u) {
                values = updated(base + HEAD_BIAS + q, values, gradient, rates);
            }
            values = subgroupShuffle(values, 0u);
            for (var o = 4u * q; o < min(4u * q + 4u, OUTPUTS); o++) { // unroll
                head_bias[o] = values[o % 4u];
            }
            for (var s = 0u; s < SLOTS[LAST]; s++) { // unroll
                if ((s + 1u) * LANES <= COLUMNS[LAST] || s * LANES + lane < COLUMNS[LAST]) {
                    for (var i = 0u; i < 4u; i++) { // unroll
                        var row = vec4<f32>();
                        var by_row = vec4<f32>();
                        for (var o = 4u * q; o < min(4u * q + 4u, OUTPUTS); o++) { // unroll
                            row[o % 4u] = head[o * SLOTS[LAST] + s][i];
                            by_row[o % 4u] = head_gradient[o * SLOTS[LAST] + s][i];
                        }
                        let place = base + HEAD + (4u * (s * LANES + lane) + i) * OUT4 + q;
                        row = updated(place, row, by_row, rates);
                        for (var o = 4u * q; o < min(4u * q + 4u, OUTPUTS); o++) { // unroll
                            head[o * SLOTS[LAST] + s][i] = row[o % 4u];
                        }
                    }
                }
            }
        }

        // Backward: a lane owns the four rows of its units; d of the columns comes by shuffles. The
        // weights are read, used and updated in one go.
        workgroupBarrier();
        storageBarrier();
        for (var l = LAST; l > 0u; l--) { // unroll
            for (var s = 0u; s < SLOTS[l]; s++) { // unroll
                var gradient = vec4<f32>(0.0);
                for (var b = 0u; b < BATCH; b++) { // unroll
                    gradient += d[s * BATCH + b];
                }
                if ((s + 1u) * LANES <= COLUMNS[l] || s * LANES + lane < COLUMNS[l]) {
                    let place = base + BIASES[l] + s * LANES + lane;
                    bias[B_START[l] + s] = updated(place, bias[B_START[l] + s], gradient, rates);
                }
            }
            for (var i = 0u; i < SLOTS[l - 1u] * BATCH; i++) { // unroll
                back[i] = vec4<f32>(0.0);
            }
            if (RESIDENT == 1u) { // static
                for (var c = 0u; c < COLUMNS[l]; c++) { // unroll
                    spread(c / LANES * BATCH, c % LANES);
                    for (var s = 0u; s < SLOTS[l - 1u]; s++) { // unroll
                        back_and_update(
                            W_START[l] + 4u * (s * COLUMNS[l] + c),
                            s * BATCH,
                            H_START[l - 1u] + s * BATCH,
                            base + OFFSETS[l] + 4u * (s * LANES + lane) * COLUMNS[l] + c,
                            COLUMNS[l],
                            rates,
                        );
                    }
                }
            }
            if (RESIDENT == 0u) { // static
                for (var q = 0u; q < LANES; q++) {
                    let giver = select(q, 0u, TURNED == 1u);
                    for (var g = 0u; g < SLOTS[l]; g++) { // unroll
                        if ((g + 1u) * LANES <= COLUMNS[l] || g * LANES + q < COLUMNS[l]) {
                            var e = array<vec4<f32>, BATCH>();
                            for (var b = 0u; b < BATCH; b++) { // unroll
                                e[b] = subgroupShuffle(d[g * BATCH + b], giver);
                            }
                            for (var s = 0u; s < SLOTS[l - 1u]; s++) { // unroll
                                if ((s + 1u) * LANES <= COLUMNS[l - 1u] || s * LANES + lane < COLUMNS[l - 1u]) {
                                    let row = base + OFFSETS[l] + 4u * (s * LANES + lane) * COLUMNS[l] + g * LANES + q;
                                    let wx = theta[row];
                                    let wy = theta[row + COLUMNS[l]];
                                    let wz = theta[row + 2u * COLUMNS[l]];
                                    let ww = theta[row + 3u * COLUMNS[l]];
                                    for (var b = 0u; b < BATCH; b++) { // unroll
                                        back[s * BATCH + b] +=
                                            vec4<f32>(dot(wx, e[b]), dot(wy, e[b]), dot(wz, e[b]), dot(ww, e[b]));
                                    }
                                    var g = mat4x4<f32>();
                                    for (var b = 0u; b < BATCH; b++) { // unroll
                                        let v = h[H_START[l - 1u] + s * BATCH + b];
                                        g[0] = fma(vec4<f32>(v.x), e[b], g[0]);
                                        g[1] = fma(vec4<f32>(v.y), e[b], g[1]);
                                        g[2] = fma(vec4<f32>(v.z), e[b], g[2]);
                                        g[3] = fma(vec4<f32>(v.w), e[b], g[3]);
                                    }
                                    theta[row] = updated(row, wx, g[0], rates);
                                    theta[row + COLUMNS[l]] = updated(row + COLUMNS[l], wy, g[1], rates);
                                    theta[row + 2u * COLUMNS[l]] = updated(row + 2u * COLUMNS[l], wz, g[2], rates);
                                    theta[row + 3u * COLUMNS[l]] = updated(row + 3u * COLUMNS[l], ww, g[3], rates);
                                }
                            }
                        }
                        if (TURNED == 1u) { // static
                            for (var b = 0u; b < BATCH; b++) { // unroll
                                let i = g * BATCH + b;
                                d[i] = subgroupShuffle(d[i], next);
                            }
                        }
                    }
                }
            }
            for (var s = 0u; s < SLOTS[l - 1u]; s++) { // unroll
                for (var b = 0u; b < BATCH; b++) { // unroll
                    d[s * BATCH + b] = back[s * BATCH + b] * slope(
                        ACTIVATIONS[l - 1u],
                        h[H_START[l - 1u] + s * BATCH + b],
                        z[(H_START[l - 1u] + s * BATCH + b) % Z_TOTAL],
                    );
                }
            }
        }
        for (var s = 0u; s < SLOTS[0]; s++) { // unroll
            var gradient = vec4<f32>(0.0);
            for (var b = 0u; b < BATCH; b++) { // unroll
                gradient += d[s * BATCH + b];
            }
            if ((s + 1u) * LANES <= COLUMNS[0] || s * LANES + lane < COLUMNS[0]) {
                bias[s] = updated(base + BIASES[0] + s * LANES + lane, bias[s], gradient, rates);
            }
        }
        for (var i = 0u; i < INPUTS; i++) {
            var x = array<f32, BATCH>();
            for (var b = 0u; b < BATCH; b++) { // unroll
                x[b] = support_x[rows[b] * IN4 + i / 4u][i % 4u];
            }
            for (var s = 0u; s < SLOTS[0]; s++) { // unroll
                if ((s + 1u) * LANES <= COLUMNS[0] || s * LANES + lane < COLUMNS[0]) {
                    var gradient = vec4<f32>(0.0);
                    for (var b = 0u; b < BATCH; b++) { // unroll
                        gradient = fma(vec4<f32>(x[b]), d[s * BATCH + b], gradient);
                    }
                    let place = base + i * COLUMNS[0] + s * LANES + lane;
                    theta[place] = updated(place, theta[place], gradient, rates);
                }
            }
        }
        workgroupBarrier();
        storageBarrier();
    }

    // Home: the registers' parameters.
    if (RESIDENT == 1u) { // static
        for (var l = 1u; l < HIDDEN; l++) { // unroll
            for (var s = 0u; s < SLOTS[l - 1u]; s++) { // unroll
                for (var c = 0u; c < 4u * COLUMNS[l]; c++) { // unroll
                    let row = 4u * (s * LANES + lane) + c % 4u;
                    theta[base + OFFSETS[l] + row * COLUMNS[l] + c / 4u] =
                        w[(W_START[l] + s * 4u * COLUMNS[l] + c) % W_TOTAL];
                }
            }
        }
    }
    for (var l = 0u; l < HIDDEN; l++) { // unroll
        for (var s = 0u; s < SLOTS[l]; s++) { // unroll
            if (s * LANES + lane < COLUMNS[l]) {
                theta[base + BIASES[l] + s * LANES + lane] = bias[B_START[l] + s];
            }
        }
    }
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        for (var s = 0u; s < SLOTS[LAST]; s++) { // unroll
            if (s * LANES + lane < COLUMNS[LAST]) {
                let w = base + HEAD + 4u * (s * LANES + lane) * OUT4 + o / 4u;
                theta[w][o % 4u] = head[o * SLOTS[LAST] + s].x;
                theta[w + OUT4][o % 4u] = head[o * SLOTS[LAST] + s].y;
                theta[w + 2u * OUT4][o % 4u] = head[o * SLOTS[LAST] + s].z;
                theta[w + 3u * OUT4][o % 4u] = head[o * SLOTS[LAST] + s].w;
            }
        }
        if (lane == 0u) {
            theta[base + HEAD_BIAS + o / 4u][o % 4u] = head_bias[o];
        }
    }
}
