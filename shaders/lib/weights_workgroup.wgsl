// The fused kernel's parameters lie in workgroup memory during the inner loop. Forward, neighbouring invocations
// read neighbouring columns; backward, the same column of rows that are four apart. So that neither meets in a bank, the
// columns of four rows are permuted by the number of the four (MASKS says by which bits of it: those that keep a column
// within its row).

var<workgroup> weights: array<vec4<f32>, STRIDE>;

// Where vector `column` of row `row` of the weights of layer l lies; the bias is the row after the last.
fn weight_place(base: u32, l: u32, row: u32, column: u32) -> u32 {
    return OFFSETS[l] + row * OUTS[l] + (column ^ ((row / 4u) & MASKS[l]));
}

fn weight(place: u32) -> vec4<f32> {
    return weights[place];
}

fn set_weight(place: u32, value: vec4<f32>) {
    weights[place] = value;
}

fn take_weights(base: u32, lane: u32) {
    for (var l = 0u; l < LAYERS; l++) { // unroll
        for (var i = lane; i < (4u * INS[l] + 1u) * OUTS[l]; i += BLOCK) {
            weights[weight_place(base, l, i / OUTS[l], i % OUTS[l])] = theta[base + OFFSETS[l] + i];
        }
    }
    workgroupBarrier();
}

fn give_weights(base: u32, lane: u32) {
    for (var l = 0u; l < LAYERS; l++) { // unroll
        for (var i = lane; i < (4u * INS[l] + 1u) * OUTS[l]; i += BLOCK) {
            theta[base + OFFSETS[l] + i] = weights[weight_place(base, l, i / OUTS[l], i % OUTS[l])];
        }
    }
}

fn weights_barrier() {
    workgroupBarrier();
}
