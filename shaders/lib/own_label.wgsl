// A target is a label. One that the network has no output for spoils its example, so that the loss tells.

struct Drawn {
    label: u32,
}

fn draw(task: Task, random: ptr<function, Random>, x: ptr<function, array<f32, INPUTS>>) -> Drawn {
    let label = draw_example(task, random, x);
    if (label >= OUTPUTS) {
        // Not a number, which no constant may be.
        (*x)[0] = bitcast<f32>(0x7FC00000u | (label & 1u));
        return Drawn(0u);
    }
    return Drawn(label);
}

fn target_of(drawn: ptr<function, Drawn>, column: u32) -> Target {
    return (*drawn).label;
}
