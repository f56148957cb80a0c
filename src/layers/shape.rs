//! The shape of an example between two layers, and how kernels hold it.

/// `n` rounded up to a multiple of four: the width of a vector in the kernels.
pub const fn padded(n: usize) -> usize {
    n.div_ceil(4) * 4
}

/// Vectors of four in a row of `n` numbers.
pub fn vectors(n: usize) -> usize {
    n.div_ceil(4)
}

/// How kernels hold one example between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All numbers in their own order, then zeros up to a multiple of four: what a network that starts with
    /// a dense layer takes, and what every dense layer makes.
    Row,
    /// `[H, W, C]` with C padded to a multiple of four.
    Image,
}

/// Shape of one example between two layers; a row of n features is `[n, 1, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels C of an image, or features of a row.
    pub channels: usize,
    /// Rows of pixels H.
    pub height: usize,
    /// Columns of pixels W.
    pub width: usize,
}

impl Shape {
    /// A row of `n` features.
    pub const fn features(n: usize) -> Self {
        Self { channels: n, height: 1, width: 1 }
    }

    /// Pixels of one channel.
    pub const fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Numbers.
    pub const fn elements(self) -> usize {
        self.channels * self.pixels()
    }

    /// How kernels hold it: the one place where that is decided. An image of a single pixel is a row.
    pub const fn layout(self) -> Layout {
        if self.pixels() == 1 { Layout::Row } else { Layout::Image }
    }

    /// Floats that kernels hold for it: `[H, W, C]` with C rounded up to whole vectors.
    pub const fn packed(self) -> usize {
        self.pixels() * padded(self.channels)
    }

    /// `[C, H, W]` numbers as kernels hold them: appends `[H, W, C]` with zeros behind C.
    pub fn pack(self, chw: &[f32], out: &mut Vec<f32>) {
        for pixel in 0..self.pixels() {
            out.extend((0..self.channels).map(|channel| chw[channel * self.pixels() + pixel]));
            out.extend((self.channels..padded(self.channels)).map(|_| 0.0));
        }
    }

    /// The inverse of [`Shape::pack`].
    pub fn unpack(self, packed: &[f32]) -> Vec<f32> {
        (0..self.elements()).map(|index| packed[self.packed_index(index)]).collect()
    }

    /// Where kernels hold number `index` of `[C, H, W]`.
    pub(crate) fn packed_index(self, index: usize) -> usize {
        (index % self.pixels()) * padded(self.channels) + index / self.pixels()
    }
}
