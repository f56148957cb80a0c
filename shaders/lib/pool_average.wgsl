// Average pooling: the mean of a window's pixels; padding does not count.
const START = 0.0;

fn gather(sum: vec4<f32>, value: vec4<f32>) -> vec4<f32> {
    return sum + value;
}

fn finish(sum: vec4<f32>, count: u32) -> vec4<f32> {
    return sum / f32(count);
}

// The share of the window's gradient that goes to each of its pixels.
fn share(image: u32, low: vec2<u32>, high: vec2<u32>, own: vec2<u32>, column: u32) -> vec4<f32> {
    let size = high - low;
    return vec4<f32>(1.0 / f32(size.x * size.y));
}
