// Which example a row of a batch is. A task has GROUPS batches of BATCH rows; the first SUPPORT_ROWS
// of a batch are support examples (in the task's order, if ORDERED), the others are queries, each in
// one batch alone. Needs lib/inner_step.wgsl and the bindings inner and order.

struct BatchRow {
    is_query: bool,
    place: u32,     // in all tasks' support or query examples
    label: u32,     // the class of an example of an episode
}

fn batch_row(batch: u32, row: u32) -> BatchRow {
    let task = inner.first_task + batch / GROUPS;
    if (row >= SUPPORT_ROWS) {
        let query = row - SUPPORT_ROWS + batch % GROUPS * (BATCH - SUPPORT_ROWS);
        return BatchRow(true, task * QUERIES + query, query / PER_CLASS_QUERIES);
    }
    var example = row;
    if (ORDERED == 1u) {
        example = order[task * ORDER_STRIDE + inner.order_start + row];
    }
    return BatchRow(false, task * SUPPORT + example, example / PER_CLASS);
}
