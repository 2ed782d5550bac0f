//! Pumice: a block storage service that speaks the Cinder API, as one program built of actors.
//!
//! The map of the house. One way only: `web` → `actors` → `verbs` → `control`, `backend` → `flow`, `store`, `transport`, `drivers` →
//! `model`.
//!
//! | room | what lives there |
//! |---|---|
//! | [`model`] | records, their state machines, errors of the domain; no I/O |
//! | [`messages`] | what crosses an actor's border, one file per receiving actor |
//! | [`transport`] | addresses, `cast` and `call`, frames, peers, bounded and counted mailboxes |
//! | [`store`] | the `Store` trait, sled, and the typed catalog on top |
//! | [`flow`] | steps and reverts |
//! | [`verbs`] | one file for each thing that can be done to a resource |
//! | [`actors`] | Api, Quota, Scheduler, VolumeManager, Registry, Relay: the engines that run the verbs |
//! | [`control`] | what a verb works with on a control node |
//! | [`backend`] | what the steps of a verb work with on a volume node |
//! | [`drivers`] | volume drivers, target helpers, external commands |
//! | [`web`] | Cinder's REST API, identity, inspection |
//! | [`config`], [`cli`] | typed configuration; the commands people type |
//! | `rng`, `tasks` | where ids and pauses are drawn; where tasks are begun |
//! | `backoff`, `panic_text` | pauses between attempts; what a caught panic said |
//! | [`failpoint`] | where tests kill the process |
//! | [`private_files`] | files and folders that nobody but their owner may read |
//!
//! # The way of one volume
//!
//! `POST /v3/volumes` → [`web`] checks the request's shape and calls the **Api** actor → it checks the request against the
//! catalog, asks the **Quota** actor to hold room, and commits record, usage and operation in one durable transaction →
//! 202. It casts to the **Scheduler**, which filters and weighs the pools of all hosts, records its choice and casts to that
//! host's **VolumeManager** → its worker has the driver make the volume → a report comes back to the Api actor, which
//! makes the record `available`, or sends it to the Scheduler again without that pool, or marks it `error`.

// So that unit tests share what tests of other crates use.
#[cfg(test)]
extern crate self as pumice;

pub mod actors;
pub mod backend;
mod backoff;
pub mod cli;
pub mod config;
pub mod control;
pub mod drivers;
pub mod failpoint;
pub mod flow;
#[cfg(test)]
#[path = "../tests/golden_support/mod.rs"]
mod golden;
pub mod inventory;
pub mod messages;
pub mod model;
mod panic_text;
pub mod private_files;
mod rng;
#[cfg(feature = "sim")]
pub mod sim;
pub mod store;
mod tasks;
pub mod transport;
pub mod verbs;
pub mod web;
