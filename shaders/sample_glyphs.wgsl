// N-way tasks over glyphs: support rows, query rows and the order of the minibatches. A class is a
// program of strokes, an example draws it with other points, another affine map and another width.
// Grid: (blocks of the pool, EXAMPLE_ROWS + layers of passes, tasks); the first rows draw, a workgroup
// an image. Needs lib/order.wgsl with BLOCK = 64 and lib/precise_sin.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;             // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read_write> support_x: array<vec4<f32>>;   // [T, WAY, GROUP, IN4]
@group(0) @binding(3) var<storage, read_write> support_y: array<u32>;         // [T, WAY, GROUP]
@group(0) @binding(4) var<storage, read_write> query_x: array<vec4<f32>>;     // [T, WAY, QUERIES, IN4]
@group(0) @binding(5) var<storage, read_write> query_y: array<u32>;           // [T, WAY, QUERIES]

const SUPPORT = WAY * GROUP;
const IMAGES = SUPPORT + WAY * QUERIES;
const PIXELS = SIZE * SIZE;

// A glyph has at most 4 strokes of at most 2 curves of 8 line segments: a lane makes a curve, then
// a segment, then pixels.
const CURVES = 8u;
const PIECES = 8u;
// Random words of a class, and of an example.
const CLASS_WORDS = 32u;
const EXAMPLE_WORDS = 32u;
// Pixels over which the edge of a stroke goes from ink to paper.
const EDGE = 0.25;

var<workgroup> curve_count: u32;
var<workgroup> curves: array<Curve, CURVES>;     // in pixels
var<workgroup> segments: array<vec4<f32>, 64>;   // start, and from there to the end, in pixels
var<workgroup> inverses: array<f32, 64>;         // 1 / squared length
var<workgroup> near_row: array<vec2<u32>, SIZE>; // bits: segments that a row of pixels can show

// A quadratic Bézier curve.
struct Curve {
    a: vec2<f32>,
    b: vec2<f32>,
    c: vec2<f32>,
}

// The curve that one lane draws.
struct Own {
    curve: Curve,
    point: u32,     // number of its first control point
    curves: u32,    // curves of the glyph
}

fn at(curve: Curve, t: f32) -> vec2<f32> {
    let s = 1.0 - t;
    return s * s * curve.a + 2.0 * s * t * curve.b + t * t * curve.c;
}

fn signed(word: u32) -> f32 {
    return 2.0 * unit(word) - 1.0;
}

fn signed2(words: vec2<u32>) -> vec2<f32> {
    return vec2<f32>(signed(words.x), signed(words.y));
}

// From `start` in a random direction, to either side of the straight line; more often near it.
fn curve_from(start: vec2<f32>, words: vec2<u32>, bend: u32) -> Curve {
    let angle = 6.2831853 * unit(words.x);
    let cosine = precise_sin(angle + 1.5707963);
    let along = (0.25 + 0.5 * unit(words.y)) * vec2<f32>(cosine, precise_sin(angle));
    let side = signed(bend) * abs(signed(bend)) * vec2<f32>(-along.y, along.x);
    return Curve(start, start + 0.5 * along + side, start + along);
}

// The class whose words start at `first`: curve `wanted`, brought with all others into a box around
// zero. Of three strokes two start on the stroke before them.
fn class_curve(stream: vec2<u32>, first: u32, wanted: u32) -> Own {
    let whole = random_words(stream, PART_TASK, first);
    var own = Own(Curve(), 0u, 0u);
    var low = vec2<f32>(1e9);
    var high = vec2<f32>(-1e9);
    var before = Curve();
    for (var k = 0u; k < 2u + word_below(whole.x, 3u); k++) {
        let base = first + 1u + 5u * k;
        let place = random_words(stream, PART_TASK, base);
        let choice = random_words(stream, PART_TASK, base + 1u);
        let bends = random_words(stream, PART_TASK, base + 3u);
        var start = 0.6 * vec2<f32>(unit(place.x), unit(place.y));
        if (k > 0u && word_below(choice.x, 3u) > 0u) {
            start = at(before, 0.5 * f32(word_below(place.x, 3u)));
        }
        var curve = curve_from(start, random_words(stream, PART_TASK, base + 2u), bends.x);
        before = curve;
        for (var j = 0u; j <= word_below(choice.y, 2u); j++) {
            if (j == 1u) {
                curve = curve_from(curve.c, random_words(stream, PART_TASK, base + 4u), bends.y);
            }
            if (own.curves == wanted) {
                own.curve = curve;
                own.point = 5u * k + 2u * j;
            }
            own.curves++;
            let middle = at(curve, 0.5);
            low = min(low, min(middle, min(curve.a, curve.c)));
            high = max(high, max(middle, max(curve.a, curve.c)));
        }
    }
    let extent = high - low;
    let longest = max(extent.x, extent.y);
    let factor = (0.55 + 0.2 * unit(whole.y)) / max(extent, vec2<f32>(0.6 * longest));
    let center = 0.5 * (low + high);
    let curve = own.curve;
    own.curve = Curve(factor * (curve.a - center), factor * (curve.b - center),
        factor * (curve.c - center));
    return own;
}

// Where the example whose words start at `first` has control point `number`, in pixels.
fn moved(stream: vec2<u32>, first: u32, point: vec2<f32>, number: u32) -> vec2<f32> {
    let turn = signed2(random_words(stream, PART_EXAMPLES, first));
    let scale = 1.0 + SCALE * signed2(random_words(stream, PART_EXAMPLES, first + 1u));
    let shift = 0.5 + SHIFT * signed2(random_words(stream, PART_EXAMPLES, first + 2u));
    let jitter = JITTER * signed2(random_words(stream, PART_EXAMPLES, first + 4u + number));
    let scaled = scale * (point + jitter);
    let sheared = vec2<f32>(scaled.x + SHEAR * turn.y * scaled.y, scaled.y);
    let angle = ROTATION * turn.x;
    let sine = precise_sin(angle);
    let cosine = precise_sin(angle + 1.5707963);
    let turned = vec2<f32>(cosine * sheared.x - sine * sheared.y,
        sine * sheared.x + cosine * sheared.y);
    return f32(SIZE) * (turned + shift);
}

// The segments that come within `reach` of the centres of row `row`.
fn segments_near(row: u32, count: u32, reach: f32) -> vec2<u32> {
    let y = f32(row) + 0.5;
    var found = vec2<u32>(0u);
    for (var i = 0u; i < count; i++) {
        let ends = vec2<f32>(segments[i].y, segments[i].y + segments[i].w);
        if (min(ends.x, ends.y) < y + reach && max(ends.x, ends.y) > y - reach) {
            found[i / 32u] |= 1u << (i % 32u);
        }
    }
    return found;
}

// Four pixels from `first` on: paper is 1, ink is 0; behind the last pixel there is 0.
fn four_pixels(first: u32, width: f32) -> vec4<f32> {
    let index = first + vec4<u32>(0u, 1u, 2u, 3u);
    let x = vec4<f32>(index % SIZE) + 0.5;
    let y = vec4<f32>(index / SIZE) + 0.5;
    var near = vec2<u32>(0u);
    for (var i = 0u; i < 4u; i++) {
        near |= near_row[min(index[i], PIXELS - 1u) / SIZE];
    }
    var least = vec4<f32>(1e9);
    for (var half = 0u; half < 2u; half++) {
        for (var bits = near[half]; bits != 0u; bits &= bits - 1u) {
            let number = 32u * half + countTrailingZeros(bits);
            let segment = segments[number];
            let right = x - segment.x;
            let down = y - segment.y;
            let share = (right * segment.z + down * segment.w) * inverses[number];
            let nearest = clamp(share, vec4<f32>(0.0), vec4<f32>(1.0));
            let gap_x = right - nearest * segment.z;
            let gap_y = down - nearest * segment.w;
            least = min(least, gap_x * gap_x + gap_y * gap_y);
        }
    }
    let value = (sqrt(least) - 0.5 * width) / EDGE + 0.5;
    let shown = clamp(value, vec4<f32>(0.0), vec4<f32>(1.0));
    return select(vec4<f32>(0.0), shown, index < vec4<u32>(PIXELS));
}

fn store(is_query: bool, place: u32, value: vec4<f32>) {
    if (is_query) {
        query_x[place] = value;
    } else {
        support_x[place] = value;
    }
}

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let task = group.z;
    let stream = stream_of(runs[task / TASKS_PER_RUN], task);
    if (group.y >= EXAMPLE_ROWS) {
        write_order(stream, task, group.y - EXAMPLE_ROWS, group.x, lane);
        return;
    }
    let image = example_block(group);
    if (image >= IMAGES) {
        return;
    }
    var label = image / GROUP;
    var example = image % GROUP;
    let is_query = image >= SUPPORT;
    let row = select(image, image - SUPPORT, is_query);
    if (is_query) {
        label = row / max(QUERIES, 1u);
        example = GROUP + row % max(QUERIES, 1u);
    }
    let first = (label * 256u + example) * EXAMPLE_WORDS;
    if (lane < CURVES) {
        let own = class_curve(stream, label * CLASS_WORDS, lane);
        curves[lane] = Curve(moved(stream, first, own.curve.a, own.point),
            moved(stream, first, own.curve.b, own.point + 1u),
            moved(stream, first, own.curve.c, own.point + 2u));
        if (lane == 0u) {
            curve_count = own.curves;
        }
    }
    workgroupBarrier();
    let curve = curves[lane / PIECES];
    let start = at(curve, f32(lane % PIECES) / f32(PIECES));
    let along = at(curve, f32(lane % PIECES + 1u) / f32(PIECES)) - start;
    segments[lane] = vec4<f32>(start, along);
    inverses[lane] = 1.0 / max(dot(along, along), 1e-12);
    workgroupBarrier();

    let thickness = unit(random_words(stream, PART_EXAMPLES, first + 3u).x);
    let width = f32(SIZE) * (WIDTH_LOW + (WIDTH_HIGH - WIDTH_LOW) * thickness);
    // Beyond half the width and half the edge there is paper.
    for (var y = lane; y < SIZE; y += BLOCK) {
        near_row[y] = segments_near(y, curve_count * PIECES, 0.5 * width + EDGE);
    }
    workgroupBarrier();

    let start_of_row = select(task * SUPPORT + row, task * WAY * QUERIES + row, is_query) * IN4;
    for (var first_pixel = 4u * lane; first_pixel < PIXELS; first_pixel += 4u * BLOCK) {
        let values = four_pixels(first_pixel, width);
        if (PER_VECTOR == 4u) {
            store(is_query, start_of_row + first_pixel / 4u, values);
        } else {
            for (var i = 0u; i < min(4u, PIXELS - first_pixel); i++) {
                store(is_query, start_of_row + first_pixel + i, vec4<f32>(values[i], 0.0, 0.0, 0.0));
            }
        }
    }
    if (lane == 0u && is_query) {
        query_y[task * WAY * QUERIES + row] = label;
    } else if (lane == 0u) {
        support_y[task * SUPPORT + row] = label;
    }
}
