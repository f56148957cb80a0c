// A batch is full: all its rows count. Needs the constant LOSS_NUMBERS (numbers that a loss is the mean of).

const SCALE = 1.0 / f32(LOSS_NUMBERS);

fn present(row: u32) -> bool {
    return true;
}

fn loss_scale() -> f32 {
    return SCALE;
}
