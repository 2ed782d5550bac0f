//! The sockets everything here uses, in one place, so that a simulated network can stand in for them.

pub use tokio::net::{TcpListener, TcpStream};
