// Sine waves, as the preset `sine` draws them: on a grid of fifty points, each of which comes once in fifty examples.

struct Task {
    amplitude: f32,
    phase: f32,
    first: u32,
    step: u32,
}

fn draw_task(random: ptr<function, Random>) -> Task {
    // No factor of fifty.
    var steps = array<u32, 8>(3, 7, 11, 13, 17, 19, 21, 23);
    return Task(0.1 + 4.9 * uniform(random), 6.2831853 * uniform(random), below(random, 50), steps[below(random, 8)]);
}

fn draw_example(
    task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>, y: ptr<function, array<f32, OUTPUTS>>,
) {
    let point = (task.first + task.step * example_number(random)) % 50;
    (*x)[0] = 10.0 * f32(point) / 49.0 - 5.0;
    (*y)[0] = task.amplitude * sin((*x)[0] + task.phase);
}
