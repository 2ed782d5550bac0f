//! The embedded identity service, as Keystone's clients use it: real HTTP over loopback, and the real Api actor.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod logins;
mod manage;
mod site;
#[path = "../web_support/mod.rs"]
mod web_support;
