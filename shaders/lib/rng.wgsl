// Threefry2x32-20 (Salmon et al. 2011); twin of src/rng.rs, bit for bit.

fn rotate_left(x: u32, bits: u32) -> u32 {
    return (x << bits) | (x >> (32u - bits));
}

fn four_rounds(start: vec2<u32>, rotations: vec4<u32>) -> vec2<u32> {
    var x = start;
    x.x += x.y; x.y = rotate_left(x.y, rotations.x) ^ x.x;
    x.x += x.y; x.y = rotate_left(x.y, rotations.y) ^ x.x;
    x.x += x.y; x.y = rotate_left(x.y, rotations.z) ^ x.x;
    x.x += x.y; x.y = rotate_left(x.y, rotations.w) ^ x.x;
    return x;
}

fn threefry2x32(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    let third = 0x1BD11BDAu ^ key.x ^ key.y;
    let even = vec4<u32>(13u, 15u, 26u, 6u);
    let odd = vec4<u32>(17u, 29u, 16u, 24u);
    var x = four_rounds(counter + key, even) + vec2<u32>(key.y, third + 1u);
    x = four_rounds(x, odd) + vec2<u32>(third, key.x + 2u);
    x = four_rounds(x, even) + vec2<u32>(key.x, key.y + 3u);
    x = four_rounds(x, odd) + vec2<u32>(key.y, third + 4u);
    return four_rounds(x, even) + vec2<u32>(third, key.x + 5u);
}

const PART_TASK = 0u;
const PART_EXAMPLES = 1u;
const PART_ORDER = 2u;

// The key of a task's stream.
fn task_stream(seed: vec2<u32>, phase: u32, iteration: u32, task: u32) -> vec2<u32> {
    return threefry2x32(threefry2x32(seed, vec2<u32>(phase, iteration)), vec2<u32>(task, 0u));
}

fn random_words(stream: vec2<u32>, part: u32, index: u32) -> vec2<u32> {
    return threefry2x32(stream, vec2<u32>(index, part));
}

// `word` as a uniform number in [0, 1) with 24 bits.
fn unit(word: u32) -> f32 {
    return f32(word >> 8u) * (1.0 / 16777216.0);
}

// `word` as a uniform integer in 0..n: the high half of the 64-bit product.
fn word_below(word: u32, n: u32) -> u32 {
    let low = (word & 0xFFFFu) * (n & 0xFFFFu);
    let middle = (word >> 16u) * (n & 0xFFFFu) + (low >> 16u);
    let other = (word & 0xFFFFu) * (n >> 16u) + (middle & 0xFFFFu);
    return (word >> 16u) * (n >> 16u) + (middle >> 16u) + (other >> 16u);
}
