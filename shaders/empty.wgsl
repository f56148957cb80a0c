// Does nothing: what is left of a dispatch without its arithmetic. Any grid.

@compute @workgroup_size(64)
fn main() {
}
