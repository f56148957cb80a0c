//! The program from outside: its commands, messages, files and exit codes; and the embedding example.

#[path = "../common/mod.rs"]
mod common;

#[path = "../../examples/embed.rs"]
mod embed;

mod adapt;
mod bad_input;
mod bench;
mod compression;
mod data;
mod episodes;
mod eval;
mod glyphs;
mod images;
mod memory;
mod omniglot;
mod online;
mod program;
mod reproduce;
mod resume;
mod sweep;
mod telemetry;
mod train;

/// The example as it stands.
#[test]
fn the_embedding_example_learns_the_curve() {
    embed::main().unwrap();
}
