// Rows of the forward product of a convolution of fewer than four channels: one an output pixel,
// with a number for each channel and tap in PyTorch's order (channel first), DEPTH vectors. Needs
// lib/window_origin.wgsl. It reads rows [G, B, IN_HEIGHT, IN_WIDTH, 4] in numbers.

alias Place = Origin;

const TAPS = KERNEL_HEIGHT * KERNEL_WIDTH;

fn taps_of(phase: u32) -> u32 {
    return 1u;
}

fn tap_row(phase: u32, tap: u32) -> u32 {
    return 0u;
}

fn place_of(origin: Origin, phase: u32, tap: u32) -> Place {
    return origin;
}

fn load_a(place: Place, k: u32) -> vec4<f32> {
    let numbers = 4u * k + vec4<u32>(0u, 1u, 2u, 3u);
    let channel = min(numbers / TAPS, vec4<u32>(CHANNELS - 1u));
    let tap = numbers % TAPS;
    let y = place.y + tap / KERNEL_WIDTH - BEFORE_Y;
    let x = place.x + tap % KERNEL_WIDTH - BEFORE_X;
    let inside = (y < vec4<u32>(IN_HEIGHT)) & (x < vec4<u32>(IN_WIDTH))
        & (numbers < vec4<u32>(CHANNELS * TAPS));
    let line = place.image * IN_HEIGHT + min(y, vec4<u32>(IN_HEIGHT - 1u));
    let pixel = line * IN_WIDTH + min(x, vec4<u32>(IN_WIDTH - 1u));
    let at = 4u * pixel + channel;
    return vec4<f32>(inside) * vec4<f32>(rows_at(at.x), rows_at(at.y), rows_at(at.z), rows_at(at.w));
}
