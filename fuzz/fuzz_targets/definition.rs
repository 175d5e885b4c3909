#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| naru_model::fuzz::definition(bytes));
