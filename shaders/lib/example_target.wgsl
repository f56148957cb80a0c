// Targets lie beside the rows. Needs the constant TARGETS.

@group(0) @binding(2) var<storage, read> targets: array<Target>;          // [ROWS, TARGETS]

fn target_of(row: u32, column: u32, example: u32) -> Target {
    return targets[row * TARGETS + column];
}
