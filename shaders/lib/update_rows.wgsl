// The inner optimiser's step on the four rows of weights that a matrix of gradients is of, OUT4 vectors behind each
// other: at once, or in turn where ROWS_IN_TURN, so that a software driver compiles the step once and not four times.
// Needs lib/update_in_place.wgsl.
fn update_rows(index: u32, gradient: mat4x4<f32>, rates: Rates) {
    if (ROWS_IN_TURN == 1u) { // static
        // No compiler knows how often, so none writes the loop out.
        for (var i = 0u; i < min(4u, index + 4u); i++) {
            update(index + i * OUT4, row_of(gradient, i), rates);
        }
    }
    if (ROWS_IN_TURN == 0u) { // static
        update(index, gradient[0], rates);
        update(index + OUT4, gradient[1], rates);
        update(index + 2u * OUT4, gradient[2], rates);
        update(index + 3u * OUT4, gradient[3], rates);
    }
}
