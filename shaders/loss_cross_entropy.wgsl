// Softmax cross-entropy, mean over the batch, the share of right answers, and (if GRADIENT) the
// gradient in place of the logits: (softmax − one-hot) / B. A row is the last of ROW_STEP ones.
// Grid: (tasks). Needs lib/inner_step.wgsl and lib/rows_*.wgsl.

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read_write> outputs: array<vec4<f32>>;   // [G, B, ROW_STEP, OUT4]
@group(0) @binding(2) var<storage, read> targets: array<u32>;               // [G, B, ROW_STEP]
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;         // [T, STEPS]
@group(0) @binding(4) var<storage, read_write> hits: array<f32>;           // [T, STEPS]

const LOWEST = -3.4028234e38;

var<workgroup> partial: array<vec2<f32>, 64>;

// The logits of one vector, the padding at −∞ in all but name.
fn load(place: u32, column: u32) -> vec4<f32> {
    let first = 4u * column;
    let numbers = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
    return select(vec4<f32>(LOWEST), outputs[place + column], numbers < vec4<u32>(OUTPUTS));
}

// Loss and hit (1 or 0) of one row.
fn row_loss(task: u32, row: u32, scale: f32) -> vec2<f32> {
    let counts = present(row);
    let number = (task * BATCH + row + 1u) * ROW_STEP - 1u;
    let place = number * OUT4;
    let label = targets[number];
    var highest = LOWEST;
    var before = LOWEST;    // the highest logit of the classes before the label
    var own = 0.0;
    for (var column = 0u; column < OUT4; column++) {
        let v = load(place, column);
        for (var i = 0u; i < 4u; i++) {
            let number = 4u * column + i;
            if (number < label) { before = max(before, v[i]); }
            if (number == label) { own = v[i]; }
            highest = max(highest, v[i]);
        }
    }
    var sum = 0.0;
    for (var column = 0u; column < OUT4; column++) {
        sum += dot(exp(load(place, column) - highest), vec4<f32>(1.0));
    }
    if (GRADIENT == 1u) {
        for (var column = 0u; column < OUT4; column++) {
            let first = 4u * column;
            let numbers = vec4<u32>(first, first + 1u, first + 2u, first + 3u);
            let one_hot = select(vec4<f32>(0.0), vec4<f32>(1.0), numbers == vec4<u32>(label));
            let share = exp(load(place, column) - highest) / sum;
            outputs[place + column] = select(vec4<f32>(0.0), scale * (share - one_hot), counts);
        }
    }
    let loss = vec2<f32>(highest + log(sum) - own, f32(own == highest && own > before));
    return select(vec2<f32>(0.0), loss, counts);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = group.x;
    let scale = loss_scale();
    var sum = vec2<f32>(0.0);
    for (var row = lane; row < BATCH; row += 64u) {
        sum += row_loss(task, row, scale);
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var total = vec2<f32>(0.0);
        for (var i = 0u; i < min(64u, BATCH); i++) {
            total += partial[i];
        }
        losses[(inner.first_task + task) * STEPS + inner.index] = scale * total.x;
        hits[(inner.first_task + task) * STEPS + inner.index] = scale * total.y;
    }
}
