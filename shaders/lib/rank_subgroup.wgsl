// Ranks of random keys that go around by shuffles: a workgroup is one subgroup of BLOCK lanes, and its
// lanes rank elements of the same `count`. Needs lib/rng.wgsl.

fn rank_of(
    stream: vec2<u32>, part: u32, first: u32, count: u32, lanes: u32, element: u32, lane: u32,
) -> u32 {
    let own = random_words(stream, part, first + element).x;
    var rank = 0u;
    for (var start = 0u; start < count; start += BLOCK) {
        let key = random_words(stream, part, first + start + lane).x;
        for (var j = 0u; j < BLOCK; j++) { // unroll
            let other = subgroupShuffle(key, j);
            let before = other < own || (other == own && start + j < element);
            rank += u32(start + j < count && before);
        }
    }
    return rank;
}
