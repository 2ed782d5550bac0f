//! The two addresses of a control node: that of the API, and the one for volume nodes.

use std::path::Path;

use super::finding::Reporter;
use super::listen::{self, Place, Whose};
use super::machine::locks::{self, Held};
use crate::cli::serve;
use crate::config::{Config, Role};

/// The holder of this data directory's lock: a running control node.
pub fn held(data_dir: &Path) -> Held {
    locks::held(&data_dir.join("store/lock"))
}

/// Checks both.
pub fn check(config: &Config, reporter: &Reporter) {
    if !config.node.has(Role::Control) {
        return;
    }
    let held = held(&config.node.data_dir);
    let web = config.web.listen;
    let place = Place {
        check: "web.listen",
        key: "web.listen".to_owned(),
        address: web,
    };
    let mut answer = None;
    let whose = listen::look(&place, reporter, |_, owner| {
        // It is asked over plain HTTP only.
        answer = (!config.web.has_tls())
            .then(|| listen::healthcheck(web))
            .flatten();
        let answers = matches!(&answer, Some((200, body)) if body == "OK");
        match listen::by_lock(held, owner) {
            Whose::Unknown if answers => Whose::Ours("/healthcheck answers".to_owned()),
            whose => whose,
        }
    });
    if let (Whose::Ours(_), false) = (whose, config.web.has_tls()) {
        health(answer.as_ref(), reporter);
    }
    if let Some(address) = serve::listen_address(config) {
        let place = Place {
            check: "transport.listen",
            key: "transport.listen".to_owned(),
            address,
        };
        listen::look(&place, reporter, |_, owner| listen::by_lock(held, owner));
    }
}

fn health(answer: Option<&(u16, String)>, reporter: &Reporter) {
    let unwell = |what| reporter.warn("web.health", what, "see its log: journalctl -u pumice");
    match answer {
        Some((200, _)) => reporter.ok("web.health", "/healthcheck says OK"),
        Some((status, body)) => unwell(format!("/healthcheck says {status}: {body}")),
        None => unwell("/healthcheck does not answer".to_owned()),
    }
}
