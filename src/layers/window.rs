//! The window that a convolution or a pooling moves over an image.

use serde::{Deserialize, Serialize};

use crate::layers::Before;
use crate::layers::shape::Shape;

/// Height and width of a kernel or a stride: one number for both, or `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Extent {
    /// One number for both.
    Square(usize),
    /// `[height, width]`.
    Sides([usize; 2]),
}

impl Extent {
    /// `[height, width]`.
    pub fn sides(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side, side],
            Self::Sides(sides) => sides,
        }
    }
}

impl From<usize> for Extent {
    fn from(side: usize) -> Self {
        Self::Square(side)
    }
}

impl From<[usize; 2]> for Extent {
    fn from(sides: [usize; 2]) -> Self {
        Self::Sides(sides)
    }
}

/// A padding by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingName {
    /// As many rows and columns as make ⌈size / stride⌉ outputs, half of them (rounded down) before
    /// the image, the rest behind it: TensorFlow's SAME.
    Same,
    /// None.
    Valid,
}

/// Rows and columns around an image: `"same"`, `"valid"`, one number for all sides, or
/// `[top, bottom, left, right]`. Convolutions see zeros there, max-pooling −∞, and average pooling
/// leaves them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Padding {
    /// `"same"` or `"valid"`.
    Named(PaddingName),
    /// So many rows and columns on every side.
    All(usize),
    /// `[top, bottom, left, right]`.
    Sides([usize; 4]),
}

impl Padding {
    /// TensorFlow's SAME.
    pub const SAME: Self = Self::Named(PaddingName::Same);
    /// None.
    pub const VALID: Self = Self::Named(PaddingName::Valid);

    /// `[top, bottom, left, right]` of a window over an image of `size` `[height, width]`.
    fn sides_of(self, kernel: [usize; 2], stride: [usize; 2], size: [usize; 2]) -> [usize; 4] {
        let same = |axis: usize| {
            let outputs = size[axis].div_ceil(stride[axis]);
            let covered = ((outputs - 1) * stride[axis]).saturating_add(kernel[axis]);
            let total = covered.saturating_sub(size[axis]);
            [total / 2, total - total / 2]
        };
        match self {
            Self::Named(PaddingName::Same) => {
                let ([top, bottom], [left, right]) = (same(0), same(1));
                [top, bottom, left, right]
            }
            Self::Named(PaddingName::Valid) => [0; 4],
            Self::All(all) => [all; 4],
            Self::Sides(sides) => sides,
        }
    }
}

/// The default of paddings.
pub(super) fn same() -> Padding {
    Padding::SAME
}

/// The window that a convolution or a pooling moves over an image: `[height, width]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels under the window.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Padding before the first row and column.
    pub before: [usize; 2],
}

impl Window {
    /// One pixel at a time.
    pub const POINT: Self = Self { kernel: [1, 1], stride: [1, 1], before: [0, 0] };

    /// Pixels of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// The window of a convolution or a pooling, and its output with the input's channels.
pub(super) fn window(
    before: &Before,
    what: &str,
    kernel: Extent,
    stride: Extent,
    padding: Padding,
) -> Result<(Window, Shape), String> {
    let Shape { channels, height, width } = before.shape;
    if !before.image {
        return Err(format!(
            "{what} needs an image, but here are {} features; put it before dense, flatten and \
             global-pool layers, behind an input of [C, H, W]",
            before.shape.elements()
        ));
    }
    let (kernel, stride) = (kernel.sides(), stride.sides());
    above_zero("kernel and stride", &[kernel, stride].concat())?;
    let [above, below, left, right] = padding.sides_of(kernel, stride, [height, width]);
    let largest = [kernel[0], kernel[1], stride[0], stride[1], above, below, left, right];
    if largest.iter().any(|size| *size > 1 << 15) {
        return Err(format!("{what}: kernel, stride and padding are at most {}", 1 << 15));
    }
    let window = Window { kernel, stride, before: [above, left] };
    let whole = [height + above + below, width + left + right];
    if whole[0] < kernel[0] || whole[1] < kernel[1] {
        return Err(format!(
            "{what}: a kernel of {}×{} is larger than the image of {}×{} with its padding, so \
             nothing would be left; lower it, or pad more",
            kernel[0], kernel[1], whole[0], whole[1]
        ));
    }
    let out = |axis: usize| (whole[axis] - kernel[axis]) / stride[axis] + 1;
    Ok((window, Shape { channels, height: out(0), width: out(1) }))
}

/// As [`window`], refused where a window would see padding alone.
pub(super) fn pool_window(
    before: &Before,
    what: &str,
    size: Extent,
    stride: Option<Extent>,
    padding: Padding,
) -> Result<(Window, Shape), String> {
    let (window, output) = window(before, what, size, stride.unwrap_or(size), padding)?;
    let sizes = [(before.shape.height, output.height), (before.shape.width, output.width)];
    for (axis, (size, out)) in sizes.into_iter().enumerate() {
        let last = (out - 1) * window.stride[axis];
        if window.before[axis] >= window.kernel[axis] || last >= size + window.before[axis] {
            return Err(format!(
                "{what}: a window would see nothing but padding; pad less than its size"
            ));
        }
    }
    Ok((window, output))
}

/// Refuses sizes of nothing.
pub(super) fn above_zero(what: &str, sizes: &[usize]) -> Result<(), String> {
    if sizes.contains(&0) { Err(format!("{what} must be at least 1")) } else { Ok(()) }
}

/// The pixel of a channel's plane under each tap of each output pixel, `None` in the padding:
/// `[H'·W', taps]`, both row-major.
#[cfg(feature = "reference")]
pub(super) fn sources([input, output]: [Shape; 2], window: Window) -> Vec<Option<usize>> {
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
#[cfg(feature = "reference")]
fn cells(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height * width).map(move |cell| (cell / width, cell % width))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window along one axis: padding before, and outputs.
    fn along(size: usize, kernel: usize, stride: usize, padding: Padding) -> [usize; 2] {
        let before = Before {
            shape: Shape { channels: 1, height: size, width: size },
            image: true,
            first: true,
        };
        let (window, out) = window(&before, "x", kernel.into(), stride.into(), padding).unwrap();
        [window.before[0], out.height]
    }

    #[test]
    fn same_padding_is_tensorflows() {
        assert_eq!(along(28, 3, 2, Padding::SAME), [0, 14]);
        assert_eq!(along(14, 3, 2, Padding::SAME), [0, 7]);
        assert_eq!(along(7, 3, 2, Padding::SAME), [1, 4]);
        assert_eq!(along(4, 3, 2, Padding::SAME), [0, 2]);
        assert_eq!(along(84, 3, 1, Padding::SAME), [1, 84]);
        assert_eq!(along(21, 2, 2, Padding::SAME), [0, 11], "one row of padding behind");
        assert_eq!(along(5, 1, 3, Padding::SAME), [0, 2]);
    }

    #[test]
    fn other_paddings_count_as_written() {
        assert_eq!(along(7, 3, 2, Padding::VALID), [0, 3]);
        assert_eq!(along(7, 3, 2, Padding::All(1)), [1, 4]);
        assert_eq!(along(7, 3, 2, Padding::Sides([2, 0, 2, 0])), [2, 4]);
    }
}
