//! From which address a request comes: what failed logins are counted by.
//!
//! It is the address of the connection, unless that is a proxy which the operator named (`web.trusted_proxies`). Then it is what
//! this proxy says in `X-Forwarded-For`, read from the right: each trusted proxy appended the address that it was called from, so
//! the first one from the right that is no trusted proxy is the client. What stands left of it the client wrote itself.
//!
//! Links follow what the same proxies say (`links`), if the operator wishes it (`web.enable_proxy_headers`).

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{HttpRequest, web};

use super::state::ServerState;

/// Where a request comes from.
#[must_use]
pub fn client_address(request: &HttpRequest) -> IpAddr {
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    let Some(server) = request.app_data::<web::Data<ServerState>>() else {
        return peer.to_canonical();
    };
    let values: Vec<&str> = request
        .headers()
        .get_all("x-forwarded-for")
        // Text that is none ends the chain, as a word that is no address does.
        .map(|value| value.to_str().unwrap_or("?"))
        .collect();
    server.trusted_proxies.client(peer, values)
}
