// Rows of a convolution's product backward to its inputs: one an input pixel. Pixels are taken by
// phase, their place modulo the stride: only the taps of the same phase reach them. A tap is an
// output pixel, DEPTH vectors of channels.
// It reads rows [G, B, OUT_HEIGHT, OUT_WIDTH, DEPTH] in vectors.

struct Origin {
    image: u32,
    y: u32,     // of the output whose kernel's corner is the phase's first tap
    x: u32,
}

struct Place {
    first: u32,
    inside: f32,
}

const OUTSIDE = 0xFFFFFFFFu;
// Pixels of a phase along each side, at most.
const PHASE_HEIGHT = (IN_HEIGHT + STRIDE_Y - 1u) / STRIDE_Y;
const PHASE_WIDTH = (IN_WIDTH + STRIDE_X - 1u) / STRIDE_X;

// The phase's place along each side.
fn corner_of(phase: u32) -> vec2<u32> {
    return vec2<u32>(phase / STRIDE_X, phase % STRIDE_X);
}

// The kernel's first row and column that reach pixels of the phase.
fn first_tap(phase: u32) -> vec2<u32> {
    let corner = corner_of(phase);
    return vec2<u32>((corner.x + BEFORE_Y) % STRIDE_Y, (corner.y + BEFORE_X) % STRIDE_X);
}

// How many rows and columns of the kernel do.
fn tap_counts(phase: u32) -> vec2<u32> {
    let first = first_tap(phase);
    return vec2<u32>(
        (max(KERNEL_HEIGHT, first.x) - first.x + STRIDE_Y - 1u) / STRIDE_Y,
        (max(KERNEL_WIDTH, first.y) - first.y + STRIDE_X - 1u) / STRIDE_X,
    );
}

fn taps_of(phase: u32) -> u32 {
    let counts = tap_counts(phase);
    return counts.x * counts.y;
}

fn tap_row(phase: u32, tap: u32) -> u32 {
    let first = first_tap(phase);
    let columns = tap_counts(phase).y;
    let y = first.x + tap / columns * STRIDE_Y;
    let x = first.y + tap % columns * STRIDE_X;
    return (y * KERNEL_WIDTH + x) * 4u * IN4;
}

fn origin_of(batch: u32, phase: u32, row: u32) -> Origin {
    let corner = corner_of(phase);
    let first = first_tap(phase);
    let pixel = row % (PHASE_HEIGHT * PHASE_WIDTH);
    return Origin(
        batch * BATCH + row / (PHASE_HEIGHT * PHASE_WIDTH),
        pixel / PHASE_WIDTH + (corner.x + BEFORE_Y - first.x) / STRIDE_Y,
        pixel % PHASE_WIDTH + (corner.y + BEFORE_X - first.y) / STRIDE_X,
    );
}

// Numbers above or left of the outputs wrap around to large ones.
fn place_of(origin: Origin, phase: u32, tap: u32) -> Place {
    let columns = tap_counts(phase).y;
    let y = origin.y - tap / columns;
    let x = origin.x - tap % columns;
    let safe = vec2<u32>(min(y, OUT_HEIGHT - 1u), min(x, OUT_WIDTH - 1u));
    return Place(
        ((origin.image * OUT_HEIGHT + safe.x) * OUT_WIDTH + safe.y) * DEPTH,
        f32(y < OUT_HEIGHT && x < OUT_WIDTH),
    );
}

fn load_a(place: Place, k: u32) -> vec4<f32> {
    return place.inside * rows_at(place.first + k);
}

// The number of the row's pixel, or OUTSIDE where the phase has fewer pixels than others.
fn pixel_of(batch: u32, phase: u32, row: u32) -> u32 {
    let corner = corner_of(phase);
    let pixel = row % (PHASE_HEIGHT * PHASE_WIDTH);
    let image = batch * BATCH + row / (PHASE_HEIGHT * PHASE_WIDTH);
    let y = pixel / PHASE_WIDTH * STRIDE_Y + corner.x;
    let x = pixel % PHASE_WIDTH * STRIDE_X + corner.y;
    if (y >= IN_HEIGHT || x >= IN_WIDTH) {
        return OUTSIDE;
    }
    return (image * IN_HEIGHT + y) * IN_WIDTH + x;
}
