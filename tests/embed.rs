//! The embedding example, as it stands.

#[path = "../examples/embed.rs"]
mod embed;

#[test]
fn the_embedding_example_learns_the_curve() {
    embed::main().unwrap();
}
