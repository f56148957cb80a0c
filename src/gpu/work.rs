//! What a dispatch has to do: for reports.

/// The least that a dispatch must do, whichever variant of its kernel runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Name of the layer that it belongs to.
    pub layer: Option<String>,
    /// Floating-point operations of its matrix products: two a multiply-add.
    pub operations: u64,
    /// Bytes that it reads and writes: each number once when it is read and once when it is written.
    pub bytes: u64,
}

impl Work {
    /// Reads or writes `count` floats (or other words of four bytes).
    pub fn words(count: usize) -> Self {
        Self { bytes: 4 * count as u64, ..Self::default() }
    }

    /// Does so many multiply-adds as well.
    pub fn multiply_adds(self, count: u64) -> Self {
        Self { operations: self.operations + 2 * count, ..self }
    }

    /// For the layer of this name.
    pub fn of_layer(self, name: &str) -> Self {
        Self { layer: Some(name.to_string()), ..self }
    }
}
