//! Delivery over the fake world: stories, people's edits, failures, rollback, and a crash at every effect. And the walk over
//! all routes, which only here are together.

mod crash;
mod hosts;
mod maintenance;
mod overtaken;
mod race;
mod simulation;
mod sources;
mod story;
mod strategy;
mod walk;
