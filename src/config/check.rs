//! Checks of values, and of combinations of values.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::auth::{Strategy, User};
use super::backend::{Backend, Driver, LvmType, Target};
use super::node::Role;
use super::reading::Notes;
use super::store::Engine;
use super::units::{ByteSize, Duration};
use super::{Config, keystone, scheduler};
use crate::model::bounds::{CHARACTERS, PLACE};
use crate::model::volume::Secret;

/// Records invalid values and combinations. Only the form of paths is checked; the files are checked at start.
pub(super) fn check(config: &Config, notes: &mut Notes) {
    node(config, notes);
    places(config, notes);
    web(config, notes);
    auth(config, notes);
    keystone::check(config, notes);
    transport(config, notes);
    scheduler(config, notes);
    times(config, notes);
    quota(config, notes);
    notifications(config, notes);
    cors(config, notes);
    backends(config, notes);
}

fn node(config: &Config, notes: &mut Notes) {
    let node = &config.node;
    if node.roles.is_empty() {
        notes.invalid(&["node.roles"], "is empty; name \"control\", \"volume\" or both");
    }
    if node.host.contains(['@', '#', '/']) || node.host.contains(char::is_whitespace) {
        let problem = "must have no '@', '#', '/' or blank: it becomes part of host@backend#pool";
        notes.invalid(&["node.host"], problem);
    }
    if node.availability_zone.is_empty() || node.availability_zone.len() > CHARACTERS {
        notes.invalid(&["node.availability_zone"], "must have 1 to 255 characters");
    }
    if node.data_dir.is_relative() {
        notes.invalid(&["node.data_dir"], "must be an absolute path");
    }
}

/// Records backends whose `host@backend#pool` would be too long for the records. All drivers name their pool
/// `volume_backend_name`.
fn places(config: &Config, notes: &mut Notes) {
    let host = config.node.host.len();
    // The two separators, and one character each for the backend and the pool.
    if host + 4 > PLACE {
        let problem = format!(
            "has {host} bytes, which leaves no room for the rest of host@backend#pool: that may have {PLACE}"
        );
        notes.invalid(&["node.host"], problem);
        return;
    }
    for (name, backend) in &config.backend {
        let (backend_len, pool) = (name.len(), backend.volume_backend_name.len());
        let length = host + 1 + backend_len + 1 + pool;
        if length > PLACE {
            let problem = format!(
                "makes host@backend#pool {length} bytes long ({host}, {backend_len} and {pool} and the two signs), more \
                 than {PLACE}: shorten it, or node.host"
            );
            let key = format!("backend.{name}.volume_backend_name");
            notes.invalid(&[&key], problem);
        }
    }
}

fn web(config: &Config, notes: &mut Notes) {
    let web = &config.web;
    notes.within("web.workers", web.workers, 1..=256);
    notes.at_least("web.max_body_size", web.max_body_size, ByteSize::kib(1));
    notes.at_least("web.requests_at_once", web.requests_at_once, 1);
    if !(1..=web.requests_at_once.max(1)).contains(&web.requests_per_project) {
        let problem = "must be from 1 to web.requests_at_once";
        notes.invalid(&["web.requests_per_project", "web.requests_at_once"], problem);
    }
    notes.at_least("web.max_page_size", web.max_page_size, 1);
    if web.has_tls() == web.tls_key.as_os_str().is_empty() {
        let problem = "go together: HTTPS needs a certificate and its key";
        notes.invalid(&["web.tls_certificate", "web.tls_key"], problem);
    }
    if let Some(url) = web.public_endpoint() {
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/') || rest.contains(['?', '#', ' ']))
        {
            let problem = "must be a URL such as https://storage.example.org:8776";
            notes.invalid(&["web.public_endpoint"], problem);
        }
    }
}

fn auth(config: &Config, notes: &mut Notes) {
    let auth = &config.auth;
    if auth.strategy == Strategy::Noauth && !config.web.listen.ip().is_loopback() {
        let problem =
            "lets everyone be an administrator, so web.listen must be on the loopback (127.0.0.1 or ::1)";
        notes.invalid(&["auth.strategy", "web.listen"], problem);
    }
    if auth.region.is_empty() {
        notes.invalid(&["auth.region"], "must not be empty");
    }
    let is_same = |one: &User, other: &User| one.name == other.name && one.project == other.project;
    for (index, user) in auth.users.iter().enumerate() {
        let key = |name: &str| format!("auth.users[{index}].{name}");
        if user.name.is_empty() {
            notes.invalid(&[&key("name")], "is missing");
        } else if auth.users[..index].iter().any(|other| is_same(other, user)) {
            let problem = format!("'{}' is there twice for project '{}'", user.name, user.project);
            notes.invalid(&[&key("name")], problem);
        }
        let credential = (&user.password, &user.password_hash);
        let first = auth.users[..index].iter().find(|other| other.name == user.name);
        let differs = first.is_some_and(|first| (&first.password, &first.password_hash) != credential);
        match credential {
            // The same user, for another project.
            (None, None) if first.is_some() => {}
            (Some(_), None) | (None, Some(_)) if differs => {
                let given = if user.password.is_some() {
                    "password"
                } else {
                    "password_hash"
                };
                let name = &user.name;
                let problem = format!("differs from what '{name}' has above: a user has one password");
                notes.invalid(&[&key(given)], problem);
            }
            (None, None) => notes.invalid(&[&key("password")], "is missing: give password or password_hash"),
            (Some(_), Some(_)) => {
                let problem = "stands beside password_hash: give one of them";
                notes.invalid(&[&key("password")], problem);
            }
            (Some(password), None) if password.reveal().is_empty() => {
                notes.invalid(&[&key("password")], "must not be empty");
            }
            (None, Some(hash)) if !hash.reveal().starts_with("$argon2") => {
                let problem = "must be an argon2 hash ($argon2id$v=19$…)";
                notes.invalid(&[&key("password_hash")], problem);
            }
            _ => {}
        }
        if user.project.is_empty() {
            notes.invalid(&[&key("project")], "must not be empty");
        }
        if user.roles.is_empty() {
            notes.invalid(&[&key("roles")], "is empty; name admin, member or reader");
        }
    }
}

/// The names of the sinks.
const SINKS: [&str; 3] = ["log", "webhook", "amqp"];

/// The least bound of waiting notifications: more than are on their way at once.
const LEAST_PENDING: usize = 1000;

fn cors(config: &Config, notes: &mut Notes) {
    let of = &config.cors;
    let is_origin = |text: &String| {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        text == "*" || rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', ' ', ',']))
    };
    if !of.allowed_origins.iter().all(is_origin) {
        let problem = "must be \"*\" or origins such as https://dashboard.example.org, without a path";
        notes.invalid(&["cors.allowed_origins"], problem);
    }
    let is_name = |text: &String| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    for (key, names) in [
        ("cors.expose_headers", &of.expose_headers),
        ("cors.allow_methods", &of.allow_methods),
        ("cors.allow_headers", &of.allow_headers),
    ] {
        if !names.iter().all(is_name) {
            notes.invalid(&[key], "must be names of letters, digits and dashes");
        }
    }
}

fn notifications(config: &Config, notes: &mut Notes) {
    let of = &config.notifications;
    for (index, sink) in of.sinks.iter().enumerate() {
        if !SINKS.contains(&sink.as_str()) || of.sinks[..index].contains(sink) {
            let problem =
                format!("'{sink}' is unknown or there twice; write \"log\", \"webhook\" or \"amqp\"");
            notes.invalid(&["notifications.sinks"], problem);
        }
    }
    notes.at_least("notifications.max_pending", of.max_pending, LEAST_PENDING);
    notes.at_least("notifications.webhook_refusals", of.webhook_refusals, 1);
    // The URLs have passwords, so they are not quoted.
    let has = |sink: &str| of.sinks.iter().any(|other| other == sink);
    let begins = |url: &Secret, schemes: &[&str]| {
        let rest = schemes
            .iter()
            .find_map(|scheme| url.reveal().strip_prefix(scheme));
        rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)
        })
    };
    if has("webhook") && !begins(&of.webhook_url, &["http://", "https://"]) {
        let problem = "must be a URL such as https://events.example.org/volumes";
        notes.invalid(&["notifications.webhook_url"], problem);
    }
    if has("amqp") && !begins(&of.amqp_url, &["amqp://", "amqps://", "rabbit://"]) {
        let problem = "must be a URL such as amqps://user:password@broker.example.org:5671/";
        notes.invalid(&["notifications.amqp_url"], problem);
    }
    let names = |key: &str, names: &[String], notes: &mut Notes| {
        if names.is_empty() || names.iter().any(|name| name.is_empty() || name.len() > 200) {
            notes.invalid(&[key], "must have names of 1 to 200 bytes");
        }
    };
    names(
        "notifications.amqp_exchange",
        std::slice::from_ref(&of.amqp_exchange),
        notes,
    );
    names("notifications.amqp_topics", &of.amqp_topics, notes);
}

fn transport(config: &Config, notes: &mut Notes) {
    let transport = &config.transport;
    let control = config.node.has(Role::Control);
    let not_loopback = "must be on the loopback (127.0.0.1 or ::1) where there is no transport.certificate";
    let may_leave = transport.has_tls();
    if !may_leave && !transport.listen.ip().is_loopback() {
        notes.invalid(&["transport.listen", "transport.certificate"], not_loopback);
    }
    let is_empty = |path: &std::path::Path| path.as_os_str().is_empty();
    let files = [&transport.certificate, &transport.key, &transport.ca];
    if files.iter().any(|path| is_empty(path) == may_leave) {
        let problem =
            "go together: TLS between nodes needs a certificate, its key, and the authority's certificate";
        notes.invalid(
            &["transport.certificate", "transport.key", "transport.ca"],
            problem,
        );
    }
    if !may_leave && !is_empty(&transport.crl) {
        notes.invalid(
            &["transport.crl", "transport.certificate"],
            "is for nodes with a certificate",
        );
    }
    if may_leave && transport.secret().is_some() {
        let problem = "is for nodes without a certificate: remove it, or transport.certificate";
        notes.invalid(&["transport.secret", "transport.certificate"], problem);
    }
    if control && transport.listen == config.web.listen && transport.listen.port() != 0 {
        let problem = "is web.listen's address, too";
        notes.invalid(&["transport.listen", "web.listen"], problem);
    }
    if !may_leave && transport.join.iter().any(|address| !address.ip().is_loopback()) {
        notes.invalid(&["transport.join", "transport.certificate"], not_loopback);
    }
    if !control && transport.join.is_empty() {
        let problem = "is empty, but this node has no control role: name a control node's transport.listen";
        notes.invalid(&["transport.join", "node.roles"], problem);
    }
    if control && !transport.join.is_empty() && config.store.engine == Engine::Sled {
        let problem = "names other control nodes, which cannot share a store of engine \"sled\"";
        notes.invalid(&["transport.join", "store.engine"], problem);
    } else if control && !transport.join.is_empty() && !transport.has_tls() {
        let problem = "names other control nodes, which know each other by their certificates only";
        notes.invalid(&["transport.join", "transport.certificate"], problem);
    }
    if (1..16).contains(&transport.secret.reveal().len()) {
        let problem = "must have at least 16 characters, or be empty";
        notes.invalid(&["transport.secret"], problem);
    }
    notes.at_least("transport.mailbox_bound", transport.mailbox_bound, 1);
    let frames = ByteSize::kib(16)..=ByteSize::mib(64);
    notes.within("transport.max_frame", transport.max_frame, frames);
}

fn scheduler(config: &Config, notes: &mut Notes) {
    let chosen = [
        ("scheduler.filters", &config.scheduler.filters, scheduler::FILTERS),
        (
            "scheduler.weighers",
            &config.scheduler.weighers,
            scheduler::WEIGHERS,
        ),
    ];
    for (key, names, known) in chosen {
        for (index, name) in names.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                notes.invalid(&[key], format!("knows no '{name}'; there are {known}"));
            } else if names[..index].contains(name) {
                notes.invalid(&[key], format!("names '{name}' twice"));
            }
        }
    }
    notes.at_least("scheduler.max_attempts", config.scheduler.max_attempts, 1);
    if !config.scheduler.capacity_weight_multiplier.is_finite() {
        let problem = "must be a finite number";
        notes.invalid(&["scheduler.capacity_weight_multiplier"], problem);
    }
}

fn times(config: &Config, notes: &mut Notes) {
    let positive: [(&str, Duration); 16] = [
        ("web.idempotency_ttl", config.web.idempotency_ttl),
        ("web.call_timeout", config.web.call_timeout),
        ("web.request_patience", config.web.request_patience),
        ("auth.token_lifetime", config.auth.token_lifetime),
        ("transport.ping_interval", config.transport.ping_interval),
        ("transport.handshake_timeout", config.transport.handshake_timeout),
        ("service.report_interval", config.service.report_interval),
        ("service.down_time", config.service.down_time),
        ("operations.create_deadline", config.operations.create_deadline),
        ("operations.delete_deadline", config.operations.delete_deadline),
        ("operations.extend_deadline", config.operations.extend_deadline),
        (
            "operations.attachment_deadline",
            config.operations.attachment_deadline,
        ),
        ("operations.retry_initial", config.operations.retry_initial),
        ("operations.retry_max", config.operations.retry_max),
        ("operations.resend_after", config.operations.resend_after),
        ("store.export_interval", config.store.export_interval),
    ];
    let ten_years = Duration::from_hours(10 * 366 * 24);
    for (key, span) in positive {
        if span.0.is_zero() {
            notes.invalid(&[key], "must be longer than nothing");
        } else if span > ten_years {
            notes.invalid(&[key], "must be less than ten years");
        }
    }
    if config.service.down_time <= config.service.report_interval {
        let problem = "must be longer than service.report_interval, or every service counts as down between two reports";
        notes.invalid(&["service.down_time", "service.report_interval"], problem);
    }
    if config.operations.retry_max < config.operations.retry_initial {
        let problem = "must not be shorter than operations.retry_initial";
        notes.invalid(&["operations.retry_max", "operations.retry_initial"], problem);
    }
    notes.at_least("transport.page_size", config.transport.page_size, 1);
    config.store.check(notes);
}

fn quota(config: &Config, notes: &mut Notes) {
    for (name, limit) in config.quota.limits() {
        if !(-1..=crate::model::quota::MAX).contains(&limit) {
            let problem = format!("must be from -1 (no limit) to {}", crate::model::quota::MAX);
            notes.invalid(&[&format!("quota.{name}")], problem);
        }
    }
}

fn backends(config: &Config, notes: &mut Notes) {
    if config.volume.default_volume_type.is_empty() {
        notes.invalid(&["volume.default_volume_type"], "must not be empty");
    }
    let mut portals: BTreeMap<SocketAddr, (&str, Target)> = BTreeMap::new();
    let mut folders: BTreeMap<&std::path::Path, &str> = BTreeMap::new();
    let mut groups: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, backend) in &config.backend {
        let key = |field: &str| format!("backend.{name}.{field}");
        if backend.backend_stats_polling_interval.0.is_zero() {
            let key = key("backend_stats_polling_interval");
            notes.invalid(&[&key], "must be longer than nothing");
        }
        if backend.path.is_relative() {
            notes.invalid(&[&key("path")], "must be an absolute path");
        } else if let Some(other) = folders.insert(&backend.path, name) {
            let problem = format!("is the folder of backend '{other}', too");
            notes.invalid(&[&key("path")], problem);
        }
        if backend.driver == Driver::Lvm {
            lvm(backend, &key, notes);
            if let Some(other) = groups.insert(&backend.volume_group, name) {
                let problem = format!("is the group of backend '{other}', too");
                notes.invalid(&[&key("volume_group")], problem);
            }
        }
        notes.within(&key("reserved_percentage"), backend.reserved_percentage, 0..=100);
        notes.within(&key("max_workers"), backend.max_workers, 1..=256);
        if backend.command_timeout.0.is_zero() {
            notes.invalid(&[&key("command_timeout")], "must be longer than nothing");
        }
        let prefix_is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
        if !backend.target_prefix.starts_with("iqn.") || !backend.target_prefix.chars().all(prefix_is_plain) {
            let problem = "must be the beginning of an iSCSI name, such as \"iqn.2010-10.org.openstack:\"";
            notes.invalid(&[&key("target_prefix")], problem);
        }
        if !matches!(backend.target, Target::Fake | Target::None) && config.node.has(Role::Volume) {
            targets(name, backend, &mut portals, notes);
        }
    }
}

/// Checks the portals of targets, and the keys of each kind of target. Several targets of the same kind in the kernel may
/// share a portal.
fn targets<'a>(
    name: &'a str,
    backend: &Backend,
    portals: &mut BTreeMap<SocketAddr, (&'a str, Target)>,
    notes: &mut Notes,
) {
    let key = |field: &str| format!("backend.{name}.{field}");
    for (place, portal) in backend.portals().into_iter().enumerate() {
        let field = if place == 0 {
            "target_portal"
        } else {
            "target_secondary_ip_addresses"
        };
        if portal.port() == 0 || portal.ip().is_unspecified() {
            let problem = "is sent to initiators: set an address and a port";
            notes.invalid(&[&key(field)], problem);
        } else if let Some((other, kind)) = portals.insert(portal, (name, backend.target)) {
            if other == name {
                notes.invalid(&[&key(field)], format!("has {portal} twice"));
            } else if kind == Target::Tgt || kind != backend.target {
                notes.invalid(&[&key(field)], format!("is the portal of backend '{other}', too"));
            }
        }
    }
    if backend.target == Target::Nvmet {
        let count = backend.target_secondary_ip_addresses.len();
        if !matches!(backend.nvmeof_conn_info_version, 1 | 2) {
            notes.invalid(&[&key("nvmeof_conn_info_version")], "must be 1 or 2");
        } else if backend.nvmeof_conn_info_version == 1 && count > 0 {
            let problem = "must be 2 where there are target_secondary_ip_addresses";
            notes.invalid(&[&key("nvmeof_conn_info_version")], problem);
        }
        if backend.nvmet_port_id == 0 || usize::from(u16::MAX - backend.nvmet_port_id) < count {
            let problem = "must be at least 1, and leave numbers for further portals below 65536";
            notes.invalid(&[&key("nvmet_port_id")], problem);
        }
        notes.within(&key("nvmet_ns_id"), backend.nvmet_ns_id, 1..=u32::MAX - 1);
    }
}

fn lvm(backend: &Backend, key: &dyn Fn(&str) -> String, notes: &mut Notes) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    let group = &backend.volume_group;
    if group.is_empty() || group.starts_with('-') || group.len() > 127 || !group.chars().all(is_plain) {
        let problem = "must be a volume group's name: letters, digits, and any of + _ . -";
        notes.invalid(&[&key("volume_group")], problem);
    }
    if backend.lvm_mirrors > 0 && backend.lvm_type == LvmType::Thin {
        let problem = "is for thick volumes: set lvm_type to \"default\", or leave it 0";
        notes.invalid(&[&key("lvm_mirrors"), &key("lvm_type")], problem);
    }
    notes.within(&key("lvm_mirrors"), backend.lvm_mirrors, 0..=8);
    let conf_file = &backend.lvm_conf_file;
    if !conf_file.as_os_str().is_empty() && conf_file.is_relative() {
        notes.invalid(&[&key("lvm_conf_file")], "must be an absolute path");
    }
    notes.within(
        &key("thin_pool_warn_percent"),
        backend.thin_pool_warn_percent,
        1..=100,
    );
    notes.within(&key("volume_clear_size"), backend.volume_clear_size, 0..=1024);
    let ionice = &backend.volume_clear_ionice;
    if !ionice
        .split_whitespace()
        .all(|word| word.starts_with('-') || word.parse::<u8>().is_ok())
    {
        let problem = "must be options of ionice, such as \"-c3\"";
        notes.invalid(&[&key("volume_clear_ionice")], problem);
    }
    let block = backend.volume_dd_blocksize.0;
    if !(4096..=64 << 20).contains(&block) || !block.is_multiple_of(4096) {
        let problem = "must be from 4KiB to 64MiB, in steps of 4KiB";
        notes.invalid(&[&key("volume_dd_blocksize")], problem);
    }
}
