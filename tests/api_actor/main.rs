//! The Api actor among scripted neighbours, on the memory store and real local transport.

mod create;
mod support;
