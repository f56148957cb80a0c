// Sine waves, as the preset `sine` draws them.

struct Task {
    amplitude: f32,
    phase: f32,
}

fn draw_task(random: ptr<function, Random>) -> Task {
    return Task(0.1 + 4.9 * uniform(random), 6.2831853 * uniform(random));
}

fn draw_example(
    task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>, y: ptr<function, array<f32, OUTPUTS>>,
) {
    (*x)[0] = 10.0 * uniform(random) - 5.0;
    (*y)[0] = task.amplitude * sin((*x)[0] + task.phase);
}
