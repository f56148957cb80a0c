// Differences of T parameter sets from a base in few bits. Elements come in groups with a scale each: with
// 8 or 4 bits the largest difference is the largest code (absmax), with 1 bit there are only signs (as in BitDelta,
// Liu et al. 2024, arXiv 2402.10193); 16 bits are halves and have no scale.
//
// The mean size m as scale of the signs makes the least squared error, but what is decoded is then too short a way
// along the difference δ. The scale Σ δ² / Σ |δ| makes it as long as δ along δ; it is at most FURTHEST m, so that the
// error stays smaller than δ, which error feedback needs.
// Grid: (groups, in rows of GROUPS_X, tasks).

@group(0) @binding(0) var<storage, read> base: array<f32>;                 // [PARAMETERS]
@group(0) @binding(1) var<storage, read> sets: array<f32>;                 // [T, PARAMETERS]
@group(0) @binding(2) var<storage, read> groups: array<vec2<u32>>;         // [GROUPS + 1]: first element, first word
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;          // [T, WORDS]
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;         // [T, GROUPS]

const PER_WORD = 32u / BITS;
const LARGEST = f32((1u << ((BITS - 1u) % 16u)) - 1u);

const FURTHEST = 1.75;

var<workgroup> shares: array<vec2<f32>, BLOCK>;    // with 1 bit Σ |δ| and Σ δ², else max |δ|

fn code(difference: f32, scale: f32) -> u32 {
    if (BITS == 1u) {
        return select(0u, 1u, difference >= 0.0);
    }
    if (BITS == 16u) {
        return pack2x16float(vec2<f32>(difference, 0.0));
    }
    if (scale == 0.0) {
        return 0u;
    }
    let number = clamp(round(difference / scale), -LARGEST, LARGEST);
    return bitcast<u32>(i32(number)) & ((1u << (BITS % 32u)) - 1u);
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = id.y * GROUPS_X + id.x;
    let group = min(number, GROUPS - 1u);
    let task = id.z;
    let begin = groups[group].x;
    let end = groups[group + 1u].x;
    let own = task * PARAMETERS;
    var share = vec2<f32>(0.0);
    for (var i = begin + lane; i < end; i += BLOCK) {
        let size = abs(sets[own + i] - base[i]);
        let sums = share + vec2<f32>(size, size * size);
        share = select(vec2<f32>(max(share.x, size), 0.0), sums, BITS == 1u);
    }
    shares[lane] = share;
    for (var half = BLOCK / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            let other = shares[lane + half];
            shares[lane] = select(max(shares[lane], other), shares[lane] + other, BITS == 1u);
        }
    }
    workgroupBarrier();
    if (number >= GROUPS) {
        return;
    }
    var scale = shares[0].x / LARGEST;
    if (BITS == 1u) {
        let furthest = FURTHEST * shares[0].x / f32(end - begin);
        scale = select(0.0, min(shares[0].y / shares[0].x, furthest), shares[0].x > 0.0);
    }
    if (lane == 0u && BITS < 16u) {
        scales[task * GROUPS + group] = scale;
    }
    let first_word = groups[group].y;
    let words = groups[group + 1u].y - first_word;
    for (var w = lane; w < words; w += BLOCK) {
        var word = 0u;
        for (var j = 0u; j < PER_WORD; j++) {
            let i = begin + w * PER_WORD + j;
            if (i < end) {
                word |= code(sets[own + i] - base[i], scale) << (j * BITS);
            }
        }
        codes[task * WORDS + first_word + w] = word;
    }
}
