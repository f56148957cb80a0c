// Sums of two vectors over the SLICES (a power of two) invocations that share a column (lane % COLUMN_LANES), in a fixed
// order. Called in uniform control flow.

var<workgroup> partial: array<array<vec4<f32>, 2>, COLUMN_LANES * SLICES>;

fn column_sums(one: vec4<f32>, other: vec4<f32>, lane: u32) -> array<vec4<f32>, 2> {
    var totals = array<vec4<f32>, 2>(one, other);
    if (SLICES == 1u) {
        return totals;
    }
    partial[lane] = totals;
    workgroupBarrier();
    for (var half = SLICES / 2u; half > 0u; half /= 2u) {
        if (lane < half * COLUMN_LANES) {
            let upper = lane + half * COLUMN_LANES;
            partial[lane][0] += partial[upper][0];
            partial[lane][1] += partial[upper][1];
        }
        workgroupBarrier();
    }
    return partial[lane % COLUMN_LANES];
}
