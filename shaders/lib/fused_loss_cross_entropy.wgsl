// Loss of one row of logits, which become their gradient. Twin of loss_cross_entropy.wgsl.
// Needs lib/rows_*.wgsl.
fn loss_gradient(logits: ptr<function, array<f32, OUTPUTS>>, row: u32) -> f32 {
    let scale = loss_scale();
    let counts = present(row);
    let label = support_y[row];
    var highest = (*logits)[0];
    var own = 0.0;
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        highest = max(highest, (*logits)[o]);
        own = select(own, (*logits)[o], o == label);
    }
    var sum = 0.0;
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        (*logits)[o] = exp((*logits)[o] - highest);
        sum += (*logits)[o];
    }
    for (var o = 0u; o < OUTPUTS; o++) { // unroll
        let gradient = scale * ((*logits)[o] / sum - select(0.0, 1.0, o == label));
        (*logits)[o] = select(0.0, gradient, counts);
    }
    return select(0.0, scale * (highest + log(sum) - own), counts);
}
