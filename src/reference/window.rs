//! What a convolution or a pooling sees of an image.

use crate::model::{Layer, Window};

/// The pixel of a channel's plane under each tap of each output pixel, `None` in the padding:
/// `[H'·W', taps]`, both row-major.
pub(super) fn sources(layer: &Layer, window: Window) -> Vec<Option<usize>> {
    let (input, output) = (layer.input, layer.output);
    let [stride_y, stride_x] = window.stride;
    let [top, left] = window.before;
    let mut sources = Vec::with_capacity(output.pixels() * window.taps());
    for (y, x) in cells(output.height, output.width) {
        sources.extend(cells(window.kernel[0], window.kernel[1]).map(|(tap_y, tap_x)| {
            let row = (y * stride_y + tap_y).checked_sub(top).filter(|row| *row < input.height)?;
            let column =
                (x * stride_x + tap_x).checked_sub(left).filter(|column| *column < input.width)?;
            Some(row * input.width + column)
        }));
    }
    sources
}

/// (row, column) of each cell of a grid, row by row.
fn cells(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height * width).map(move |cell| (cell / width, cell % width))
}
