// The fused kernel's parameters stay where a broadcast put them: in the task's part of `theta`.

// Where vector `column` of row `row` of the weights of layer l lies; the bias is the row after the last.
fn weight_place(base: u32, l: u32, row: u32, column: u32) -> u32 {
    return base + OFFSETS[l] + row * OUTS[l] + column;
}

fn weight(place: u32) -> vec4<f32> {
    return theta[place];
}

fn set_weight(place: u32, value: vec4<f32>) {
    theta[place] = value;
}

fn take_weights(base: u32, lane: u32) {}

fn give_weights(base: u32, lane: u32) {}

fn weights_barrier() {
    workgroupBarrier();
    storageBarrier();
}
