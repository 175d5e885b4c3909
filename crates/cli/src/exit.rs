//! How a command ends: the exit codes, and errors that carry one.

use naru_model::Problem;

/// It did not work.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// Not logged in, or not allowed.
pub(crate) const DENIED: u8 = 3;
/// There is no such thing.
pub(crate) const MISSING: u8 = 4;
/// It conflicts with what is there.
pub(crate) const CONFLICT: u8 = 5;
/// The server does not answer.
pub(crate) const UNREACHABLE: u8 = 6;

/// Every exit code with its meaning, for the reference.
pub(crate) const ALL: [(u8, &str); 7] = [
    (0, "it worked; with `--wait`, the revision has all the traffic"),
    (FAILED, "it did not work; the error says why and what is still safe"),
    (USAGE, "the command line is wrong"),
    (DENIED, "not logged in, or not allowed"),
    (MISSING, "there is no such thing"),
    (
        CONFLICT,
        "it conflicts with what is there: the name is taken, the run is over, nothing can be returned to",
    ),
    (UNREACHABLE, "the server does not answer, or cannot work at the moment"),
];

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) problem: Box<Problem>,
    pub(crate) exit: u8,
}

/// What every command returns.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    pub(crate) fn new(exit: u8, problem: Problem) -> Self {
        Self { problem: Box::new(problem), exit }
    }

    /// The exit code of an HTTP status.
    pub(crate) fn of_status(status: u16) -> u8 {
        match status {
            401 | 403 => DENIED,
            404 => MISSING,
            409 => CONFLICT,
            502..=504 => UNREACHABLE,
            _ => FAILED,
        }
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::new(FAILED, problem)
    }
}
