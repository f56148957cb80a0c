// The order of a batch that need not be full: a task has `support` examples, its minibatches the first `rows` of BATCH
// places; the others name an example that is not there. Needs lib/run_step.wgsl, the bindings runs and order, and the
// constants BATCH, STEPS, REPLACEMENT, GROUP, ORDER_STRIDE, BLOCK, ORDER_BLOCKS.

fn pool_size() -> u32 {
    return runs[0].support;
}

fn taken() -> u32 {
    return select(runs[0].support, runs[0].rows, REPLACEMENT == 1u);
}

fn ordered() -> u32 {
    return STEPS * runs[0].rows;
}

fn place_of(place: u32) -> u32 {
    let rows = runs[0].rows;
    return place / rows * BATCH + place % rows;
}

// Whether the passes of a layer fill any place.
fn is_needed(layer: u32) -> bool {
    return layer * PASSES_AT_ONCE * taken() < ordered();
}

fn write_absent(task: u32, layer: u32, block: u32, lane: u32) {
    let rows = runs[0].rows;
    let absent = BATCH - rows;
    if (layer > 0u || absent == 0u) {
        return;
    }
    for (var i = block * BLOCK + lane; i < STEPS * absent; i += ORDER_BLOCKS * BLOCK) {
        order[task * ORDER_STRIDE + i / absent * BATCH + rows + i % absent] = GROUP - 1u;
    }
}
