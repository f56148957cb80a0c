// Tasks that functions of the user's own draw: an invocation makes an example, and its task for itself.
// Grid: (blocks of SUPPORT + QUERIES, tasks). Needs `Task`, `draw_task` and `draw_example`, lib/random.wgsl,
// lib/run_step.wgsl, lib/targets_*.wgsl and lib/own_*.wgsl.

@group(0) @binding(0) var<storage, read> runs: array<RunStep>;
@group(0) @binding(1) var<storage, read_write> support_x: array<vec4<f32>>;   // [T, SUPPORT, IN4]
@group(0) @binding(2) var<storage, read_write> support_y: array<Target>;      // [T, SUPPORT, TARGETS]
@group(0) @binding(3) var<storage, read_write> query_x: array<vec4<f32>>;     // [T, QUERIES, IN4]
@group(0) @binding(4) var<storage, read_write> query_y: array<Target>;        // [T, QUERIES, TARGETS]

// The number of an input that component `i` of vector `column` holds: of a row, or of an image [H, W, C].
fn index_of(column: u32, i: u32) -> u32 {
    if (PIXELS == 0u) {
        return 4u * column + i;
    }
    let vectors = (CHANNELS + 3u) / 4u;
    let channel = column % vectors * 4u + i;
    return select(INPUTS, channel * PIXELS + column / vectors, channel < CHANNELS);
}

fn input_of(x: ptr<function, array<f32, INPUTS>>, index: u32) -> f32 {
    if (index < INPUTS) {
        return (*x)[index];
    }
    return 0.0;
}

@compute @workgroup_size(BLOCK)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = group.y;
    let example = group.x * BLOCK + lane;
    if (example >= SUPPORT + QUERIES) {
        return;
    }
    let run = runs[place / TASKS_PER_RUN];
    let number = run.first_task + place % TASKS_PER_RUN;
    let stream = task_stream(run.seed, run.phase, run.iteration, number);
    var of_task = Random(random_words(stream, PART_TASK, 0u), 0u, 0u);
    var of_example = Random(random_words(stream, PART_EXAMPLES, example), 0u, example);
    var x: array<f32, INPUTS>;
    var drawn = draw(draw_task(&of_task), &of_example, &x);
    let query = example - SUPPORT;
    for (var column = 0u; column < IN4; column++) {
        let value = vec4<f32>(
            input_of(&x, index_of(column, 0u)), input_of(&x, index_of(column, 1u)),
            input_of(&x, index_of(column, 2u)), input_of(&x, index_of(column, 3u)),
        );
        if (example < SUPPORT) {
            support_x[(place * SUPPORT + example) * IN4 + column] = value;
        } else {
            query_x[(place * QUERIES + query) * IN4 + column] = value;
        }
    }
    for (var column = 0u; column < TARGETS; column++) {
        if (example < SUPPORT) {
            support_y[(place * SUPPORT + example) * TARGETS + column] = target_of(&drawn, column);
        } else {
            query_y[(place * QUERIES + query) * TARGETS + column] = target_of(&drawn, column);
        }
    }
}
