//! Delivery over the fake world: stories, people's edits, failures, rollback, and a crash at every effect.

mod crash;
mod hosts;
mod race;
mod story;
mod strategy;
