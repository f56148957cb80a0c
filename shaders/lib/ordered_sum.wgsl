// Sums over sets in their order: an invocation adds the vectors of its own sum, one set after the other.
// Needs `addend(run, index, vector, start)` and the constants BLOCK and ACROSS (here BLOCK): the sums of a workgroup.

fn ordered_sum(
    run: u32,
    vector: u32,
    lane: u32,
    count: u32,
    start: vec4<f32>,
    before: vec4<f32>,
) -> vec4<f32> {
    var sum = before;
    for (var index = 0u; index < count; index++) {
        sum += addend(run, index, vector, start);
    }
    return sum;
}
