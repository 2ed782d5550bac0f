//! Tests of internals; see `tests/drivers_tgt.rs` for the others.

use super::{TgtOptions, TgtTarget, measure};
use crate::drivers::DriverError;
use crate::drivers::targets::TargetDriver;
use crate::drivers::targets::chap::Chap;
use crate::drivers::testing::{fault, volume, work};

fn reason(error: DriverError) -> String {
    let DriverError::Failed { operator, .. } = error else {
        panic!("{error:?}");
    };
    operator
}

#[test]
fn without_tgt_setup_names_the_package() {
    let home = tempfile::tempdir().unwrap();
    let target = TgtTarget::new(TgtOptions {
        tgtd: "no-such-tgtd".into(),
        ..TgtOptions::new(home.path().join("tgt"), "127.0.0.1:1".parse().unwrap())
    });
    let text = reason(target.setup(&work()).unwrap_err());
    assert!(
        text.contains("no-such-tgtd") && text.contains("package tgt"),
        "{text}"
    );
    assert_eq!(target.generation(), None);
    target.remove_export(&work(), &volume(1)).unwrap();
    target.revoke_access(&work(), &volume(1), None).unwrap();
    assert!(target.list_exports(&work()).unwrap().is_empty());
    target.shutdown();
    target.shutdown();
}

#[test]
fn invalid_options_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let good = TgtOptions::new(home.path(), "127.0.0.1:1".parse().unwrap());
    type Spoil = fn(&mut TgtOptions);
    let cases: [(Spoil, &str); 4] = [
        (
            |options| options.portals = vec!["0.0.0.0:3260".parse().unwrap()],
            "0.0.0.0",
        ),
        (|options| options.portals.clear(), "no portal"),
        (
            |options| options.target_prefix = "iqn x".to_owned(),
            "target_prefix",
        ),
        (
            |options| options.folder = options.folder.join("x".repeat(120)),
            "too long",
        ),
    ];
    for (spoil, word) in cases {
        let mut options = good.clone();
        spoil(&mut options);
        let text = reason(TgtTarget::new(options).setup(&work()).unwrap_err());
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let options = TgtOptions {
        tgtd: "no-such-tgtd".into(),
        ..TgtOptions::new(home.path(), "127.0.0.1:1".parse().unwrap())
    };
    let first = TgtTarget::new(options.clone());
    first.setup(&work()).unwrap_err();
    let second = TgtTarget::new(options.clone());
    let text = reason(second.setup(&work()).unwrap_err());
    assert!(text.contains("in use by another process (pid "), "{text}");
    first.shutdown();
    let text = reason(second.setup(&work()).unwrap_err());
    assert!(text.contains("no-such-tgtd"), "{text}");
}

#[test]
fn only_what_tgt_can_take_is_exported() {
    let home = tempfile::tempdir().unwrap();
    let comma = home.path().join("a,b");
    std::fs::write(&comma, "x").unwrap();
    assert!(matches!(measure(&comma), Err(DriverError::Failed { .. })));
    assert_eq!(fault(measure(std::path::Path::new("relative"))), "Failed");
    assert_eq!(fault(measure(&home.path().join("none"))), "NotFound");
    let good = home.path().join("ab");
    std::fs::write(&good, "x").unwrap();
    assert_eq!(measure(&good).unwrap(), 1);
}

#[test]
fn both_ways_of_handing_over_a_password_make_an_account() {
    let home = tempfile::tempdir().unwrap();
    let portal = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = TgtTarget::new(TgtOptions::new(home.path(), portal));
    target
        .setup(&work())
        .expect("this test needs the Debian package tgt (`make test` installs it)");
    assert!(
        target.keeper.up().unwrap().direct,
        "this tgtd understands us without tgtadm"
    );
    for direct in [true, false] {
        let chap = Chap::generate().unwrap();
        for _ in 0..2 {
            target.admin.new_account(&work(), &chap, direct).unwrap();
        }
        let shown = target
            .admin
            .command()
            .args(["--mode", "account", "--op", "show"])
            .run(&work())
            .unwrap();
        assert_eq!(shown.stdout.text().matches(chap.name()).count(), 1);
        target.admin.delete_account(&work(), chap.name()).unwrap();
    }
}
