use super::*;
use crate::model::volume::Secret;

fn node(name: &str) -> Introduction {
    Introduction {
        node: name.to_owned(),
        incarnation: Incarnation { boot: 1, random: 7 },
    }
}

fn with_secret(secret: Option<&str>) -> TransportOptions {
    TransportOptions {
        secret: secret.map(Secret::new),
        ..TransportOptions::default()
    }
}

async fn meet(
    dialer: (&str, Option<&str>),
    listener: (&str, Option<&str>),
) -> (Result<String, HandshakeError>, Result<String, HandshakeError>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (dial_as, listen_as) = (node(dialer.0), node(listener.0));
    let (dial_with, listen_with) = (with_secret(dialer.1), with_secret(listener.1));
    let nothing = Announcement::default();
    let (dialed, accepted) = tokio::join!(
        dial(near, &dial_as, &nothing, &dial_with, None, |_| ()),
        accept(
            far,
            &listen_as,
            &listen_with,
            None,
            || (),
            |_, _| Ok((Announcement::default(), ()))
        ),
    );
    (
        dialed.map(|it| it.them.node),
        accepted.map(|(it, ())| it.them.node),
    )
}

#[tokio::test]
async fn two_nodes_exchange_their_identities() {
    for secret in [None, Some("s")] {
        let (dialed, accepted) = meet(("a", secret), ("b", secret)).await;
        assert_eq!(
            (dialed.unwrap(), accepted.unwrap()),
            ("b".to_owned(), "a".to_owned())
        );
    }
}

#[tokio::test]
async fn nodes_with_different_secrets_or_one_without_do_not_talk() {
    for (one, other) in [(Some("s"), Some("t")), (None, Some("s")), (Some("s"), None)] {
        let (dialed, accepted) = meet(("a", one), ("b", other)).await;
        assert_eq!(dialed.unwrap_err().refusal(), Some(Refusal::BadProof));
        assert_eq!(accepted.unwrap_err().refusal(), Some(Refusal::BadProof));
    }
}

#[tokio::test]
async fn a_node_does_not_talk_to_its_namesake() {
    let (dialed, accepted) = meet(("a", None), ("a", None)).await;
    assert_eq!(dialed.unwrap_err().refusal(), Some(Refusal::SameName));
    assert_eq!(accepted.unwrap_err().refusal(), Some(Refusal::SameName));
}

async fn say(bytes: &[u8]) -> HandshakeError {
    let (mut near, far) = tokio::io::duplex(1 << 16);
    near.write_all(bytes).await.unwrap();
    let options = TransportOptions {
        handshake_timeout: Duration::from_millis(50),
        ..with_secret(None)
    };
    let admit = |_: &Identity, _: &Announcement| Ok((Announcement::default(), ()));
    accept(far, &node("b"), &options, None, || (), admit)
        .await
        .map(|_| ())
        .unwrap_err()
}

#[tokio::test]
async fn strangers_are_seen_for_what_they_are() {
    let after_preamble = |rest: &[u8]| [preamble().as_slice(), rest].concat();
    let ping = frame::encode(Kind::Ping, &1_u64, &(), 99).unwrap();
    for (bytes, what) in [
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            "what came does not begin as a pumice connection does",
        ),
        (b"PUM".to_vec(), "the handshake took longer than 50ms"),
        (
            [MAGIC.as_slice(), &[9, 0, 9, 0]].concat(),
            "it speaks protocol versions 9..=9, this node 1..=1",
        ),
        (after_preamble(&ping), "a frame of kind Ping is not expected here"),
        (
            after_preamble(&u32::MAX.to_le_bytes()),
            "a frame of 4294967295 bytes is larger than 65536",
        ),
    ] {
        assert_eq!(say(&bytes).await.to_string(), what);
    }
}

#[test]
fn the_newest_common_version_is_spoken() {
    assert_eq!(agree((0, 9)).unwrap(), PROTOCOLS.1);
    assert!(agree((PROTOCOLS.1 + 1, PROTOCOLS.1 + 1)).is_err());
    // An inverted range is empty.
    assert!(agree((5, 0)).is_err());
}
