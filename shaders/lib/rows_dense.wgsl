// Rows of a dense product: one an example, DEPTH vectors each. Needs lib/inputs_*.wgsl: [G, B, DEPTH].

alias Origin = u32;
alias Place = u32;

const OUTSIDE = 0xFFFFFFFFu;

fn taps_of(phase: u32) -> u32 {
    return 1u;
}

fn tap_row(phase: u32, tap: u32) -> u32 {
    return 0u;
}

fn origin_of(batch: u32, phase: u32, row: u32) -> Origin {
    return (batch * ROW_LIMIT + row) * DEPTH;
}

fn place_of(origin: Origin, phase: u32, tap: u32) -> Place {
    return origin;
}

fn load_a(place: Place, k: u32) -> vec4<f32> {
    return input_vector(place + k);
}

fn pixel_of(batch: u32, phase: u32, row: u32) -> u32 {
    return batch * ROW_LIMIT + row;
}
