// N-way episodes over an image set: which images are support and query, and the order of the
// minibatches. Grid: (blocks of the pool, EXAMPLE_ROWS + layers of passes, tasks); the first rows pick the images.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;         // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> classes: array<vec2<u32>>;       // [CLASSES]: first image, images
@group(0) @binding(3) var<storage, read_write> support: array<u32>;       // [T, WAY, GROUP]
@group(0) @binding(4) var<storage, read_write> query: array<u32>;         // [T, WAY, QUERIES]

// The places that the draws of a partial Fisher–Yates shuffle swapped so far.
var<private> swaps: array<u32, DRAWS>;

// The next element of a virtual array 0..count, none twice.
fn draw_distinct(stream: vec2<u32>, part: u32, first: u32, i: u32, count: u32) -> u32 {
    let place = i + word_below(random_words(stream, part, first + i).x, count - i);
    swaps[i] = place;
    var value = place;
    for (var back = i; back > 0u; back--) {
        if (swaps[back - 1u] == value) {
            value = back - 1u;
        }
    }
    return value;
}

fn pick_images(stream: vec2<u32>, task: u32, n: u32) {
    var class_index = 0u;
    for (var i = 0u; i <= n; i++) {
        class_index = draw_distinct(stream, PART_TASK, 0u, i, CLASSES);
    }
    let images = classes[class_index];
    for (var i = 0u; i < GROUP + QUERIES; i++) {
        let image = images.x + draw_distinct(stream, PART_EXAMPLES, n * 256u, i, images.y);
        if (i < GROUP) {
            support[(task * WAY + n) * GROUP + i] = image;
        } else {
            query[(task * WAY + n) * QUERIES + i - GROUP] = image;
        }
    }
}

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let task = group.z;
    let element = example_block(group) * BLOCK + lane;
    let stream = stream_of(runs[task / TASKS_PER_RUN], task);
    if (group.y >= EXAMPLE_ROWS) {
        write_order(stream, task, group.y - EXAMPLE_ROWS, group.x, lane);
    } else if (element < WAY) {
        pick_images(stream, task, element);
    }
}
