// What the rows of a convolution's weights see: a cell is a tap and four channels, a line a row of
// outputs; padding counts as zeros.
// It reads rows [G, B, IN_HEIGHT, IN_WIDTH, IN4] in vectors.

struct Cell {
    y: u32,
    x: u32,
    channel: u32,   // in vectors
}

struct Line {
    first: u32,
    inside: bool,
}

fn cell_of(row_vector: u32) -> Cell {
    let tap = row_vector / IN4;
    return Cell(tap / KERNEL_WIDTH, tap % KERNEL_WIDTH, row_vector % IN4);
}

fn line_of(cell: Cell, image: u32, y: u32) -> Line {
    let row = y * STRIDE_Y + cell.y - BEFORE_Y;
    let safe = min(row, IN_HEIGHT - 1u);
    return Line((image * IN_HEIGHT + safe) * IN_WIDTH * IN4 + cell.channel, row < IN_HEIGHT);
}

fn load_a(line: Line, cell: Cell, x: u32) -> vec4<f32> {
    let column = x * STRIDE_X + cell.x - BEFORE_X;
    let inside = f32(line.inside && column < IN_WIDTH);
    return inside * rows_at(line.first + min(column, IN_WIDTH - 1u) * IN4);
}
