// Loss of one row of predictions, which become their gradient. Twin of loss_mse.wgsl.
fn loss_gradient(predictions: ptr<function, array<f32, OUTPUTS>>, row: u32) -> f32 {
    const SCALE = 1.0 / f32(BATCH * OUTPUTS);
    var sum = 0.0;
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        let error = (*predictions)[o] - support_y[row * OUT4 + o / 4u][o % 4u];
        sum += error * error;
        (*predictions)[o] = 2.0 * SCALE * error;
    }
    return SCALE * sum;
}
