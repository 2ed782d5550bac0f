//! The table of wrong certificates: each is refused, and both nodes log why.

use std::time::Duration;

use pumice::model::{NodeIdentity, NodeRole};
use pumice::transport::{PeerChange, Router, Tls};
use rcgen::ExtendedKeyUsagePurpose;

use crate::cluster::*;
use crate::transport_support::net::{connected, is_connected};
use crate::transport_support::{soon, until};

/// Waits for the lines of both logs, and that nothing is connected.
async fn refused(what: &str, log: &Log, nodes: &[&Node], lines: &[&[&str]]) {
    for line in lines {
        let wait = async {
            while !log.has(line) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(10), wait).await;
        assert!(came.is_ok(), "{what}: no line {line:?} in\n{}", log.text());
    }
    for node in nodes {
        let connected = node.router.peers().iter().any(|peer| peer.state == "connected");
        assert!(!connected, "{what}: it is connected");
    }
}

/// What the refused dialer logs, and what the listener does.
const DIALER: &str = "no connection to the other node";
const LISTENER: &str = "a connection from another node failed";

#[actix_rt::test]
async fn a_dialer_with_a_wrong_certificate_gets_nowhere_and_both_log_why() {
    let log = Log::default();
    let _guard = log.begin();
    let (cluster, stranger) = (Cluster::new(), Cluster::new());
    let name = "vol/volume";
    let vol = volume(name, &["vol@file"]);
    let listener = cluster.right(&control());
    let address = listener.listen().await.local_addr();
    let made = |valid| Made {
        valid,
        ..Made::of(&vol)
    };
    let other_cluster = NodeIdentity {
        cluster: "c2".to_owned(),
        ..vol.clone()
    };
    let revoked = cluster.issue(&vol);
    cluster.authority.revoke(name).unwrap();
    listener
        .tls
        .replace(cluster.credentials(&cluster.issue(&control())));
    let server_only = Made {
        usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        ..Made::of(&vol)
    };
    let cases = [
        (
            "expired",
            cluster.node(name, &cluster.sign(made((-9, -1)))),
            "it is expired or not valid yet; this node's own certificate expired at",
            "the other node's certificate expired at",
        ),
        (
            "not valid yet",
            cluster.node(name, &cluster.sign(made((1, 9)))),
            "it is expired or not valid yet; this node's own certificate is not valid before",
            "the other node's certificate is not valid before",
        ),
        (
            "revoked",
            cluster.node(name, &revoked),
            "it is revoked",
            "the other node's certificate is revoked",
        ),
        (
            "another authority's",
            // It accepts the listener: only its own certificate is a stranger's.
            Node::new(name, Tls::new(cluster.credentials(&stranger.issue(&vol)))),
            "it is not signed by the authority of that node's cluster",
            "the other node's certificate is not signed by the authority of this cluster",
        ),
        (
            "another cluster's",
            cluster.node(name, &cluster.sign(Made::of(&other_cluster))),
            "is of cluster 'c1', not 'c2'",
            "is of cluster 'c2', not 'c1'",
        ),
        (
            "for another purpose",
            cluster.node(name, &cluster.sign(server_only)),
            "the other node does not accept this node's certificate",
            "the other node's certificate cannot be verified",
        ),
        (
            "of another node",
            cluster.node(
                "impostor/volume",
                &cluster.issue(&volume("vol2/volume", &["vol@file"])),
            ),
            "the certificate is that of node 'vol2/volume', but the node says that it is 'impostor/volume'",
            "the certificate is that of node 'vol2/volume', but the node says that it is 'impostor/volume'",
        ),
    ];
    for (what, dialer, at_dialer, at_listener) in cases {
        log.clear();
        let joined = dialer.router.join(address.to_string(), dialer.options());
        let lines: [&[&str]; 2] = [&[DIALER, at_dialer], &[LISTENER, at_listener]];
        refused(what, &log, &[&dialer, &listener], &lines).await;
        joined.leave();
    }
    let right = cluster.right(&volume("vol3/volume", &["vol3@file"]));
    right.join(address);
    connected(&right.router, "ctl/control").await;
}

#[actix_rt::test]
async fn a_listener_with_a_wrong_certificate_is_not_joined() {
    let log = Log::default();
    let _guard = log.begin();
    let (cluster, stranger) = (Cluster::new(), Cluster::new());
    let vol = volume("vol/volume", &["vol@file"]);
    let expired = Made {
        valid: (-9, -1),
        ..Made::of(&control())
    };
    let other_volume = volume("evil/volume", &["evil@file"]);
    let cases = [
        (
            "expired",
            cluster.node("ctl/control", &cluster.sign(expired)),
            "the other node's certificate expired at",
            "the other node does not accept this node's certificate",
        ),
        (
            "another authority's",
            stranger.right(&control()),
            "the other node's certificate is not signed by the authority of this cluster",
            "the other node does not accept this node's certificate",
        ),
        (
            "no control node",
            cluster.right(&other_volume),
            "node 'evil/volume' was joined, and is no control node by its certificate",
            "node 'evil/volume' was joined, and is no control node by its certificate",
        ),
    ];
    for (what, listener, at_dialer, at_listener) in cases {
        log.clear();
        let address = listener.listen().await.local_addr();
        let dialer = cluster.right(&vol);
        let joined = dialer.router.join(address.to_string(), dialer.options());
        let lines: [&[&str]; 2] = [&[DIALER, at_dialer], &[LISTENER, at_listener]];
        refused(what, &log, &[&dialer, &listener], &lines).await;
        joined.leave();
    }
}

#[actix_rt::test]
async fn nodes_without_tls_and_nodes_with_it_do_not_talk() {
    let log = Log::default();
    let _guard = log.begin();
    let cluster = Cluster::new();
    let listener = cluster.right(&control());
    let address = listener.listen().await.local_addr();
    let plain = Router::new("plain/volume");
    plain.join(address.to_string(), options());
    until("it is refused", || log.has(&[LISTENER, "what came is not TLS"])).await;
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let plain_listener = Router::new("old/control")
        .listen(anywhere, options())
        .await
        .unwrap();
    let dialer = cluster.right(&volume("vol/volume", &[]));
    dialer.join(plain_listener.local_addr());
    until("it is refused", || {
        log.has(&[LISTENER, "does not begin as a pumice connection does"])
    })
    .await;
    assert!(!is_connected(&dialer.router, "old/control"));
}

#[actix_rt::test]
async fn nodes_beyond_the_loopback_need_tls() {
    let anywhere: std::net::SocketAddr = "0.0.0.0:0".parse().unwrap();
    let refused = Router::new("a").listen(anywhere, options()).await.unwrap_err();
    assert!(refused.to_string().contains("transport.certificate"), "{refused}");
    let node = Cluster::new().right(&control());
    assert!(node.router.listen(anywhere, node.options()).await.is_ok());
}

#[actix_rt::test]
async fn a_certificate_is_replaced_without_a_restart_and_a_revoked_one_ends_its_connection() {
    let log = Log::default();
    let _guard = log.begin();
    let cluster = Cluster::new();
    let vol = volume("vol/volume", &["vol@file"]);
    let listener = cluster.right(&control());
    let address = listener.listen().await.local_addr();
    let dialer = cluster.right(&vol);
    dialer.join(address);
    connected(&listener.router, "vol/volume").await;

    // The former certificate is revoked, after the node has a new one.
    let former = cluster.authority.issued().unwrap().last().unwrap().serial.clone();
    dialer.tls.replace(cluster.credentials(&cluster.issue(&vol)));
    listener.router.verify_peers(&listener.tls);
    assert!(
        is_connected(&listener.router, "vol/volume"),
        "nothing is wrong with either yet"
    );
    cluster.authority.revoke(&former).unwrap();
    let mut events = listener.router.watch_peers();
    let refresh = || {
        listener
            .tls
            .replace(cluster.credentials(&cluster.issue(&control())));
        listener.router.verify_peers(&listener.tls);
    };
    refresh();
    let PeerChange::Down { reason, .. } = soon(events.recv()).await.unwrap().change else {
        panic!("not down")
    };
    assert_eq!(reason, "the certificate of node 'vol/volume' is revoked");
    until("the node is told why", || {
        log.has(&["the peer said goodbye: the certificate of node 'vol/volume' is revoked"])
    })
    .await;
    // It is back with its new one.
    assert_eq!(soon(events.recv()).await.unwrap().change, PeerChange::Up);

    cluster.authority.revoke("vol/volume").unwrap();
    refresh();
    until("it stays away", || {
        !is_connected(&listener.router, "vol/volume") && log.has(&[DIALER, "it is revoked"])
    })
    .await;
}

#[test]
fn the_credentials_of_a_node_say_what_is_wrong_with_them() {
    let cluster = Cluster::new();
    let pair = cluster.sign(Made {
        names: vec!["https://example.org/".to_owned()],
        ..Made::of(&control())
    });
    let wrong = |pair: &Pair, key: &Pair| {
        let roots = vec![pair.certificate.clone()];
        let chain = vec![pair.certificate.clone()];
        pumice::transport::Credentials::new(roots, chain, key.key(), None).unwrap_err()
    };
    assert_eq!(
        wrong(&pair, &pair),
        "it has no role; it is no certificate of a node"
    );
    let [one, other] = [(); 2].map(|()| cluster.issue(&control()));
    assert_eq!(wrong(&one, &other), "the key is not that of the certificate");
    let role = identity("a", NodeRole::Volume, &[]);
    assert!(
        cluster
            .credentials(&cluster.issue(&role))
            .own()
            .identity
            .has(NodeRole::Volume)
    );
}
