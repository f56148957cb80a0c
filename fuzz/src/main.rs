//! `cargo run -p reptile-fuzz --release -- FILES`: so many damaged files in all for the readers, and a table of what came of them.

use std::process::ExitCode;

use reptile_fuzz::{driver, targets};

fn main() -> ExitCode {
    let files = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse::<u32>());
    let Ok(files) = files else {
        eprintln!("give the number of damaged files");
        return ExitCode::FAILURE;
    };
    // What readers panic with is told once, with the file.
    match driver::run(files.div_ceil(targets::TARGETS.len() as u32)) {
        Ok(counts) => {
            println!("| reader | files | taken | longest, ms |\n|---|---|---|---|");
            for count in counts {
                let longest = count.longest.as_secs_f64() * 1e3;
                println!("| {} | {} | {} | {longest:.1} |", count.name, count.files, count.taken);
            }
            println!("most memory: {} MiB", peak_mib());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The most memory that the process had, where the system tells.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) >> 10
}
