// The windows of a pooling over images [G, B, IN_HEIGHT, IN_WIDTH, C4].
fn pixel_place(image: u32, pixel: vec2<u32>, column: u32) -> u32 {
    return ((image * IN_HEIGHT + pixel.x) * IN_WIDTH + pixel.y) * C4 + column;
}

// The first row and column inside the image of the window of output `out`.
fn window_low(out: vec2<u32>) -> vec2<u32> {
    let corner = out * vec2<u32>(STRIDE_Y, STRIDE_X);
    let before = vec2<u32>(BEFORE_Y, BEFORE_X);
    return max(corner, before) - before;
}

// The first row and column behind it.
fn window_high(out: vec2<u32>) -> vec2<u32> {
    let end = out * vec2<u32>(STRIDE_Y, STRIDE_X) + vec2<u32>(KERNEL_HEIGHT, KERNEL_WIDTH);
    let size = vec2<u32>(IN_HEIGHT, IN_WIDTH);
    return min(end - vec2<u32>(BEFORE_Y, BEFORE_X), size);
}
