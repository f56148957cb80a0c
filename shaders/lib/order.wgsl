// The order of a task's minibatches: in each pass the elements of the pool get random keys, and an
// element's rank by key is its place in the pass. A workgroup ranks as many passes at once as it has
// lanes for. Needs lib/rng.wgsl, lib/run_step.wgsl, lib/rank_*.wgsl, lib/order_*.wgsl and the constants
// BLOCK (invocations), PASS_LANES, ORDER_BLOCKS (blocks of the pool), TASKS_PER_RUN, WAY, GROUP, TAIL, ORDERED (places filled by passes),
// ORDER_STRIDE.

const PASSES_AT_ONCE = BLOCK / PASS_LANES;

// The random numbers of a task of the batch.
fn stream_of(run: RunStep, task: u32) -> vec2<u32> {
    let number = run.first_task + task % TASKS_PER_RUN;
    return task_stream(run.seed, run.phase, run.iteration, number);
}

// Of the rows of workgroups that draw a task's examples, which of their blocks a workgroup has.
fn example_block(group: vec3<u32>) -> u32 {
    return group.y * ORDER_BLOCKS + group.x;
}

// Fills the places of `order` that the passes of workgroup `layer` give to the elements of `block`.
fn write_order(stream: vec2<u32>, task: u32, layer: u32, block: u32, lane: u32) {
    if (!is_needed(layer)) {
        return;
    }
    let pass_index = layer * PASSES_AT_ONCE + lane / PASS_LANES;
    let element = block * PASS_LANES + lane % PASS_LANES;
    let part = PART_ORDER + 256u * runs[task / TASKS_PER_RUN].visit;
    let pool = pool_size();
    let rank = rank_of(stream, part, pass_index * pool, pool, PASS_LANES, element, lane);
    let place = pass_index * taken() + rank;
    let used = GROUP - TAIL;
    let busy = lane < PASSES_AT_ONCE * PASS_LANES;
    if (busy && element < pool && rank < taken() && place < ordered()) {
        order[task * ORDER_STRIDE + place_of(place)] = (element / used) * GROUP + element % used;
    }
    write_absent(task, layer, block, lane);
    if (pass_index == 0u && element < WAY * TAIL) {
        let tail = (element / max(TAIL, 1u)) * GROUP + used + element % max(TAIL, 1u);
        order[task * ORDER_STRIDE + ORDERED + element] = tail;
    }
}
