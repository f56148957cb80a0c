// Max-pooling: the largest value of a window; of equal ones the first in row-major order gets the
// gradient, as in PyTorch.
const START = -3.4028234e38;

fn gather(sum: vec4<f32>, value: vec4<f32>) -> vec4<f32> {
    return max(sum, value);
}

fn finish(sum: vec4<f32>, count: u32) -> vec4<f32> {
    return sum;
}

// The share of the window's gradient that goes to pixel `own`, where the window is
// rows low.x..high.x and columns low.y..high.y of `image`.
fn share(image: u32, low: vec2<u32>, high: vec2<u32>, own: vec2<u32>, column: u32) -> vec4<f32> {
    let value = x[pixel_place(image, own, column)];
    var wins = vec4<bool>(true);
    for (var row = low.x; row < high.x; row++) {
        for (var line = low.y; line < high.y; line++) {
            let other = x[pixel_place(image, vec2<u32>(row, line), column)];
            if (row < own.x || (row == own.x && line < own.y)) {
                wins = wins & (other < value);
            } else {
                wins = wins & (other <= value);
            }
        }
    }
    return vec4<f32>(wins);
}
