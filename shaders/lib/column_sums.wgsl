// Sums of two vectors over the SLICES invocations that share a column (lane % COLUMN_LANES), in a fixed
// order. Called in uniform control flow.

var<workgroup> partial: array<array<vec4<f32>, 2>, COLUMN_LANES * SLICES>;

fn column_sums(one: vec4<f32>, other: vec4<f32>, lane: u32) -> array<vec4<f32>, 2> {
    var totals = array<vec4<f32>, 2>(one, other);
    if (SLICES == 1u) {
        return totals;
    }
    partial[lane] = totals;
    workgroupBarrier();
    totals = array<vec4<f32>, 2>(vec4<f32>(0.0), vec4<f32>(0.0));
    for (var slice = 0u; slice < SLICES; slice++) {
        let place = slice * COLUMN_LANES + lane % COLUMN_LANES;
        totals[0] += partial[place][0];
        totals[1] += partial[place][1];
    }
    return totals;
}
