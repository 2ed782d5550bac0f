//! Messages between actors: `cast` and `call` on a typed handle that is the same for a local and a remote actor.
//!
//! ```text
//!   Handle<T> ──> Router ──┬── local:  Endpoint (bounded, counted) ──> actix actor
//!                          └── remote: Peer (bincode frames, TLS) ──> Router of the other node ──> Endpoint …
//! ```
//!
//! A message is delivered at most once; if it was refused (`Unreachable`, `Overloaded`, `TooLarge`,
//! `UnsupportedVersion`) it was certainly not handled, if it ended in `Timeout` or `Lost` it may have been. Mailboxes
//! are bounded here, by permits that travel with the message, because actix bounds each `Addr` on its own. The
//! transport neither retries nor stores messages; the journal does.

pub mod address;
pub mod admission;
pub mod codec;
pub mod endpoint;
pub mod frame;
pub mod fuzzing;
pub mod handle;
pub mod handshake;
pub mod header;
pub mod join;
pub mod listener;
mod log_limit;
pub mod net;
pub mod options;
pub mod outbound;
pub mod peers;
pub mod proof;
pub mod rights;
pub mod router;
pub mod serve;
pub mod stats;
pub mod supervisor;
pub mod tls;
pub mod undelivered;

mod connection;
mod mailbox;
mod peer;
mod peer_table;
mod shell;

pub use address::Address;
pub use endpoint::Endpoint;
pub use handle::{CallError, Handle};
pub use join::JoinedPeer;
pub use listener::ListenerHandle;
pub use options::TransportOptions;
pub use peers::{PeerChange, PeerEvent, PeerReport};
pub use rights::Rights;
pub use router::Router;
pub use serve::{Actor, EndpointBuilder, Serve, Started};
pub use stats::ActorReport;
pub use tls::{Credentials, NodeCertificate, Tls, TlsFiles};
