#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reptile_fuzz::read("adapted", bytes));
