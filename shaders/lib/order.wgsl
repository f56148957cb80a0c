// The order of a task's minibatches: in each pass the elements of the pool get random keys, and an
// element's rank by key is its place in the pass. Needs lib/rng.wgsl, lib/run_step.wgsl and the
// constants BLOCK (invocations), TASKS_PER_RUN, POOL, TAKE, WAY, GROUP, TAIL, ORDERED (places filled
// by passes), ORDER_STRIDE.

var<workgroup> keys: array<u32, BLOCK>;

// The random numbers of a task of the batch.
fn stream_of(run: RunStep, task: u32) -> vec2<u32> {
    let number = run.first_task + task % TASKS_PER_RUN;
    return task_stream(run.seed, run.phase, run.iteration, number);
}

// How many of the `count` elements come before `element`. Called in uniform control flow.
fn rank_of(stream: vec2<u32>, part: u32, first: u32, count: u32, element: u32, lane: u32) -> u32 {
    let own = random_words(stream, part, first + element).x;
    var rank = 0u;
    for (var start = 0u; start < count; start += BLOCK) {
        workgroupBarrier();
        keys[lane] = random_words(stream, part, first + start + lane).x;
        workgroupBarrier();
        for (var j = 0u; j < min(BLOCK, count - start); j++) {
            let other = keys[j];
            rank += u32(other < own || (other == own && start + j < element));
        }
    }
    return rank;
}

// Fills the places of `order` that pass `pass_index` gives to the pool's element `element`.
fn write_order(stream: vec2<u32>, task: u32, pass_index: u32, element: u32, lane: u32) {
    let rank = rank_of(stream, PART_ORDER, pass_index * POOL, POOL, element, lane);
    let place = pass_index * TAKE + rank;
    let used = GROUP - TAIL;
    if (element < POOL && rank < TAKE && place < ORDERED) {
        order[task * ORDER_STRIDE + place] = (element / used) * GROUP + element % used;
    }
    if (pass_index == 0u && element < WAY * TAIL) {
        let tail = (element / max(TAIL, 1u)) * GROUP + used + element % max(TAIL, 1u);
        order[task * ORDER_STRIDE + ORDERED + element] = tail;
    }
}
