//! Output as the runners print it, and output that wants to be mistaken for theirs.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn read(output: &str) -> Option<TestSummary> {
    let mut report = TestReport::default();
    output.lines().for_each(|line| report.read(line));
    report.summary()
}

fn told(output: &str) -> String {
    let Some(summary) = read(output) else { return "nothing".into() };
    std::iter::once(summary.to_string()).chain(summary.failed_names).collect::<Vec<_>>().join("\n")
}

const CARGO: &str = "
     Running unittests src/lib.rs (target/debug/deps/shop-0f1e2d3c)

running 3 tests
test cart::adds_up ... ok
test cart::refuses_nothing ... FAILED
test cart::slow ... ignored, takes minutes

failures:

---- cart::refuses_nothing stdout ----
thread 'cart::refuses_nothing' panicked at src/cart.rs:41:9:
assertion `left == right` failed

failures:
    cart::refuses_nothing

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.02s

   Doc-tests shop

running 2 tests
test src/lib.rs - Cart::new (line 12) ... ok
test src/lib.rs - Cart::add (line 30) ... \u{1b}[31mFAILED\u{1b}[0m

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
";

#[test]
fn cargo_test_sums_up_each_binary() {
    assert_snapshot!(told(CARGO), @r"
    2 passed, 2 failed, 1 skipped
    cart::refuses_nothing
    src/lib.rs - Cart::add (line 30)
    ");
    let one =
        "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
    assert_eq!(told(one), "12 passed");
    assert_eq!(told("running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored"), "nothing");
}

const NEXTEST: &str = "
 Nextest run ID 4f0c1c5e-0b7c-4c8a-9d5e-111111111111 with nextest profile: ci
    Starting 13 tests across 2 binaries (4 tests skipped)
        PASS [   0.004s] (1/13) shop cart::adds_up
        FAIL [   0.005s] (2/13) shop cart::refuses_nothing
  stdout ───

running 1 test
test cart::refuses_nothing ... FAILED

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 16 filtered out; finished in 0.00s

  TRY 1 FAIL [   0.010s] (3/13) shop::http answers
  TRY 2 PASS [   0.010s] (3/13) shop::http answers
     TIMEOUT [  60.012s] (4/13) shop::http waits
     SIGABRT [   0.020s] (5/13) shop::http overflows
────────────
     Summary [  61.234s] 13 tests run: 10 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 4 skipped
   FLAKY 2/2 [   0.010s] (3/13) shop::http answers
        FAIL [   0.005s] (2/13) shop cart::refuses_nothing
     TIMEOUT [  60.012s] (4/13) shop::http waits
error: test run failed
   Doc-tests shop
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
";

#[test]
fn nextest_counts_once_what_it_prints_of_its_tests() {
    assert_snapshot!(told(NEXTEST), @r"
    12 passed, 3 failed, 4 skipped
    shop cart::refuses_nothing
    shop::http waits
    shop::http overflows
    ");
    let cut = "Starting 10 tests across 1 binary\n  TRY 1 FAIL [ 0.1s] shop a\n  Summary [   0.100s] 3/10 tests run: 2 passed, 1 failed, 0 skipped\n  TRY 2 FAIL [   0.1s] shop a";
    assert_eq!(told(cut), "2 passed, 1 failed\nshop a");
}

#[test]
fn pytest_with_and_without_a_frame() {
    let output = "
============================= test session starts ==============================
collected 9 items

tests/test_cart.py ..F.s.                                                 [ 66%]
ERROR    shop.cart:cart.py:12 nothing in tests/test_cart.py
=========================== short test summary info ============================
FAILED tests/test_cart.py::test_total[a b] - assert 1 == 2
ERROR tests/test_pay.py - ModuleNotFoundError: No module named 'pay'
=== 1 failed, 5 passed, 1 skipped, 1 xfailed, 2 warnings, 1 error in 75.12s (0:01:15) ===
";
    assert_snapshot!(told(output), @r"
    5 passed, 2 failed, 2 skipped
    tests/test_cart.py::test_total[a b]
    tests/test_pay.py
    ");
    assert_eq!(told("3 passed in 0.01s"), "3 passed");
    assert_eq!(told("============ no tests ran in 0.01s ============"), "nothing");
}

#[test]
fn jest() {
    let output = "
FAIL src/cart.test.js
  ● Console

    console.log

  ● cart › adds up

    expect(received).toBe(expected)

PASS src/pay.test.js
Summary of all failing tests
FAIL src/cart.test.js
  ● cart › adds up

Test Suites: 1 failed, 1 passed, 2 total
Tests:       1 failed, 2 skipped, 1 todo, 10 passed, 14 total
Snapshots:   0 total
Time:        1.2 s
";
    assert_snapshot!(told(output), @r"
    10 passed, 1 failed, 3 skipped
    cart › adds up
    ");
    assert_eq!(told("Tests: 5, Assertions: 7, Failures: 1."), "nothing", "another runner's line");
}

#[test]
fn vitest() {
    let output = "
 \u{1b}[31m❯\u{1b}[39m src/cart.test.ts (3 tests | 1 failed) 5ms
\u{1b}[31m FAIL \u{1b}[39m src/cart.test.ts > cart > adds up
 FAIL  src/broken.test.ts
 Test Files  2 failed | 1 passed (3)
      Tests  1 failed | 10 passed | 2 skipped (13)
   Duration  402ms
";
    assert_snapshot!(told(output), @r"
    10 passed, 1 failed, 2 skipped
    src/cart.test.ts > cart > adds up
    ");
}

#[test]
fn node_in_both_forms() {
    let tap = "
TAP version 13
# Subtest: cart
    # Subtest: adds up
    not ok 1 - adds up
      ---
      duration_ms: 0.5
      type: 'test'
      ...
    not ok 2 - some day # todo
    1..2
not ok 1 - cart
  ---
  duration_ms: 1.2
  type: 'suite'
  ...
1..1
# tests 4
# suites 1
# pass 1
# fail 1
# cancelled 0
# skipped 1
# todo 1
# duration_ms 45.6
# pass 99
";
    assert_eq!(told(tap), "1 passed, 1 failed, 2 skipped\nadds up");
    let spec = "
✖ cart (1.2ms)
ℹ tests 11
ℹ suites 1
ℹ pass 10
ℹ fail 0
ℹ cancelled 1
ℹ skipped 0
ℹ todo 0
ℹ duration_ms 45.6

✖ failing tests:

test at cart.test.js:3:1
✖ adds up (0.512ms)
  AssertionError
";
    assert_eq!(told(spec), "10 passed, 1 failed\nadds up");
}

#[test]
fn go_names_each_test_and_without_v_the_failed_ones() {
    let output = "
=== RUN   TestCart
=== RUN   TestCart/empty
--- FAIL: TestCart (0.00s)
    cart_test.go:12: 1 is not 2
    --- PASS: TestCart/empty (0.00s)
    --- FAIL: TestCart/full_(of_it) (0.00s)
--- SKIP: TestPay (0.00s)
FAIL
FAIL\texample.com/shop\t0.004s
";
    assert_snapshot!(told(output), @r"
    1 passed, 2 failed, 1 skipped
    TestCart
    TestCart/full_(of_it)
    ");
    assert_eq!(told("--- FAIL: TestCart (0.00s)\nFAIL"), "1 failed\nTestCart");
}

#[test]
fn maven_counts_modules_and_not_their_classes() {
    let output = "
[INFO] Running com.example.CartTest
[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE! -- in com.example.CartTest
[ERROR] com.example.CartTest.addsUp -- Time elapsed: 0.01 s <<< FAILURE!
[ERROR] pays(com.example.PayTest)  Time elapsed: 0.01 s  <<< ERROR!
[INFO] Results:
[ERROR] Tests run: 5, Failures: 1, Errors: 1, Skipped: 1
[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 0
";
    assert_snapshot!(told(output), @r"
    4 passed, 2 failed, 1 skipped
    com.example.CartTest.addsUp
    pays(com.example.PayTest)
    ");
}

#[test]
fn rspec() {
    let output = "
Finished in 0.02 seconds (files took 0.1 seconds to load)
12 examples, 1 failure, 2 pending

Failed examples:

rspec ./spec/cart_spec.rb:12 # Cart adds up
";
    assert_eq!(told(output), "9 passed, 1 failed, 2 skipped\nCart adds up");
    assert_eq!(told("1 example, 0 failures, 1 error occurred outside of examples"), "1 passed");
    assert_eq!(told("3 examples, of which one is wrong"), "nothing");
}

#[test]
fn several_runners_in_one_step_are_added() {
    let output = "== 3 passed in 0.1s ==\nTests:  2 passed, 2 total\ntest result: ok. 1 passed; 0 failed";
    assert_eq!(told(output), "6 passed");
}

#[test]
fn names_are_bounded_and_nothing_in_them_is_obeyed() {
    let many: Vec<String> = (0..50).map(|n| format!("test t{n} ... FAILED")).collect();
    let summary = read(&format!("{}\ntest result: FAILED. 0 passed; 50 failed", many.join("\n"))).unwrap();
    assert_eq!((summary.failed_names.len(), summary.unnamed()), (NAMES, 30));

    let hostile = "test \u{1b}]0;x\u{7}\u{202e}<script>\u{1b}[2J ... FAILED\ntest \u{7} ... FAILED\n";
    let summary = read(&format!("{hostile}test result: FAILED. 0 passed; 9 failed")).unwrap();
    assert_eq!(summary.failed_names, ["]0;x<script>"]);

    let long = format!("test {} ... FAILED\ntest result: FAILED. 0 passed; 1 failed", "가".repeat(1000));
    assert_eq!(read(&long).unwrap().failed_names[0].chars().count(), NAME_CHARS);
    assert_eq!(told("test result: ok. 99999999999999999999 passed; 0 failed"), "nothing");
    assert_eq!(told("test a ... FAILED"), "nothing", "no sum says that anything failed");
    let told_before = "test a ... FAILED\ntest result: ok. 1 passed; 0 failed";
    assert_eq!(told(told_before), "1 passed");
}

/// What runners print, taken apart.
const KNOWN: &str = "test result: ok. |test | ... FAILED|Summary [|] | tests run: |Nextest run ID |Starting | across |FAIL [|\
    TRY |== | in |FAILED |.py| - |Tests:| total|Tests  | (|)|  ● |# tests |ℹ |duration_ms|✖ |not ok |type: 'suite'|\
    --- FAIL: |s)|[ERROR] |Tests run: |Failures: |Errors: |Skipped: |<<< FAILURE!| Time elapsed: | examples, | failures\
    | passed|, |; |\u{1b}[|\u{1b}|\r|999999999|7";

fn piece() -> impl Strategy<Value = String> {
    let known: Vec<&str> = KNOWN.split('|').collect();
    prop_oneof![4 => proptest::sample::select(known).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn no_output_makes_the_reader_panic_or_grow(
        lines in prop::collection::vec(prop::collection::vec(piece(), 0..8), 0..60)
    ) {
        let mut report = TestReport::default();
        for line in lines {
            report.read(&line.concat());
            prop_assert!(report.failed.len() <= NAMES);
            prop_assert!(report.failed.iter().all(|name| name.chars().count() <= NAME_CHARS));
            prop_assert!(report.failed.iter().all(|name| !name.chars().any(means_more_than_itself)));
        }
        if let Some(summary) = report.summary() {
            prop_assert!(summary.failed_names.len() as u64 <= summary.failed);
        }
    }
}
