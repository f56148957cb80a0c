// The last, dense layer of a training step in one dispatch: logits, loss, the gradient by the inputs
// before their activation, and the inner optimiser's step on the weights. A workgroup a task. It reads
// x [G, BATCH, IN4] in vectors, and by weights_at(i) theta as it is before the step: a mirror or lib/weights_in_place.wgsl.
// Needs lib/run_step.wgsl, lib/inner_step.wgsl, lib/update_*.wgsl, lib/row_of.wgsl, lib/activation.wgsl,
// lib/targets_*.wgsl, lib/rows_*.wgsl, lib/fused_loss_*.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<uniform> inner: InnerStep;
@group(0) @binding(3) var<storage, read> support_y: array<Target>;         // [G, BATCH, targets]
@group(0) @binding(4) var<storage, read_write> theta: array<vec4<f32>>;    // [T, STRIDE]
@group(0) @binding(7) var<storage, read_write> dx: array<vec4<f32>>;       // [G, BATCH, IN4]
@group(0) @binding(8) var<storage, read_write> losses: array<f32>;         // [T, STEPS]

// The inputs are summed in PARTS parts, each by an invocation of its own, and so are the rows in ROW_PARTS.
const PART = (IN4 + PARTS - 1u) / PARTS;
const ROW_PART = (BATCH + ROW_PARTS - 1u) / ROW_PARTS;
// What is summed over the rows: four rows of weights and one vector column, a vector of the bias, the loss.
const BLOCKS = IN4 * OUT4;
const ITEMS = BLOCKS + OUT4 + 1u;

// Logits in parts, then whole, then their gradient [BATCH, OUT4]; behind it sums over rows but the first part's
// [ROW_PARTS − 1, ITEMS, 4].
var<workgroup> logits: array<vec4<f32>, max(PARTS * BATCH * OUT4, BATCH * OUT4 + (ROW_PARTS - 1u) * ITEMS * 4u)>;
var<workgroup> row_losses: array<f32, BATCH>;

// What part `part` of the inputs adds to row `row`, vector `column` of x · W + b.
fn partial_logit(first_x: u32, weights: u32, part: u32, row: u32, column: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    if (part == 0u) {
        sum = weights_at(weights + 4u * IN4 * OUT4 + column);
    }
    for (var k = part * PART; k < min((part + 1u) * PART, IN4); k++) {
        let v = x_at(first_x + row * IN4 + k);
        let w = weights + 4u * k * OUT4 + column;
        sum = fma(vec4<f32>(v.w), weights_at(w + 3u * OUT4), fma(vec4<f32>(v.z), weights_at(w + 2u * OUT4),
            fma(vec4<f32>(v.y), weights_at(w + OUT4), fma(vec4<f32>(v.x), weights_at(w), sum))));
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

// dx of one row and vector of inputs.
fn input_gradient(weights: u32, row: u32, k: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var column = 0u; column < OUT4; column++) {
        let d = logits[row * OUT4 + column];
        let w = weights + 4u * k * OUT4 + column;
        sum += vec4<f32>(dot(d, weights_at(w)), dot(d, weights_at(w + OUT4)), dot(d, weights_at(w + 2u * OUT4)),
            dot(d, weights_at(w + 3u * OUT4)));
    }
    return sum;
}

// A part of the sum over rows: the gradient of four rows of weights, or of the bias (or the loss) in its first vector.
fn sum_of_rows(first_x: u32, item: u32, part: u32) -> mat4x4<f32> {
    let end = min((part + 1u) * ROW_PART, BATCH);
    var sum = mat4x4<f32>();
    if (item < BLOCKS) {
        for (var row = part * ROW_PART; row < end; row++) {
            let v = x_at(first_x + row * IN4 + item / OUT4);
            let d = logits[row * OUT4 + item % OUT4];
            sum[0] = fma(vec4<f32>(v.x), d, sum[0]);
            sum[1] = fma(vec4<f32>(v.y), d, sum[1]);
            sum[2] = fma(vec4<f32>(v.z), d, sum[2]);
            sum[3] = fma(vec4<f32>(v.w), d, sum[3]);
        }
    } else if (item < BLOCKS + OUT4) {
        for (var row = part * ROW_PART; row < end; row++) {
            sum[0] += logits[row * OUT4 + item - BLOCKS];
        }
    } else {
        for (var row = part * ROW_PART; row < end; row++) {
            sum[0].x += row_losses[row];
        }
    }
    return sum;
}

// The step by a whole sum over rows.
fn finish(task: u32, weights: u32, item: u32, sum: mat4x4<f32>, rates: Rates) {
    if (item < BLOCKS) {
        update_rows(weights + 4u * (item / OUT4) * OUT4 + item % OUT4, sum, rates);
    } else if (item < BLOCKS + OUT4) {
        update(weights + 4u * BLOCKS + item - BLOCKS, sum[0], rates);
    } else {
        losses[task * STEPS + inner.index] = sum[0].x;
    }
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let batch = group.x;
    let task = inner.first_task + batch;
    let weights = task * STRIDE + OFFSET;
    let first_x = batch * BATCH * IN4;
    for (var i = lane; i < PARTS * BATCH * OUT4; i += BLOCK) {
        let own = i % (BATCH * OUT4);
        let part = i / (BATCH * OUT4);
        logits[i] = partial_logit(first_x, weights, part, own / OUT4, own % OUT4);
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
    if (NEEDS_INPUT_GRADIENT == 1u) {
        for (var i = lane; i < BATCH * IN4; i += BLOCK) {
            let place = first_x + i;
            dx[place] = input_gradient(weights, i / IN4, i % IN4)
                * slope(ACTIVATION, x_at(place), vec4<f32>(0.0));
        }
    }
    // All weights are read before the first one changes.
    storageBarrier();
    workgroupBarrier();
    let rates = rates_of(runs[task / TASKS_PER_RUN], task, inner.index, inner.last == 1u);
    // With more than one part there are as many invocations at least, so each has one sum at most.
    var own = mat4x4<f32>();
    for (var i = lane; i < ITEMS * ROW_PARTS; i += BLOCK) {
        let item = i % ITEMS;
        let part = i / ITEMS;
        var sum = sum_of_rows(first_x, item, part);
        if (ROW_PARTS == 1u) {
            finish(task, weights, item, sum, rates);
        } else if (part == 0u) {
            own = sum;
        } else {
            let place = BATCH * OUT4 + ((part - 1u) * ITEMS + item) * 4u;
            for (var j = 0u; j < 4u; j++) { // unroll
                logits[place + j] = sum[j];
            }
        }
    }
    if (ROW_PARTS > 1u) {
        workgroupBarrier();
        if (lane < ITEMS) {
            for (var part = 1u; part < ROW_PARTS; part++) {
                let place = BATCH * OUT4 + ((part - 1u) * ITEMS + lane) * 4u;
                for (var j = 0u; j < 4u; j++) { // unroll
                    own[j] += logits[place + j];
                }
            }
            finish(task, weights, lane, own, rates);
        }
    }
}
