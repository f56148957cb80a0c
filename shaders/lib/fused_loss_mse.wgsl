// Loss of one row of predictions, which become their gradient. Twin of loss_mse.wgsl.
// Needs lib/rows_*.wgsl.
fn loss_gradient(predictions: ptr<function, array<f32, OUTPUTS>>, row: u32) -> f32 {
    let scale = loss_scale();
    let counts = present(row);
    var sum = 0.0;
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        let difference = (*predictions)[o] - support_y[row * OUT4 + o / 4u][o % 4u];
        let error = select(0.0, difference, counts);
        sum += error * error;
        (*predictions)[o] = 2.0 * scale * error;
    }
    return scale * sum;
}
