//! For tests only: a clock set by hand, effects that crash at a chosen place, and a whole Naru in one process over the
//! fake world, with a real database and real git.

pub mod clock;
pub mod crash;
pub mod front;
pub mod person;
pub mod rig;
