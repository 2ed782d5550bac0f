//! One storage backend of a volume node: its driver, its worker threads, what is known of its volumes, and how a command is run
//! on it.
//!
//! The VolumeManager actor receives the commands; each [verb](crate::verbs) says what its commands do. [`BackendState`] outlives the
//! actor: one that was restarted after a panic finds the running work and the inventory of the one before.
//!
//! | module | content |
//! |---|---|
//! | `command` | what a command declares, and one command being run |
//! | `state` | [`BackendState`]: driver, workers, inventory, answered commands, readiness |
//! | `workers` | the threads that driver verbs run in, and the locks they hold |
//! | `driver_slot` | the driver in use, replaced after a panic |
//! | `inventory` | the backend's volumes, their sizes, exports and deletes |
//! | `answered` | the answered commands, with their answers |
//! | `lease` | commands are begun while a control node is connected |
//! | `copy_sources` | which volumes another backend may read, and for which operation |
//! | `failure` | from a driver's error to the report's failure |

pub mod answered;
pub mod command;
pub mod copy_sources;
pub mod driver_slot;
pub mod failure;
pub mod inventory;
pub mod lease;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
pub mod workers;

pub use self::command::{BackendCommand, CommandVisitor, DriverCall, SpaceEffect, Task, WhenDown};
pub use self::state::{BackendState, Options, Readiness};
pub use self::workers::LockSet;
