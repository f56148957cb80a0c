// Copies a buffer: as many bytes as the device can move. Grid: (blocks of VECTORS).

@group(0) @binding(0) var<storage, read> from_here: array<vec4<f32>>;          // [VECTORS]
@group(0) @binding(1) var<storage, read_write> to_there: array<vec4<f32>>;     // [VECTORS]

@compute @workgroup_size(BLOCK)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < VECTORS) {
        to_there[id.x] = from_here[id.x];
    }
}
