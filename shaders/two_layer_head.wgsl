// The two last, dense layers of a training step in one dispatch: their forward pass, the loss, their backward pass, the
// gradient by the inputs of the first of them (`hidden`) before their activation, and the inner optimiser's steps on the
// weights of both. A workgroup a task. It reads x [G, BATCH, IN4] in vectors.
// Needs lib/run_step.wgsl, lib/inner_step.wgsl, lib/update_*.wgsl, lib/activation.wgsl,
// lib/targets_*.wgsl, lib/rows_*.wgsl, lib/fused_loss_*.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(3) var<storage, read> support_y: array<Target>;         // [G, BATCH, targets]
@group(0) @binding(4) var<storage, read_write> theta: array<vec4<f32>>;    // [T, STRIDE]
@group(0) @binding(7) var<storage, read_write> dx: array<vec4<f32>>;       // [G, BATCH, IN4]
@group(0) @binding(8) var<storage, read_write> losses: array<f32>;         // [T, STEPS]

// Rows that an invocation of the hidden layer's forward pass takes, so many apart.
const APART = (BATCH + ROWS - 1u) / ROWS;
// The hidden values are summed in PARTS parts, each by an invocation of its own; so are the rows in the gradients of the
// last layer, in ROW_PARTS, and of the hidden one, in HIDDEN_PARTS.
const PART = (HIDDEN4 + PARTS - 1u) / PARTS;
const ROW_PART = (BATCH + ROW_PARTS - 1u) / ROW_PARTS;
const HIDDEN_PART = (BATCH + HIDDEN_PARTS - 1u) / HIDDEN_PARTS;
// What is summed over the rows: four rows of the last layer's weights and one vector column, a vector of its bias, the loss;
// and four rows of the hidden layer's weights and one vector column.
const BLOCKS = HIDDEN4 * OUT4;
const ITEMS = BLOCKS + OUT4 + 1u;
const HIDDEN_BLOCKS = IN4 * HIDDEN4;

// [BATCH, HIDDEN4]: values, then the gradient by them before their activation. Each row is turned by its number, so that
// invocations with different rows read different banks.
var<workgroup> hidden: array<vec4<f32>, BATCH * HIDDEN4>;
// Logits in parts, then whole, then their gradient [BATCH, OUT4]; behind it sums over rows but the first part's
// [ROW_PARTS − 1, ITEMS, 4]; at last, from the start, [HIDDEN_PARTS − 1, HIDDEN_BLOCKS, 5].
var<workgroup> logits: array<vec4<f32>, LOGITS>;
var<workgroup> row_losses: array<f32, BATCH>;

fn place_of(row: u32, column: u32) -> u32 {
    return row * HIDDEN4 + (column + row) % HIDDEN4;
}

// activation(x · W + b) of rows first_row, first_row + APART, …, one vector column.
fn hidden_values(first_x: u32, weights: u32, first_row: u32, column: u32) {
    var sums: array<vec4<f32>, ROWS>;
    let bias = theta[weights + 4u * IN4 * HIDDEN4 + column];
    for (var r = 0u; r < ROWS; r++) { // unroll
        sums[r] = bias;
    }
    for (var k = 0u; k < IN4; k++) { // unroll by 2
        let w = weights + 4u * k * HIDDEN4 + column;
        let w0 = theta[w];
        let w1 = theta[w + HIDDEN4];
        let w2 = theta[w + 2u * HIDDEN4];
        let w3 = theta[w + 3u * HIDDEN4];
        for (var r = 0u; r < ROWS; r++) { // unroll
            let v = x_at(first_x + min(first_row + r * APART, BATCH - 1u) * IN4 + k);
            sums[r] = fma(vec4<f32>(v.w), w3, fma(vec4<f32>(v.z), w2,
                fma(vec4<f32>(v.y), w1, fma(vec4<f32>(v.x), w0, sums[r]))));
        }
    }
    for (var r = 0u; r < ROWS; r++) { // unroll
        let row = first_row + r * APART;
        if (row < BATCH) {
            hidden[place_of(row, column)] =
                without_padding(activate(HIDDEN_ACTIVATION, sums[r]), 4u * column, HIDDEN);
        }
    }
}

// What part `part` of the hidden values adds to row `row`, vector `column` of the logits.
fn partial_logit(weights: u32, part: u32, row: u32, column: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    if (part == 0u) {
        sum = theta[weights + 4u * BLOCKS + column];
    }
    for (var k = part * PART; k < min((part + 1u) * PART, HIDDEN4); k++) { // unroll by 4
        let v = hidden[place_of(row, k)];
        let w = weights + 4u * k * OUT4 + column;
        sum = fma(vec4<f32>(v.w), theta[w + 3u * OUT4], fma(vec4<f32>(v.z), theta[w + 2u * OUT4],
            fma(vec4<f32>(v.y), theta[w + OUT4], fma(vec4<f32>(v.x), theta[w], sum))));
    }
    return sum;
}

// The gradient takes the place of the logits.
fn row_loss(batch: u32, row: u32) {
    var values: array<f32, OUTPUTS>;
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        values[o] = logits[row * OUT4 + o / 4u][o % 4u];
    }
    row_losses[row] = loss_gradient(&values, batch * BATCH + row);
    for (var column = 0u; column < OUT4; column++) {
        logits[row * OUT4 + column] = vec4<f32>(0.0);
    }
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        logits[row * OUT4 + o / 4u][o % 4u] = values[o];
    }
}

// A part of the sum over rows for the last layer: four rows of weights, or the bias (or the loss) in the first vector.
fn sum_of_rows(item: u32, part: u32) -> mat4x4<f32> {
    let end = min((part + 1u) * ROW_PART, BATCH);
    var sum = mat4x4<f32>();
    if (item < BLOCKS) {
        for (var row = part * ROW_PART; row < end; row++) { // unroll by 4
            let v = hidden[place_of(row, item / OUT4)];
            let d = logits[row * OUT4 + item % OUT4];
            sum[0] = fma(vec4<f32>(v.x), d, sum[0]);
            sum[1] = fma(vec4<f32>(v.y), d, sum[1]);
            sum[2] = fma(vec4<f32>(v.z), d, sum[2]);
            sum[3] = fma(vec4<f32>(v.w), d, sum[3]);
        }
    } else if (item < BLOCKS + OUT4) {
        for (var row = part * ROW_PART; row < end; row++) { // unroll by 4
            sum[0] += logits[row * OUT4 + item - BLOCKS];
        }
    } else {
        for (var row = part * ROW_PART; row < end; row++) { // unroll by 4
            sum[0].x += row_losses[row];
        }
    }
    return sum;
}

// The last layer's step by a whole sum over rows.
fn finish(task: u32, weights: u32, item: u32, sum: mat4x4<f32>, rates: Rates) {
    if (item < BLOCKS) {
        let w = weights + 4u * (item / OUT4) * OUT4 + item % OUT4;
        update(w, sum[0], rates);
        update(w + OUT4, sum[1], rates);
        update(w + 2u * OUT4, sum[2], rates);
        update(w + 3u * OUT4, sum[3], rates);
    } else if (item < BLOCKS + OUT4) {
        update(weights + 4u * BLOCKS + item - BLOCKS, sum[0], rates);
    } else {
        losses[task * STEPS + inner.index] = sum[0].x;
    }
}

// The gradient of one row by vector k of the values that go into a layer: its weights times `d` of each column.
fn through_last(weights: u32, row: u32, k: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var column = 0u; column < OUT4; column++) { // unroll
        let d = logits[row * OUT4 + column];
        let w = weights + 4u * k * OUT4 + column;
        sum += vec4<f32>(dot(d, theta[w]), dot(d, theta[w + OUT4]), dot(d, theta[w + 2u * OUT4]),
            dot(d, theta[w + 3u * OUT4]));
    }
    return sum;
}

fn through_hidden(weights: u32, row: u32, k: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var column = 0u; column < HIDDEN4; column++) { // unroll by 4
        let d = hidden[place_of(row, column)];
        let w = weights + 4u * k * HIDDEN4 + column;
        sum += vec4<f32>(dot(d, theta[w]), dot(d, theta[w + HIDDEN4]), dot(d, theta[w + 2u * HIDDEN4]),
            dot(d, theta[w + 3u * HIDDEN4]));
    }
    return sum;
}

// A part of the gradient of four rows of the hidden layer's weights and one vector column, and of its bias.
struct HiddenSums {
    block: mat4x4<f32>,
    bias: vec4<f32>,
}

fn hidden_sums(first_x: u32, item: u32, part: u32) -> HiddenSums {
    let k = item / HIDDEN4;
    let column = item % HIDDEN4;
    var sums: HiddenSums;
    for (var row = part * HIDDEN_PART; row < min((part + 1u) * HIDDEN_PART, BATCH); row++) { // unroll by 8
        let v = x_at(first_x + row * IN4 + k);
        let d = hidden[place_of(row, column)];
        sums.block[0] = fma(vec4<f32>(v.x), d, sums.block[0]);
        sums.block[1] = fma(vec4<f32>(v.y), d, sums.block[1]);
        sums.block[2] = fma(vec4<f32>(v.z), d, sums.block[2]);
        sums.block[3] = fma(vec4<f32>(v.w), d, sums.block[3]);
        if (k == 0u) {
            sums.bias += d;
        }
    }
    return sums;
}

fn finish_hidden(weights: u32, item: u32, sums: HiddenSums, rates: Rates) {
    let k = item / HIDDEN4;
    let column = item % HIDDEN4;
    let w = weights + 4u * k * HIDDEN4 + column;
    update(w, sums.block[0], rates);
    update(w + HIDDEN4, sums.block[1], rates);
    update(w + 2u * HIDDEN4, sums.block[2], rates);
    update(w + 3u * HIDDEN4, sums.block[3], rates);
    if (k == 0u) {
        update(weights + 4u * HIDDEN_BLOCKS + column, sums.bias, rates);
    }
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.x;
    let task = inner.first_task + batch;
    let weights = task * STRIDE + OFFSET;
    let hidden_weights = task * STRIDE + HIDDEN_OFFSET;
    let first_x = batch * BATCH * IN4;
    for (var i = lane; i < APART * HIDDEN4; i += BLOCK) {
        hidden_values(first_x, hidden_weights, i / HIDDEN4, i % HIDDEN4);
    }
    workgroupBarrier();
    for (var i = lane; i < PARTS * BATCH * OUT4; i += BLOCK) {
        let own = i % (BATCH * OUT4);
        logits[i] = partial_logit(weights, i / (BATCH * OUT4), own / OUT4, own % OUT4);
    }
    workgroupBarrier();
    for (var i = lane; i < BATCH * OUT4; i += BLOCK) {
        for (var part = 1u; part < PARTS; part++) {
            logits[i] += logits[part * BATCH * OUT4 + i];
        }
    }
    workgroupBarrier();
    for (var row = lane; row < BATCH; row += BLOCK) {
        row_loss(batch, row);
    }
    workgroupBarrier();
    let rates = rates_of(runs[task / TASKS_PER_RUN], task, inner.index, inner.last == 1u);
    // The last layer's gradient, while the hidden values are there. There are as many invocations as sums at least.
    var own = mat4x4<f32>();
    if (lane < ITEMS * ROW_PARTS) {
        own = sum_of_rows(lane % ITEMS, lane / ITEMS);
        if (lane >= ITEMS) {
            for (var j = 0u; j < 4u; j++) { // unroll
                logits[BATCH * OUT4 + 4u * (lane - ITEMS) + j] = own[j];
            }
        }
    }
    workgroupBarrier();
    for (var i = lane; i < BATCH * HIDDEN4; i += BLOCK) {
        let row = i / HIDDEN4;
        let place = place_of(row, i % HIDDEN4);
        hidden[place] = through_last(weights, row, i % HIDDEN4)
            * slope(HIDDEN_ACTIVATION, hidden[place], vec4<f32>(0.0));
    }
    if (lane < ITEMS) {
        for (var part = 1u; part < ROW_PARTS; part++) {
            for (var j = 0u; j < 4u; j++) { // unroll
                own[j] += logits[BATCH * OUT4 + 4u * ((part - 1u) * ITEMS + lane) + j];
            }
        }
    }
    // All weights of the last layer are read before the first one changes.
    storageBarrier();
    workgroupBarrier();
    if (lane < ITEMS) {
        finish(task, weights, lane, own, rates);
    }
    if (NEEDS_INPUT_GRADIENT == 1u) {
        // Rows beside each other, so that invocations beside each other read the same weights.
        for (var i = lane; i < BATCH * IN4; i += BLOCK) {
            let place = first_x + i % BATCH * IN4 + i / BATCH;
            dx[place] = through_hidden(hidden_weights, i % BATCH, i / BATCH)
                * slope(ACTIVATION, x_at(place), vec4<f32>(0.0));
        }
        storageBarrier();
        workgroupBarrier();
    }
    // With more than one part there are as many invocations at least, so each has one sum at most.
    var sums: HiddenSums;
    for (var i = lane; i < HIDDEN_BLOCKS * HIDDEN_PARTS; i += BLOCK) {
        sums = hidden_sums(first_x, i % HIDDEN_BLOCKS, i / HIDDEN_BLOCKS);
        if (HIDDEN_PARTS == 1u) {
            finish_hidden(hidden_weights, i, sums, rates);
        } else if (i >= HIDDEN_BLOCKS) {
            let place = 5u * (i - HIDDEN_BLOCKS);
            for (var j = 0u; j < 4u; j++) { // unroll
                logits[place + j] = sums.block[j];
            }
            logits[place + 4u] = sums.bias;
        }
    }
    if (HIDDEN_PARTS > 1u) {
        workgroupBarrier();
        if (lane < HIDDEN_BLOCKS) {
            for (var part = 1u; part < HIDDEN_PARTS; part++) {
                let place = 5u * ((part - 1u) * HIDDEN_BLOCKS + lane);
                for (var j = 0u; j < 4u; j++) { // unroll
                    sums.block[j] += logits[place + j];
                }
                sums.bias += logits[place + 4u];
            }
            finish_hidden(hidden_weights, lane, sums, rates);
        }
    }
}
