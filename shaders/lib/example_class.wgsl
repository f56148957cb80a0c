// An example's label is its class's place in the task. Needs the constant PER_CLASS.

fn target_of(row: u32, column: u32, example: u32) -> Target {
    return example / PER_CLASS;
}
