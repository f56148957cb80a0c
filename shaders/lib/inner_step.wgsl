// What the kernels of one inner step need to know; twin of `InnerStep` in src/dispatch/host.rs.
struct InnerStep {
    index: u32,         // k: the step inside the inner loop
    order_start: u32,   // where its minibatch starts in a task's order
    last: u32,          // 1 if no step of the same segment follows
    first_task: u32,    // the task of the first batch: tasks may be taken in chunks
}
