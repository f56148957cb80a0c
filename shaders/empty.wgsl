// Does nothing: what is left of a dispatch without its arithmetic. The buffer is bound so that the device waits for
// the dispatch before, as it does between kernels that write. Any grid.

@group(0) @binding(0) var<storage, read_write> shared_buffer: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    // No grid is that wide, so this is never true.
    if (id.x == 0xffffffffu) {
        shared_buffer[0] = 1u;
    }
}
