// What one run needs to know about one meta-iteration; twin of `RunStep` in src/dispatch/host.rs.
struct RunStep {
    seed: vec2<u32>,
    phase: u32,         // which stream of tasks: training, validation, test, …
    iteration: u32,
    adam_steps: u32,    // inner Adam steps that the state has already seen
    outer_steps: u32,   // outer steps done, this one included
    first_task: u32,    // number of the first task of the batch inside its run
    slot: u32,          // row of the metrics ring
    inner_rate: f32,
    outer_rate: f32,
    weight_decay: f32,  // parameters are multiplied by it before each inner step
    tasks_inverse: f32, // 1 / tasks per run
    strategy_rate: f32, // β: the step of a learned strategy
    strategy_prior: f32, // ARUBA: 1 / (iteration + 1)^p
    entries: u32,       // entries of the memory that hold something after this iteration
    entries_inverse: f32,
    visit: u32,         // times that its tasks were there before: each has an order of its own
    support: u32,       // of a batch that is not full: support examples of a task,
    rows: u32,          // examples of its minibatches,
    queries: u32,       // and its queries
    loss_scale: f32,    // 1 / numbers that the loss of a minibatch is the mean of
    query_scale: f32,   // likewise of the queries
}
