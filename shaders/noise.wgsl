// Random words: images for a benchmark, made where they are needed. Grid: (blocks of WORDS). Needs
// lib/rng.wgsl.

@group(0) @binding(0) var<storage, read_write> words: array<u32>;   // [WORDS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * GROUPS + group.x) * BLOCK + lane;
    if (index < WORDS) {
        words[index] = threefry2x32(vec2<u32>(SEED, 0u), vec2<u32>(index, 0u)).x;
    }
}
