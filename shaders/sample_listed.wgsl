// Tasks of a list: which one it is, which of its examples are support and query, and the order of the
// minibatches. Training draws any task of the list; validation and tests go through it, once and again.
// Grid: (blocks of the pool, EXAMPLE_ROWS + layers of passes, tasks); the first rows draw the examples.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;         // [T, ORDER_STRIDE]
@group(0) @binding(2) var<storage, read> listed: array<vec2<u32>>;        // [LISTED]: first example, examples
@group(0) @binding(3) var<storage, read_write> support: array<u32>;       // [T, GROUP]
@group(0) @binding(4) var<storage, read_write> query: array<u32>;         // [T, QUERIES]

fn swapped_with(stream: vec2<u32>, i: u32, count: u32) -> u32 {
    return i + word_below(random_words(stream, PART_EXAMPLES, i).x, count - i);
}

// What draw `i` of a partial Fisher–Yates shuffle of 0..count takes: by itself, whatever the others do.
fn drawn(stream: vec2<u32>, i: u32, count: u32) -> u32 {
    var value = swapped_with(stream, i, count);
    for (var back = i; back > 0u; back--) {
        if (swapped_with(stream, back - 1u, count) == value) {
            value = back - 1u;
        }
    }
    return value;
}

fn pick_examples(run: RunStep, stream: vec2<u32>, task: u32, element: u32) {
    var place = (run.first_task + task % TASKS_PER_RUN) % LISTED;
    if (run.phase == PHASE_TRAIN) {
        place = word_below(random_words(stream, PART_TASK, 0u).x, LISTED);
    }
    let examples = listed[place];
    var example = element;
    // All of them without a tail: minibatches have an order of their own.
    if (QUERIES > 0u || TAIL > 0u || examples.y != GROUP) {
        example = drawn(stream, element, examples.y);
    }
    if (element < GROUP) {
        support[task * GROUP + element] = examples.x + example;
    } else {
        query[task * QUERIES + element - GROUP] = examples.x + example;
    }
}

@compute @workgroup_size(BLOCK)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let task = group.z;
    let element = example_block(group) * BLOCK + lane;
    let run = runs[task / TASKS_PER_RUN];
    let stream = stream_of(run, task);
    if (group.y >= EXAMPLE_ROWS) {
        write_order(stream, task, group.y - EXAMPLE_ROWS, group.x, lane);
    } else if (element < GROUP + QUERIES) {
        pick_examples(run, stream, task, element);
    }
}
