//! The client address of a request, by which failed logins are counted.
//!
//! It is the address of the connection, unless that belongs to a trusted proxy (`web.trusted_proxies`). Then it is taken from
//! `X-Forwarded-For`, read from the right: each trusted proxy appends the address of its client, so the first one from the right
//! that is no trusted proxy is the client. The entries left of it are written by the client and ignored.
//!
//! Links use the headers of the same proxies (`links`), if configured (`web.enable_proxy_headers`).

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{HttpRequest, web};

use super::state::ServerState;

/// The address of the client.
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
        // A value that is no text ends the chain, as an entry that is no address does.
        .map(|value| value.to_str().unwrap_or("?"))
        .collect();
    server.trusted_proxies.client(peer, values)
}
