//! What two nodes over TCP may count on: the same as one node, and what is a network's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod transport_support;

use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use pumice::messages::{Message, Pattern, Topic};
use pumice::model::volume::Secret;
use pumice::model::{Context, Error};
use pumice::transport::frame::{self, FrameReader, Kind, MAX_FRAME};
use pumice::transport::handshake::{self, Introduction};
use pumice::transport::header::{Announcement, Incarnation, MessageHeader, ReplyHeader, ReplyStatus};
use pumice::transport::{
    Actor, Address, CallError, EndpointBuilder, Handle, PeerChange, Router, Serve, TransportOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transport_support::net::*;
use transport_support::*;

/// A node with a trial actor, and one that has joined it.
struct Pair {
    near: Router,
    far: Router,
    bench: Bench,
    wire: Wire,
}

async fn pair(bound: usize, options: TransportOptions) -> Pair {
    let (near, far) = (Router::new("near"), Router::new("far"));
    let bench = trier(None, bound);
    far.register(bench.endpoint.clone());
    let wire = Wire::to(listen(&far, options.clone()).await).await;
    near.join(wire.address.to_string(), options);
    connected(&near, "far").await;
    Pair {
        near,
        far,
        bench,
        wire,
    }
}

/// What holds for a handle, wherever its actor is. The bound of the actor's mailbox is 4.
async fn an_actor_is_the_same_from(handle: Handle<Trial>, bench: &Bench) {
    let to = handle.address().clone();
    assert_eq!(handle.call(&context(), Add(2, 3), LONG).await, Ok(5));
    let refused = handle.call(&context(), Add(u32::MAX, 3), LONG).await;
    assert!(matches!(refused, Err(CallError::Refused(error)) if error.client == "too much"));
    let unknown = handle.call(&context(), Future2, LONG).await;
    assert_eq!(
        unknown,
        Err(CallError::UnsupportedVersion {
            to: to.clone(),
            speaks: 2,
            needs: 3
        })
    );
    let late = handle.call(&context(), Wait, Duration::from_millis(50)).await;
    assert_eq!(late, Err(CallError::Timeout(to.clone())));
    bench.gate.add_permits(1);
    until("it is handled all the same", || bench.endpoint.depth() == 0).await;

    bench.shared.waiting.store(0, SeqCst);
    let waits: Vec<_> = (0..4)
        .map(|_| {
            let handle = handle.clone();
            actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await })
        })
        .collect();
    until("all wait", || bench.shared.waiting.load(SeqCst) == 4).await;
    assert_eq!(
        handle.call(&context(), Add(1, 1), LONG).await,
        Err(CallError::Overloaded(to.clone()))
    );
    assert_eq!(
        handle.cast(&context(), Note(0)).await,
        Err(CallError::Overloaded(to.clone()))
    );
    bench.gate.add_permits(4);
    for wait in waits {
        assert_eq!(wait.await.unwrap(), Ok(()));
    }

    for n in 1..=50 {
        while handle.cast(&context(), Note(n)).await == Err(CallError::Overloaded(to.clone())) {
            tokio::task::yield_now().await;
        }
    }
    until("all are noted", || bench.shared.notes.lock().len() == 50).await;
    assert!(bench.shared.notes.lock().is_sorted());

    assert_eq!(
        handle.call(&context(), Panic, LONG).await,
        Err(CallError::Lost(to))
    );
    assert_eq!(handle.call(&context(), Add(1, 1), LONG).await, Ok(2));
    assert_eq!(bench.shared.built.load(SeqCst), 2);
    let fanned = handle.fanout(&context(), Note(51)).await;
    assert_eq!(fanned, 1);
    until("it is noted", || bench.shared.notes.lock().len() == 51).await;
}

#[actix_rt::test]
async fn an_actor_here_is_the_same_as_one_elsewhere() {
    let here = Router::new("here");
    let bench = trier(None, 4);
    here.register(bench.endpoint.clone());
    an_actor_is_the_same_from(here.any(), &bench).await;

    let pair = pair(4, quick()).await;
    an_actor_is_the_same_from(pair.near.any(), &pair.bench).await;
}

#[actix_rt::test]
async fn a_listener_reaches_the_actors_of_whoever_joined_it() {
    let control = Router::new("control");
    let volume = Router::new("volume");
    let bench = trier(Some("h1@file"), 4);
    let address = listen(&control, quick()).await;
    let mut events = control.watch_peers();
    volume.join(address.to_string(), quick());
    let up = soon(events.recv()).await.unwrap();
    assert_eq!((up.node.as_str(), &up.change), ("volume", &PeerChange::Up));
    let handle = control.server::<Trial>("h1@file");
    assert!(matches!(
        handle.call(&context(), Add(1, 1), LONG).await,
        Err(CallError::Unreachable(_))
    ));
    // What registers later is announced, and its waiters are informed.
    volume.register(bench.endpoint.clone());
    let announced = soon(events.recv()).await.unwrap();
    assert_eq!(announced.change, PeerChange::Announced);
    assert_eq!(announced.endpoints, [Address::of("trial", "h1@file")]);
    assert_eq!(handle.call(&context(), Add(1, 1), LONG).await, Ok(2));
    let report = &control.peers()[0];
    assert_eq!(report.endpoints, ["trial@h1@file"]);
    assert_eq!((report.topics[0].min, report.topics[0].max), Trial::VERSIONS);
}

#[actix_rt::test]
async fn a_broken_connection_loses_what_was_under_way_and_is_made_anew() {
    let pair = pair(8, quick()).await;
    let mut events = pair.near.watch_peers();
    let handle = pair.near.any::<Trial>();
    let waiting = {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await })
    };
    until("it is in work there", || {
        pair.bench.shared.waiting.load(SeqCst) == 1
    })
    .await;
    pair.wire.cut();
    assert_eq!(
        waiting.await.unwrap(),
        Err(CallError::Lost(handle.address().clone()))
    );
    until("the node is known to be gone", || {
        !is_connected(&pair.near, "far")
    })
    .await;
    assert!(matches!(
        soon(events.recv()).await.unwrap().change,
        PeerChange::Down { .. }
    ));
    assert!(matches!(
        handle.cast(&context(), Note(1)).await,
        Err(CallError::Unreachable(_))
    ));
    let report = &pair.near.peers()[0];
    assert_eq!(
        (report.state, report.node.as_deref()),
        ("connecting", Some("far"))
    );
    until("it is tried again", || pair.wire.connections.load(SeqCst) > 2).await;
    pair.wire.mend();
    connected(&pair.near, "far").await;
    assert_eq!(handle.call(&context(), Add(1, 1), LONG).await, Ok(2));
}

#[actix_rt::test]
async fn a_silent_wire_is_noticed_by_its_pings() {
    let options = TransportOptions {
        ping_interval: Duration::from_millis(50),
        ..quick()
    };
    let pair = pair(8, options).await;
    let handle = pair.near.any::<Trial>();
    let mut events = [pair.near.watch_peers(), pair.far.watch_peers()];
    pair.wire.silence();
    let answer = handle.call(&context(), Add(1, 1), LONG).await;
    assert_eq!(answer, Err(CallError::Lost(handle.address().clone())));
    // Whichever end notices first hangs up, and the other may hear that before it has noticed by itself.
    let mut reasons = Vec::new();
    for end in &mut events {
        let PeerChange::Down { reason, .. } = soon(end.recv()).await.unwrap().change else {
            panic!("not down")
        };
        reasons.push(reason);
    }
    assert!(
        reasons.iter().any(|reason| reason.contains("silent")),
        "{reasons:?}"
    );
    until("the other end notices too", || !is_connected(&pair.far, "near")).await;
}

#[actix_rt::test]
async fn a_node_that_restarts_is_found_again_in_its_new_life() {
    let near = Router::new("near");
    let first = Router::with_boot("far", 1);
    let bench = trier(None, 8);
    first.register(bench.endpoint.clone());
    let address = listen(&first, quick()).await;
    near.join(address.to_string(), quick());
    connected(&near, "far").await;
    let handle = near.any::<Trial>();
    let waiting = {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await })
    };
    until("it is in work there", || bench.shared.waiting.load(SeqCst) == 1).await;
    first.shutdown(Duration::ZERO).await;
    assert_eq!(
        waiting.await.unwrap(),
        Err(CallError::Lost(handle.address().clone()))
    );

    let second = Router::with_boot("far", 2);
    let bench = trier(None, 8);
    second.register(bench.endpoint.clone());
    second.listen(address, quick()).await.unwrap();
    connected(&near, "far").await;
    assert_eq!(
        near.peers()[0].incarnation,
        Some(second.incarnation().to_string())
    );
    assert_eq!(handle.call(&context(), Add(1, 1), LONG).await, Ok(2));
}

#[actix_rt::test]
async fn a_goodbye_is_heard_at_once_and_replies_come_before_it() {
    let patient = TransportOptions {
        ping_interval: Duration::from_secs(100),
        ..quick()
    };
    let pair = pair(8, patient).await;
    let mut events = pair.near.watch_peers();
    let handle = pair.near.any::<Trial>();
    let waiting = {
        let handle = handle.clone();
        actix_rt::spawn(async move { handle.call(&context(), Wait, LONG).await })
    };
    until("it is in work there", || {
        pair.bench.shared.waiting.load(SeqCst) == 1
    })
    .await;
    let shutdown = {
        let far = pair.far.clone();
        actix_rt::spawn(async move { far.shutdown(LONG).await })
    };
    pair.bench.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Ok(()));
    let PeerChange::Down { reason, .. } = soon(events.recv()).await.unwrap().change else {
        panic!("not down")
    };
    assert!(reason.contains("shutting down"), "{reason}");
    assert!(shutdown.await.unwrap());
}

#[actix_rt::test]
async fn two_nodes_that_join_each_other_end_up_with_one_connection() {
    let (one, other) = (Router::new("one"), Router::new("other"));
    for (node, server) in [(&one, "one"), (&other, "other")] {
        node.register(trier(Some(server), 8).endpoint);
    }
    let (at_one, at_other) = (listen(&one, quick()).await, listen(&other, quick()).await);
    one.join(at_other.to_string(), quick());
    other.join(at_one.to_string(), quick());
    until("both are connected and agree who dialed", || {
        let dialer = |router: &Router| {
            let peers = router.peers();
            let [peer] = peers.as_slice() else { return None };
            (peer.state == "connected").then(|| format!("{:?}", peer.dialed_by))
        };
        matches!((dialer(&one), dialer(&other)), (Some(a), Some(b)) if a != b)
    })
    .await;
    assert_eq!(
        one.server::<Trial>("other")
            .call(&context(), Add(1, 2), LONG)
            .await,
        Ok(3)
    );
    assert_eq!(
        other
            .server::<Trial>("one")
            .call(&context(), Add(3, 4), LONG)
            .await,
        Ok(7)
    );
}

#[actix_rt::test]
async fn what_does_not_fit_a_frame_is_told_to_its_sender_both_ways() {
    let small = TransportOptions {
        max_frame: 8192,
        ..quick()
    };
    let pair = pair(8, small).await;
    let handle = pair.near.any::<Trial>();
    let too_large = handle.call(&context(), Echo(vec![7; 9000]), LONG).await;
    assert!(matches!(too_large, Err(CallError::TooLarge { limit: 8192, bytes, .. }) if bytes > 9000));
    assert_eq!(
        handle.call(&context(), Echo(vec![7; 6000]), LONG).await,
        Ok(vec![7; 6000])
    );
    let too_large = handle.call(&context(), Inflate(9000), LONG).await;
    assert!(matches!(too_large, Err(CallError::TooLarge { limit: 8192, .. })));
    assert_eq!(handle.call(&context(), Add(1, 1), LONG).await, Ok(2));
    assert_eq!(pair.wire.connections.load(SeqCst), 1, "the connection was broken");
}

#[actix_rt::test]
async fn large_messages_pass_while_small_ones_do() {
    // Where other tests run, the large ones alone may take longer than a quick node is silent.
    let patient = TransportOptions {
        ping_interval: Duration::from_secs(10),
        ..quick()
    };
    let pair = pair(64, patient).await;
    let handle = pair.near.any::<Trial>();
    let large = (0..10_u8).map(|n| {
        let handle = handle.clone();
        actix_rt::spawn(async move {
            let bytes = vec![n; 900_000];
            handle.call(&context(), Echo(bytes.clone()), LONG).await == Ok(bytes)
        })
    });
    let large: Vec<_> = large.collect();
    for n in 0..50 {
        assert_eq!(handle.call(&context(), Add(n, 1), LONG).await, Ok(n + 1));
    }
    for echo in large {
        assert!(matches!(echo.await, Ok(true)));
    }
}

#[actix_rt::test]
async fn a_way_that_is_full_refuses_at_once() {
    let narrow = TransportOptions {
        outbound_messages: 4,
        ..quick()
    };
    let pair = pair(64, narrow).await;
    pair.wire.silence();
    let casts: Vec<_> = (0..100)
        .map(|n| {
            let handle = pair.near.any::<Trial>();
            actix_rt::spawn(async move { handle.cast(&context(), Note(n)).await })
        })
        .collect();
    let mut overloaded = 0;
    for cast in casts {
        match cast.await.unwrap() {
            Err(CallError::Overloaded(_)) => overloaded += 1,
            other => assert!(
                matches!(other, Err(CallError::Lost(_) | CallError::Timeout(_))),
                "{other:?}"
            ),
        }
    }
    // What is written makes room, even if it is never read.
    assert!(overloaded > 50, "{overloaded}");
}

#[actix_rt::test]
async fn an_address_that_others_could_reach_is_refused_by_its_key() {
    let router = Router::new("here");
    let refused = router
        .listen("0.0.0.0:0".parse().unwrap(), quick())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("transport.listen"), "{refused}");
}

#[actix_rt::test]
async fn nodes_whose_secrets_differ_stay_apart_and_say_why() {
    let with = |secret| TransportOptions {
        secret: Some(Secret::new(secret)),
        ..quick()
    };
    let (near, far) = (Router::new("near"), Router::new("far"));
    let address = listen(&far, with("one")).await.to_string();
    let wrong = near.join(address.clone(), with("another"));
    until("it says why", || {
        near.peers().iter().any(|peer| {
            peer.last_error
                .as_ref()
                .is_some_and(|error| error.contains("secrets of the two nodes differ"))
        })
    })
    .await;
    assert!(!is_connected(&far, "near"));
    wrong.leave();
    near.join(address, with("one"));
    connected(&near, "far").await;
    connected(&far, "near").await;
}

/// Whether this node says so of an address that it dials.
fn says(router: &Router, part: &str) -> bool {
    let peers = router.peers();
    let mut errors = peers.iter().filter_map(|peer| peer.last_error.as_deref());
    errors.any(|error| error.contains(part))
}

/// The incarnation of the only peer, if it is connected.
fn life_of(router: &Router) -> Option<String> {
    router.peers().first()?.incarnation.clone()
}

#[actix_rt::test]
async fn a_second_node_of_one_name_is_refused_as_long_as_the_first_is_connected() {
    let control = Router::new("control");
    let options = TransportOptions {
        ping_interval: Duration::from_millis(100),
        ..quick()
    };
    let address = listen(&control, options.clone()).await;
    let wire = Wire::to(address).await;
    let first = Router::of_folder("v/volume", 1, 1 << 32);
    first.join(wire.address.to_string(), options.clone());
    connected(&control, "v/volume").await;
    let life = life_of(&control);
    // Its higher number of starts does not make it the later one: it counts in another folder.
    let second = Router::of_folder("v/volume", 7, 2 << 32);
    second.join(address.to_string(), options.clone());
    until("the second is told why", || {
        says(
            &second,
            "another node named 'v/volume' is connected from 127.0.0.1",
        ) && says(&second, "give one of them another node.host")
    })
    .await;
    assert!(life.is_some() && life_of(&control) == life, "the first is kept");
    // Once the first is silent, the second is the node of that name.
    wire.silence();
    until("the second is connected", || {
        life_of(&control) == Some(second.incarnation().to_string())
    })
    .await;
    // And a restart of it need not wait for silence.
    let restarted = Router::of_folder("v/volume", 8, 2 << 32);
    restarted.join(address.to_string(), options);
    until("it is the later one", || {
        life_of(&control) == Some(restarted.incarnation().to_string())
    })
    .await;
}

#[actix_rt::test]
async fn a_goodbye_is_told_apart_from_a_lost_connection() {
    let pair = pair(8, quick()).await;
    let mut events = pair.far.watch_peers();
    pair.wire.cut();
    let lost = soon(events.recv()).await.unwrap();
    assert!(matches!(
        lost.change,
        PeerChange::Down {
            said_goodbye: false,
            ..
        }
    ));
    assert!(pair.far.connected_peer("near").is_none());
    pair.wire.mend();
    connected(&pair.far, "near").await;
    assert_eq!(soon(events.recv()).await.unwrap().change, PeerChange::Up);
    assert_eq!(pair.far.connected_peers().len(), 1);
    pair.near.shutdown(Duration::from_secs(5)).await;
    let left = soon(events.recv()).await.unwrap();
    assert!(matches!(
        left.change,
        PeerChange::Down {
            said_goodbye: true,
            ..
        }
    ));
}

#[actix_rt::test]
async fn the_actors_of_other_nodes_are_called_at_once_each_and_this_one_is_left_out() {
    let pair = pair(8, quick()).await;
    let own = trier(None, 8);
    pair.near.register(own.endpoint.clone());
    let third = Router::new("third");
    let third_bench = trier(None, 8);
    third.register(third_bench.endpoint.clone());
    let third_at = listen(&third, quick()).await;
    pair.near.join(third_at.to_string(), quick());
    connected(&pair.near, "third").await;
    let handle = pair.near.any::<Trial>();
    let mut answers = handle.call_others(&context(), Add(2, 3), LONG).await;
    answers.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(answers, [("far".to_owned(), Ok(5)), ("third".to_owned(), Ok(5))]);
    assert_eq!(handle.fanout_to_others(&context(), Note(1)).await, 2);
    until("both have noted it", || {
        pair.bench.shared.notes.lock().len() + third_bench.shared.notes.lock().len() == 2
    })
    .await;
    assert!(own.shared.notes.lock().is_empty());
    assert_eq!(handle.fanout(&context(), Note(2)).await, 3);
}

#[actix_rt::test]
async fn leaving_ends_the_connection_for_good() {
    let (near, far) = (Router::new("near"), Router::new("far"));
    let address = listen(&far, quick()).await;
    let joined = near.join(address.to_string(), quick());
    connected(&far, "near").await;
    connected(&near, "far").await;
    joined.leave();
    until("both know", || near.peers().is_empty() && far.peers().is_empty()).await;
}

/// Somebody who speaks the protocol as far as the handshake.
async fn stranger(
    to: std::net::SocketAddr,
    name: &str,
    boot: u64,
) -> Result<FrameReader<TcpStream>, handshake::HandshakeError> {
    let us = Introduction {
        node: name.to_owned(),
        incarnation: Incarnation::new(boot, 0),
    };
    let stream = TcpStream::connect(to).await.unwrap();
    handshake::dial(stream, &us, &Announcement::default(), &quick(), None, |_| ())
        .await
        .map(|met| met.reader)
}

async fn send(reader: &mut FrameReader<TcpStream>, bytes: &[u8]) {
    reader.get_mut().write_all(bytes).await.unwrap();
}

/// Reads until the other side closes.
async fn closed(reader: &mut FrameReader<TcpStream>) -> bool {
    soon(async {
        loop {
            match reader.next().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return true,
            }
        }
    })
    .await
}

#[actix_rt::test]
async fn nonsense_ends_its_own_connection_and_no_other() {
    let pair = pair(8, quick()).await;
    let address = listen(&pair.far, quick()).await;
    let call = frame::encode_raw(Kind::Call, &7_u64, &[], MAX_FRAME).unwrap();
    let hello = frame::encode_raw(Kind::Hello, &7_u64, &[], MAX_FRAME).unwrap();
    let nonsense: [(&str, &[u8]); 5] = [
        ("garbage", &[0x80; 64]),
        ("oversized", &[0xff, 0xff, 0xff, 0x7f, 4, 0, 0]),
        ("too short", &[1, 0, 0, 0, 4]),
        ("a header of another kind", &call),
        ("a second hello", &hello),
    ];
    for (name, bytes) in nonsense {
        let mut peer = stranger(address, name, 1).await.unwrap();
        until("it is let in", || is_connected(&pair.far, name)).await;
        send(&mut peer, bytes).await;
        assert!(closed(&mut peer).await, "{name}");
        until("it is forgotten", || !is_connected(&pair.far, name)).await;
    }
    // A frame that breaks off with its connection.
    let mut peer = stranger(address, "truncated", 1).await.unwrap();
    send(&mut peer, &[200, 0, 0, 0, 4, 1]).await;
    drop(peer);
    until("it is forgotten", || !is_connected(&pair.far, "truncated")).await;
    assert_eq!(
        pair.near.any::<Trial>().call(&context(), Add(1, 1), LONG).await,
        Ok(2)
    );
    assert_eq!(pair.wire.connections.load(SeqCst), 1);
    assert!(pair.far.healthy());
}

#[actix_rt::test]
async fn a_payload_that_cannot_be_read_is_answered_and_the_connection_stays() {
    let router = Router::new("here");
    router.register(trier(None, 8).endpoint);
    let mut peer = stranger(listen(&router, quick()).await, "stranger", 1)
        .await
        .unwrap();
    let header = |id, message: &str| MessageHeader {
        id,
        to: Address::any("trial"),
        message: message.to_owned(),
        version: 3,
        remaining_ms: Some(60_000),
        context: Context::internal("test"),
    };
    for (id, message, kind, payload) in [
        (1, "add", Kind::Call, vec![1, 2, 3]),
        (2, "add", Kind::Call, vec![0; 9]),
        (3, "add", Kind::Cast, vec![0; 8]),
        (4, "never heard of", Kind::Call, vec![]),
        (5, "add", Kind::Call, vec![0; 8]),
    ] {
        let frame = frame::encode_raw(kind, &header(id, message), &payload, MAX_FRAME).unwrap();
        send(&mut peer, &frame).await;
        let reply = loop {
            let frame = soon(peer.next()).await.unwrap().unwrap();
            if frame.kind == Kind::Reply {
                break frame;
            }
        };
        let reply: ReplyHeader = reply.decode_header().unwrap();
        assert_eq!(reply.id, id);
        match id {
            1..=3 => assert_eq!(reply.status, ReplyStatus::Refused),
            4 => assert!(matches!(reply.status, ReplyStatus::Failed(_))),
            _ => assert_eq!(reply.status, ReplyStatus::Done),
        }
    }
}

#[actix_rt::test]
async fn who_connects_and_says_nothing_is_sent_away_and_holds_up_nobody_for_long() {
    let router = Router::new("here");
    let options = TransportOptions {
        handshake_timeout: Duration::from_millis(100),
        max_handshakes: 2,
        ..quick()
    };
    let address = listen(&router, options).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PUM").await.unwrap();
        silent.push(stream);
    }
    let near = Router::new("near");
    near.join(address.to_string(), quick());
    connected(&near, "here").await;
    for mut stream in silent {
        let mut rest = Vec::new();
        // Closed, or reset: either way it ends.
        let _ = soon(stream.read_to_end(&mut rest)).await;
    }
}

#[actix_rt::test]
async fn strangers_who_say_nothing_do_not_keep_a_peer_out_however_many_they_are() {
    let router = Router::new("here");
    let options = TransportOptions {
        handshake_timeout: Duration::from_secs(60),
        max_handshakes: 4,
        ..quick()
    };
    let address = listen(&router, options).await;
    // More than may be at once, and each is replaced as soon as it is cut.
    let flood = (0..32).map(|_| {
        actix_rt::spawn(async move {
            loop {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            }
        })
    });
    let flood: Vec<_> = flood.collect();
    for name in ["near", "nearer"] {
        let near = Router::new(name);
        near.join(address.to_string(), quick());
        connected(&near, "here").await;
    }
    flood.iter().for_each(|stranger| stranger.abort());
}

#[actix_rt::test]
async fn a_later_life_of_a_node_ends_the_earlier_and_not_the_other_way_round() {
    let router = Router::new("here");
    let address = listen(&router, quick()).await;
    let mut first = stranger(address, "node", 1).await.unwrap();
    let mut second = stranger(address, "node", 2).await.unwrap();
    assert!(closed(&mut first).await);
    let stale = stranger(address, "node", 1).await.unwrap_err();
    assert_eq!(stale.refusal(), Some(pumice::transport::header::Refusal::Stale));
    send(
        &mut second,
        &frame::encode(Kind::Ping, &5_u64, &(), MAX_FRAME).unwrap(),
    )
    .await;
    let pong = soon(second.next()).await.unwrap().unwrap();
    assert_eq!((pong.kind, pong.decode_header::<u64>().unwrap()), (Kind::Pong, 5));
}

#[actix_rt::test]
async fn there_are_no_more_peers_than_may_be() {
    let router = Router::new("here");
    let address = listen(
        &router,
        TransportOptions {
            max_peers: 1,
            ..quick()
        },
    )
    .await;
    let _first = stranger(address, "first", 1).await.unwrap();
    let full = stranger(address, "second", 1).await.unwrap_err();
    assert_eq!(full.refusal(), Some(pumice::transport::header::Refusal::Full));
}

/// The topic of the trial actor in a later release.
enum LaterTrial {}

impl Topic for LaterTrial {
    const NAME: &'static str = Trial::NAME;
    const VERSIONS: (u16, u16) = (1, 3);
}

/// [`Future2`], where it is served.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Present;

impl Message for Present {
    type To = LaterTrial;
    type Reply = ();
    const NAME: &'static str = Future2::NAME;
    const PATTERN: Pattern = Pattern::Call;
    const SINCE: u16 = 3;
}

struct LaterTrier;

impl Actor for LaterTrier {
    type Topic = LaterTrial;
}

impl Serve<Present> for LaterTrier {
    async fn serve(self: Rc<Self>, _: Context, _: Present) -> Result<(), Error> {
        Ok(())
    }
}

#[actix_rt::test]
async fn a_newer_message_can_be_sent_when_the_last_older_actor_is_gone() {
    let here = Router::new("here");
    let handle = here.any::<Trial>();
    let bench = trier(None, 4);
    let address = listen(&here, quick()).await;
    let peers = ["newer", "older"].map(Router::new);
    let later = EndpointBuilder::new(None, 4, || Rc::new(LaterTrier));
    let later = later.serves::<Present>().start();
    for (peer, endpoint) in peers.iter().zip([later, bench.endpoint.clone()]) {
        peer.register(endpoint);
        peer.join(address.to_string(), quick());
        connected(&here, peer.node()).await;
        // The newer one alone understands it, then there is an older one, too.
        assert_eq!(handle.can_send::<Future2>(), peer.node() == "newer");
        assert!(handle.can_send::<Add>());
    }
    // The one that understands it is asked each time.
    for _ in 0..4 {
        assert_eq!(handle.call(&context(), Future2, LONG).await, Ok(()));
    }
    peers[1].shutdown(LONG).await;
    until("it is gone", || handle.can_send::<Future2>()).await;
}
