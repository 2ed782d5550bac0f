//! To the **Api** actor: what clients want changed, and what backends report.

mod connections;
mod manage;
mod reports;
mod snapshots;
mod types;
mod volumes;

use super::topic;

pub use connections::*;
pub use manage::*;
pub use reports::*;
pub use snapshots::*;
pub use types::*;
pub use volumes::*;

topic!(
    /// The Api actor.
    ApiTopic = "api", versions 1..=4
);
