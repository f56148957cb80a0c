// Where the kernel of a convolution lies for an output pixel, the row of a forward product.
struct Origin {
    image: u32,
    y: u32,     // of the kernel's corner, with the padding before the image
    x: u32,
}

fn origin_of(batch: u32, phase: u32, row: u32) -> Origin {
    let pixel = row % (OUT_HEIGHT * OUT_WIDTH);
    return Origin(
        batch * BATCH + row / (OUT_HEIGHT * OUT_WIDTH),
        pixel / OUT_WIDTH * STRIDE_Y,
        pixel % OUT_WIDTH * STRIDE_X,
    );
}
