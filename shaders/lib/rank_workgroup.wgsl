// Ranks of random keys that go around in workgroup memory. Needs lib/rng.wgsl and the constant BLOCK.

var<workgroup> keys: array<u32, BLOCK>;

// How many of the `count` elements that `lanes` lanes rank come before `element`. Called in uniform
// control flow.
fn rank_of(
    stream: vec2<u32>, part: u32, first: u32, count: u32, lanes: u32, element: u32, lane: u32,
) -> u32 {
    let own = random_words(stream, part, first + element).x;
    let base = min(lane / lanes, BLOCK / lanes - 1u) * lanes;
    var rank = 0u;
    for (var start = 0u; start < count; start += lanes) {
        workgroupBarrier();
        if (count <= lanes) {
            keys[lane] = own;
        } else {
            keys[lane] = random_words(stream, part, first + start + lane % lanes).x;
        }
        workgroupBarrier();
        for (var j = 0u; j < min(lanes, count - start); j++) {
            let other = keys[base + j];
            rank += u32(other < own || (other == own && start + j < element));
        }
    }
    return rank;
}
