//! The program that the projects of these tests run: one static binary with many manners, shared with the tests of the
//! engine, in an image with nothing else.

use std::path::PathBuf;

use super::process;

/// The program's source; its manners are listed there.
const SOURCE: &str = include_str!("../../../engine/tests/docker/guest.rs");

/// An image with the program and nothing else.
pub(crate) const DOCKERFILE: &str =
    "FROM scratch\nCOPY guest /guest\nENTRYPOINT [\"/guest\"]\nCMD [\"serve\"]\n";

/// The program, compiled once for all tests.
pub(crate) fn program() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("guest-{}", naru_model::Digest::of(SOURCE.as_bytes()).short()));
    if !program.exists() {
        let new = tempfile::Builder::new().prefix("guest-").tempdir_in(&folder).unwrap();
        std::fs::write(new.path().join("guest.rs"), SOURCE).unwrap();
        // rustc may be rustup's, which finds the toolchain by variables of its own.
        let mut rustc = std::process::Command::new("rustc");
        rustc.args(["--edition", "2024", "-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"]);
        rustc.args(["-C", "target-feature=+crt-static", "guest.rs", "-o", "guest"]).current_dir(new.path());
        process::text(&mut rustc);
        std::fs::rename(new.path().join("guest"), &program).unwrap();
    }
    program
}
