// Targets are numbers.

struct Drawn {
    values: array<f32, OUTPUTS>,
}

fn draw(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> Drawn {
    var values: array<f32, OUTPUTS>;
    draw_example(task, random, x, &values);
    return Drawn(values);
}

fn target_of(drawn: ptr<function, Drawn>, column: u32) -> Target {
    var value = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
        if (4u * column + i < OUTPUTS) {
            value[i] = (*drawn).values[4u * column + i];
        }
    }
    return value;
}
