// Mean squared error over batch and outputs, and (if GRADIENT) its gradient in place of the
// predictions: 2 (p − y) / (B · OUTPUTS). A row is the last of ROW_STEP ones. Grid: (tasks).
// Needs lib/inner_step.wgsl and lib/rows_*.wgsl.

@group(0) @binding(0) var<uniform> inner: InnerStep;
@group(0) @binding(1) var<storage, read_write> outputs: array<vec4<f32>>;   // [G, B, ROW_STEP, OUT4]
@group(0) @binding(2) var<storage, read> targets: array<vec4<f32>>;             // [G, B, ROW_STEP, OUT4]
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;              // [T, STEPS]
@group(0) @binding(4) var<storage, read_write> hits: array<f32>;                // [T, STEPS], unused

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = group.x;
    let scale = loss_scale();
    var sum = 0.0;
    for (var i = lane; i < BATCH * OUT4; i += 64u) {
        let number = (task * BATCH + i / OUT4 + 1u) * ROW_STEP - 1u;
        let place = number * OUT4 + i % OUT4;
        let difference = outputs[place] - targets[place];
        let error = select(vec4<f32>(0.0), difference, present(i / OUT4));
        sum += dot(error, error);
        if (GRADIENT == 1u) {
            outputs[place] = 2.0 * scale * error;
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var total = 0.0;
        for (var i = 0u; i < min(64u, BATCH * OUT4); i++) {
            total += partial[i];
        }
        losses[(inner.first_task + task) * STEPS + inner.index] = scale * total;
    }
}
