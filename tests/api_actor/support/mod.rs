//! A world for the Api actor: the memory store, local transport, and scripted neighbours that do as real ones do unless
//! scripted otherwise.

mod backend;
mod builders;
mod script;
mod services;
mod wait;
mod world;

pub use backend::send_report;
pub use builders::{admin, connector, create, failed, keep, member, pool, project, quick, reader, stranger};
pub use script::Reaction;
pub use world::World;
