//! TLS with certificates of both sides; name and password.

use std::path::Path;

use pumice::store::Store;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::cluster::Cluster;
use super::{options, put, try_open};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate for this name, and its key.
fn certificate(authority: &Authority, folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[actix::test]
async fn certificates_of_both_sides_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    let (ours, others) = (authority(), authority());
    std::fs::write(at("ca.pem"), ours.pem()).unwrap();
    std::fs::write(at("others.pem"), others.pem()).unwrap();
    certificate(&ours, folder.path(), "server");
    certificate(&ours, folder.path(), "node");
    certificate(&others, folder.path(), "stranger");
    let cluster = Cluster::start_with_tls(&[
        "--cert-file",
        &text("server.pem"),
        "--key-file",
        &text("server.key"),
        "--client-cert-auth",
        "--trusted-ca-file",
        &text("ca.pem"),
    ]);
    let with = |ca: &str, own: Option<&str>| {
        let mut options = options(&cluster, "a");
        options.ca_file = Some(at(ca));
        options.certificate = own.map(|own| (at(&format!("{own}.pem")), at(&format!("{own}.key"))));
        options
    };
    let store = try_open(with("ca.pem", Some("node"))).await.unwrap();
    store.commit(put("k", "1")).await.unwrap();
    for (ca, own) in [
        ("others.pem", Some("node")),
        ("ca.pem", Some("stranger")),
        ("ca.pem", None),
    ] {
        let mut refused = with(ca, own);
        // It tries as long as it may.
        refused.timeout = std::time::Duration::from_secs(1);
        let error = try_open(refused).await.err().unwrap();
        assert!(error.unavailable, "{ca} {own:?} {error}");
    }
    let missing = try_open(with("none.pem", None)).await.err().unwrap();
    assert!(missing.to_string().contains("none.pem"), "{missing}");
}

#[actix::test]
async fn a_user_logs_in_and_again_when_its_token_is_gone() {
    let mut cluster = Cluster::start(1);
    cluster.ctl(&["user", "add", "root:secret"]);
    cluster.ctl(&["user", "grant-role", "root", "root"]);
    cluster.ctl(&["role", "add", "pumice"]);
    cluster.ctl(&[
        "role",
        "grant-permission",
        "--prefix=true",
        "pumice",
        "readwrite",
        "/pumice/",
    ]);
    cluster.ctl(&["user", "add", "pumice:word"]);
    cluster.ctl(&["user", "grant-role", "pumice", "pumice"]);
    cluster.ctl(&["auth", "enable"]);
    let with = |user: Option<(&str, &str)>| {
        let mut options = options(&cluster, "a");
        options.timeout = std::time::Duration::from_secs(4);
        options.user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
        options
    };
    let store = try_open(with(Some(("pumice", "word")))).await.unwrap();
    store.commit(put("k", "1")).await.unwrap();
    for (user, says) in [
        (None, "user name"),
        (Some(("pumice", "wrong")), "invalid user ID or password"),
    ] {
        let error = try_open(with(user)).await.err().unwrap();
        assert!(error.to_string().contains(says), "{user:?} {error}");
    }
    // Tokens are in the memory of a member.
    cluster.kill(0);
    cluster.restart(0);
    cluster.wait_ready();
    store.commit(put("k", "2")).await.unwrap();
    cluster.ctl(&[
        "--user",
        "root:secret",
        "role",
        "grant-permission",
        "pumice",
        "read",
        "other",
    ]);
    store.commit(put("k", "3")).await.unwrap();
    store.wait_current().await.unwrap();
}
