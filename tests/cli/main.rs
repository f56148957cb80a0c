//! The program from outside: its commands, messages, files and exit codes.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/episode_list.rs"]
mod episode_list;

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
