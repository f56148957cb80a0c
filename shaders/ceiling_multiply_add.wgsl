// As many multiply-adds as the device can do: eight independent vectors an invocation, ROUNDS times 16.
// Grid: any number of workgroups along x.

@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;   // [workgroups · 64]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // Numbers that the compiler cannot know, near one, so that sums stay finite.
    let factor = vec4<f32>(0.999 + 1e-9 * f32(id.x));
    let summand = vec4<f32>(1e-3 * f32(id.x % 7u));
    var sums: array<vec4<f32>, 8>;
    for (var i = 0u; i < 8u; i++) { // unroll
        sums[i] = vec4<f32>(f32(i));
    }
    for (var round = 0u; round < ROUNDS; round++) {
        for (var j = 0u; j < 16u; j++) { // unroll
            for (var i = 0u; i < 8u; i++) { // unroll
                sums[i] = fma(sums[i], factor, summand);
            }
        }
    }
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < 8u; i++) { // unroll
        sum += sums[i];
    }
    result[id.x] = sum;
}
