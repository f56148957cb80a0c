//! Examples of the user's own: rows of numbers in groups, each of which is a task or a class.

/// What the rows of an [`ArraySet`] should map to, and with it what a group of rows is.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayTargets {
    /// `[R, outputs]`: a group is a task, a regression.
    Values(Vec<f32>),
    /// `[R]`, each below the network's outputs: a group is a task with labels of its own.
    Labels(Vec<u32>),
    /// A group is a class, from which N-way episodes are drawn: a class's place in its task is the label.
    Classes,
}

/// Examples in the memory of the host, of tasks or of classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ArraySet {
    /// `[R, …input]`.
    pub x: Vec<f32>,
    /// What they should map to.
    pub y: ArrayTargets,
    /// Of each task or class its first row and the number of its rows.
    pub groups: Vec<[u32; 2]>,
}

impl ArraySet {
    /// Rows of the group that has the fewest; 0 without groups.
    pub fn fewest(&self) -> usize {
        self.groups.iter().map(|[_, rows]| *rows as usize).min().unwrap_or(0)
    }

    /// Whether groups are classes.
    pub fn has_classes(&self) -> bool {
        self.y == ArrayTargets::Classes
    }
}
