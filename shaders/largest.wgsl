// The size of the KEPT-th largest difference of each of T parameter sets from a base: its digits to the base of
// 256 from the first one on, by counting. A float that is not negative is as large as its bits. Grid: (tasks).

@group(0) @binding(0) var<storage, read> base: array<f32>;                 // [PARAMETERS]
@group(0) @binding(1) var<storage, read> sets: array<f32>;                 // [T, PARAMETERS]
@group(0) @binding(2) var<storage, read_write> thresholds: array<u32>;     // [T]: bits

var<workgroup> counts: array<atomic<u32>, BLOCK>;   // BLOCK = 256
var<workgroup> found: vec2<u32>;                    // the digit, and how many have a larger one

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let task = group.x;
    var known = 0u;     // the digits so far
    var mask = 0u;      // where they are
    var left = KEPT;
    for (var round = 0u; round < 4u; round++) {
        let shift = 24u - 8u * round;
        atomicStore(&counts[lane], 0u);
        workgroupBarrier();
        for (var i = lane; i < PARAMETERS; i += BLOCK) {
            let bits = bitcast<u32>(abs(sets[task * PARAMETERS + i] - base[i]));
            if ((bits & mask) == known) {
                atomicAdd(&counts[(bits >> shift) & 255u], 1u);
            }
        }
        workgroupBarrier();
        if (lane == 0u) {
            var larger = 0u;
            var digit = 255u;
            for (; digit > 0u; digit--) {
                let here = atomicLoad(&counts[digit]);
                if (larger + here >= left) {
                    break;
                }
                larger += here;
            }
            found = vec2<u32>(digit, larger);
        }
        workgroupBarrier();
        known |= found.x << shift;
        mask |= 255u << shift;
        left -= found.y;
        workgroupBarrier();
    }
    if (lane == 0u) {
        thresholds[task] = known;
    }
}
