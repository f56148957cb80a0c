//! The program from outside: its commands, messages, files and exit codes; and the library's examples.

#[path = "../common/mod.rs"]
mod common;

#[expect(dead_code, reason = "its `main` prints")]
#[path = "../../examples/async.rs"]
mod asynchronous;

#[path = "../../examples/embed.rs"]
mod embed;

#[expect(dead_code, reason = "cargo-fuzz has an entry of its own")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzzing;

#[expect(dead_code, reason = "its `main` prints")]
#[path = "../../examples/quick.rs"]
mod quick;

mod adapt;
mod arrays;
mod bad_input;
mod bench;
mod compression;
mod crash;
mod data;
mod device_lost;
mod episodes;
mod eval;
mod export;
mod functions;
mod fuzz;
mod glyphs;
mod images;
mod init;
mod library;
mod memory;
mod omniglot;
mod online;
mod pages;
mod predict;
mod processors;
mod program;
mod reproduce;
mod resume;
mod stop;
mod sweep;
mod telemetry;
mod train;
mod words;
