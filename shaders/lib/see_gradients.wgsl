// For telemetry: Σ_k g_k and Σ_k g_k² of every task. Needs lib/inner_step.wgsl, the binding `inner`, and no binding 16 of
// the kernel's own.
@group(0) @binding(16) var<storage, read_write> seen: array<vec4<f32>>;   // [T, 2, STRIDE]

fn see(index: u32, gradient: vec4<f32>) {
    let place = index / STRIDE * STRIDE + index;
    if (inner.index == 0u) {
        seen[place] = gradient;
        seen[place + STRIDE] = gradient * gradient;
    } else {
        seen[place] += gradient;
        seen[place + STRIDE] = fma(gradient, gradient, seen[place + STRIDE]);
    }
}
