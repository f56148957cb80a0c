// Whether a task counts: one whose loss grew by more than the factor GUARD in its inner loop (or to what is
// not a number) had rates that were too large for it. 0 = all count. Needs the binding `losses` and the
// constants TASKS and STEPS.
fn counts(run: u32, task: u32) -> bool {
    let begin = (run * TASKS + task) * STEPS;
    return GUARD == 0.0 || losses[begin + STEPS - 1u] <= GUARD * losses[begin];
}
