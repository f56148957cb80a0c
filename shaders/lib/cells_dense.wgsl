// What the rows of a dense layer's weights see: a cell is four inputs. Needs lib/inputs_*.wgsl:
// [G, B, ROW_VECTORS].

alias Cell = u32;
alias Line = u32;

fn cell_of(row_vector: u32) -> Cell {
    return row_vector;
}

fn line_of(cell: Cell, image: u32, y: u32) -> Line {
    return image * ROW_VECTORS + cell;
}

fn load_a(line: Line, cell: Cell, x: u32) -> vec4<f32> {
    return input_vector(line);
}
