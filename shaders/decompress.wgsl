// T parameter sets from a base and what compress.wgsl made of their differences from it.
// Grid: (groups, in rows of GROUPS_X, tasks).

@group(0) @binding(0) var<storage, read> base: array<f32>;                 // [PARAMETERS]
@group(0) @binding(1) var<storage, read> groups: array<vec2<u32>>;         // [GROUPS + 1]: first element, first word
@group(0) @binding(2) var<storage, read> codes: array<u32>;                // [T, WORDS]
@group(0) @binding(3) var<storage, read> scales: array<f32>;               // [T, GROUPS]
@group(0) @binding(4) var<storage, read_write> sets: array<f32>;           // [T, PARAMETERS]

const PER_WORD = 32u / BITS;

fn difference(word: u32, place: u32, scale: f32) -> f32 {
    if (BITS == 16u) {
        return unpack2x16float(word)[place % 2u];
    }
    if (BITS == 1u) {
        return select(-scale, scale, ((word >> place) & 1u) == 1u);
    }
    // The sign bit of the code becomes that of the number.
    let left = bitcast<i32>(word << ((32u - BITS * (place + 1u)) % 32u));
    return scale * f32(left >> ((32u - BITS) % 32u));
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = id.y * GROUPS_X + id.x;
    if (group >= GROUPS) {
        return;
    }
    let task = id.z;
    var scale = 1.0;
    if (BITS < 16u) {
        scale = scales[task * GROUPS + group];
    }
    let begin = groups[group].x;
    for (var i = begin + lane; i < groups[group + 1u].x; i += BLOCK) {
        let place = i - begin;
        let word = codes[task * WORDS + groups[group].y + place / PER_WORD];
        sets[task * PARAMETERS + i] = base[i] + difference(word, place % PER_WORD, scale);
    }
}
