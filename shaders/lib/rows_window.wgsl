// Rows of a convolution's forward product: one an output pixel. A tap is a pixel under the kernel,
// DEPTH vectors of channels; padding counts as zeros. Needs lib/window_origin.wgsl.
// It reads rows [G, B, IN_HEIGHT, IN_WIDTH, DEPTH] in vectors.

struct Place {
    first: u32,
    inside: f32,
}

fn taps_of(phase: u32) -> u32 {
    return KERNEL_HEIGHT * KERNEL_WIDTH;
}

fn tap_row(phase: u32, tap: u32) -> u32 {
    return tap * 4u * DEPTH;
}

// Numbers above or left of the image wrap around to large ones.
fn place_of(origin: Origin, phase: u32, tap: u32) -> Place {
    let y = origin.y + tap / KERNEL_WIDTH - BEFORE_Y;
    let x = origin.x + tap % KERNEL_WIDTH - BEFORE_X;
    let safe = vec2<u32>(min(y, IN_HEIGHT - 1u), min(x, IN_WIDTH - 1u));
    return Place(
        ((origin.image * IN_HEIGHT + safe.x) * IN_WIDTH + safe.y) * DEPTH,
        f32(y < IN_HEIGHT && x < IN_WIDTH),
    );
}

fn load_a(place: Place, k: u32) -> vec4<f32> {
    return place.inside * rows_at(place.first + k);
}
