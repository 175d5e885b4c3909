//! Logging in by providers, against doubles: who gets which account and role, and what is not believed.

#[path = "external/accounts.rs"]
mod accounts;
#[path = "external/double.rs"]
mod double;
#[path = "external/refusals.rs"]
mod refusals;
#[path = "external/world.rs"]
mod world;
