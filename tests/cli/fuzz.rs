//! Damaged files for every reader: a few of those that `make fuzz` gives them.

use crate::fuzzing::driver;

/// Files for each reader.
const FILES: u32 = 150;

#[test]
fn readers_take_or_refuse_damaged_files() {
    let counts = driver::run(FILES).unwrap_or_else(|message| panic!("{message}"));
    for count in &counts {
        assert!(count.taken < FILES, "{} takes whatever it is given", count.name);
    }
    let taken: u32 = counts.iter().map(|count| count.taken).sum();
    assert!(taken > FILES, "some damage does no harm: {taken}");
}
