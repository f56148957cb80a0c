// Damped oscillators: the place and the speed at a time.

struct Task {
    frequency: f32,
    damping: f32,
    amplitude: f32,
    phase: f32,
}

fn draw_task(random: ptr<function, Random>) -> Task {
    return Task(0.5 + 1.5 * uniform(random), 0.3 * uniform(random), 0.5 + 1.5 * uniform(random), 6.2831853 * uniform(random));
}

fn draw_example(
    task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>, y: ptr<function, array<f32, OUTPUTS>>,
) {
    let time = 6.0 * uniform(random);
    let angle = task.frequency * time + task.phase;
    let size = task.amplitude * exp(-task.damping * time);
    (*x)[0] = time - 3.0;
    (*y)[0] = size * sin(angle);
    (*y)[1] = size * (task.frequency * cos(angle) - task.damping * sin(angle));
}
