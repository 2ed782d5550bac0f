//! Pumice: a block storage service that speaks the Cinder API, as one program built of actors.
//!
//! The modules, with their only direction of use: `web` → `actors` → `verbs` → `control`, `backend` → `flow`, `store`,
//! `transport`, `drivers` → `model`.
//!
//! | module | content |
//! |---|---|
//! | [`model`] | records, their state machines, errors of the domain; no I/O |
//! | [`messages`] | messages between actors, one file per receiving actor |
//! | [`transport`] | addresses, `cast` and `call`, frames, peers, bounded and counted mailboxes |
//! | [`store`] | the `Store` trait, sled, and the typed catalog on top |
//! | [`flow`] | steps and reverts |
//! | [`verbs`] | one file for each verb on a resource |
//! | [`actors`] | Api, Quota, Scheduler, VolumeManager, Registry, Relay: the engines that run the verbs |
//! | [`control`] | the environment of a verb on a control node |
//! | [`backend`] | the environment of a verb's steps on a volume node |
//! | [`drivers`] | volume drivers, target helpers, external commands |
//! | [`web`] | Cinder's REST API, identity, inspection |
//! | [`config`], [`cli`] | typed configuration; the command line |
//! | [`authority`] | the certificates of a cluster's nodes: issued, revoked, and got with a token |
//! | `rng`, `tasks` | random values; spawning of tasks |
//! | `waiting_room` | the bound on handshakes of a listener |
//! | `backoff`, `panic_text` | pauses between attempts; the text of a caught panic |
//! | [`failpoint`] | points at which tests kill the process |
//! | [`tls_client`] | TLS of the service's own requests |
//! | [`private_files`] | files and folders that only their owner may read |
//!
//! # Creating a volume
//!
//! `POST /v3/volumes` → [`web`] checks the request's shape and calls the **Api** actor → it checks the request against the
//! catalog, has the **Quota** actor check the limits, and commits record, usage and operation in one durable transaction →
//! 202. It casts to the **Scheduler**, which filters and weighs the pools of all hosts, records its choice and casts to that
//!      host's **VolumeManager** → its worker has the driver create the volume → a report is sent to the Api actor, which
//!      sets the record to `available`, or sends it to the Scheduler again without that pool, or sets it to `error`.

// So that unit tests can use code of the integration tests.
#[cfg(test)]
extern crate self as pumice;

pub mod actors;
pub mod authority;
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
pub mod log_levels;
pub mod messages;
pub mod model;
mod panic_text;
pub mod private_files;
mod raised;
mod rng;
#[cfg(feature = "sim")]
pub mod sim;
pub mod store;
mod tasks;
pub mod tls_client;
pub mod transport;
pub mod verbs;
mod waiting_room;
pub mod web;
