// The sums of ordered_sum.wgsl in the same order, where few sums over many sets would leave a device waiting
// for memory: all BLOCK invocations load the vectors of ACROSS sums, those of the next sets while the first
// ACROSS invocations add the last ones. `vector` is that of sum `lane` % ACROSS; `count` is uniform.

// Sets that are loaded side by side, and in a round.
const SLICES = BLOCK / ACROSS;
const LOADS = 4u;

var<workgroup> addends: array<vec4<f32>, LOADS * BLOCK>;

fn addend_or_zero(
    run: u32,
    index: u32,
    vector: u32,
    count: u32,
    start: vec4<f32>,
    of_losses: bool,
) -> vec4<f32> {
    if (index >= count) {
        return vec4<f32>(0.0);
    }
    return addend(run, index, vector, start, of_losses);
}

fn ordered_sum(
    run: u32,
    vector: u32,
    lane: u32,
    count: u32,
    start: vec4<f32>,
    before: vec4<f32>,
    of_losses: bool,
) -> vec4<f32> {
    var sum = before;
    var index = lane / ACROSS;
    var next: array<vec4<f32>, LOADS>;
    for (var k = 0u; k < LOADS; k++) { // unroll
        next[k] = addend_or_zero(run, index + k * SLICES, vector, count, start, of_losses);
    }
    for (var done = 0u; done < count; done += LOADS * SLICES) {
        for (var k = 0u; k < LOADS; k++) { // unroll
            addends[k * BLOCK + lane] = next[k];
        }
        workgroupBarrier();
        index += LOADS * SLICES;
        for (var k = 0u; k < LOADS; k++) { // unroll
            next[k] = addend_or_zero(run, index + k * SLICES, vector, count, start, of_losses);
        }
        if (lane < ACROSS) {
            let some = min(LOADS * SLICES, count - done);
            for (var i = 0u; i < some; i++) {
                sum += addends[i * ACROSS + lane];
            }
        }
        workgroupBarrier();
    }
    return sum;
}
