//! For tests only: a clock set by hand, effects that crash at a chosen place, a whole Naru in one process over the fake
//! world, with a real database and real git, and the seeded simulation of deliveries.

pub mod clock;
pub mod crash;
pub mod front;
pub mod person;
pub mod release;
pub mod rig;
pub mod sim;
