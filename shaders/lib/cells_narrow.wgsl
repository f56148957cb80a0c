// What the rows of the weights see in a convolution of fewer than four channels: a cell is four
// numbers under the kernel, in PyTorch's order (channel first); a line is a row of outputs.
// It reads rows [G, B, IN_HEIGHT, IN_WIDTH, 4] in numbers.

struct Cell {
    y: vec4<u32>,
    x: vec4<u32>,
    channel: vec4<u32>,
    real: vec4<bool>,   // false in the padding of the rows
}

struct Line {
    first: vec4<u32>,
    inside: vec4<bool>,
}

const TAPS = KERNEL_HEIGHT * KERNEL_WIDTH;

fn cell_of(row_vector: u32) -> Cell {
    let numbers = 4u * row_vector + vec4<u32>(0u, 1u, 2u, 3u);
    let tap = numbers % TAPS;
    return Cell(
        tap / KERNEL_WIDTH,
        tap % KERNEL_WIDTH,
        min(numbers / TAPS, vec4<u32>(CHANNELS - 1u)),
        numbers < vec4<u32>(CHANNELS * TAPS),
    );
}

fn line_of(cell: Cell, image: u32, y: u32) -> Line {
    let row = y * STRIDE_Y + cell.y - BEFORE_Y;
    let safe = min(row, vec4<u32>(IN_HEIGHT - 1u));
    let first = 4u * (image * IN_HEIGHT + safe) * IN_WIDTH + cell.channel;
    return Line(first, (row < vec4<u32>(IN_HEIGHT)) & cell.real);
}

fn load_a(line: Line, cell: Cell, x: u32) -> vec4<f32> {
    let column = x * STRIDE_X + cell.x - BEFORE_X;
    let at = line.first + 4u * min(column, vec4<u32>(IN_WIDTH - 1u));
    let inside = line.inside & (column < vec4<u32>(IN_WIDTH));
    return vec4<f32>(inside) * vec4<f32>(rows_at(at.x), rows_at(at.y), rows_at(at.z), rows_at(at.w));
}
