//! Tests of the configuration, from the view of an operator.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
    let mut variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    variables.push(("HOME".to_owned(), "/home/alice".to_owned()));
    Surroundings {
        variables,
        hostname: "rock".to_owned(),
    }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Faults> {
    Config::from_layers(Some(("p.toml", text)), &surroundings(variables), &[])
}

fn faults(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let Faults(faults) = load(text, variables).expect_err("faults");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let documented = load(DEFAULTS, &[]).expect("the embedded file is right");
    let nothing = Config::from_layers(None, &surroundings(&[]), &[]).expect("defaults are right");
    assert_eq!(documented, nothing);

    let mut unresolved = Layers::default();
    let mut notes = Notes::default();
    assert!(unresolved.add_file("p", DEFAULTS, SECTIONS, &mut notes));
    assert_eq!(Config::read(&mut unresolved, &mut notes), Config::default());
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_known() {
    let document: toml::Table = DEFAULTS.parse().expect("TOML");
    let keys = |section: &toml::Value| -> BTreeSet<String> {
        section.as_table().expect("a section").keys().cloned().collect()
    };
    let known = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(|key| (*key).to_owned()).collect() };
    let sections: [(&str, &[&str]); 14] = [
        ("node", Node::KEYS),
        ("web", Web::KEYS),
        ("auth", &[Auth::KEYS, &["keystone"]].concat()),
        ("auth.keystone", Keystone::KEYS),
        ("log", Log::KEYS),
        ("store", Store::KEYS),
        ("transport", Transport::KEYS),
        ("notifications", Notifications::KEYS),
        ("cors", Cors::KEYS),
        ("scheduler", Scheduler::KEYS),
        ("service", Service::KEYS),
        ("quota", Quota::KEYS),
        ("volume", Volume::KEYS),
        ("operations", Operations::KEYS),
    ];
    for (name, known_keys) in sections {
        let section = name.split('.').fold(None, |within: Option<&toml::Value>, part| {
            Some(within.map_or_else(|| &document[part], |table| &table[part]))
        });
        assert_eq!(keys(section.expect("a section")), known(known_keys), "[{name}]");
    }
    let of_backend = keys(&document["backend"][backend::DEFAULT_BACKEND]);
    assert_eq!(of_backend, known(Backend::KEYS), "[backend.file]");
    let named: BTreeSet<_> = document.keys().map(String::as_str).collect();
    let outer = SECTIONS.iter().copied().filter(|name| !name.contains('.'));
    let all: BTreeSet<_> = outer.chain(["backend"]).collect();
    assert_eq!(named, all);
}

#[test]
fn each_documented_key_has_its_sentence() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(lines[index - 1].starts_with("# "), "line {}: {line}", index + 1);
        }
    }
}

#[test]
fn this_machine_fills_in_what_was_left_out() {
    let config = load("[node]\navailability_zone = \"z1\"\n", &[]).expect("right");
    assert_eq!(config.node.host, "rock");
    assert_eq!(config.node.data_dir, Path::new("/home/alice/.local/state/pumice"));
    assert_eq!(config.volume.default_availability_zone, "z1");
    let file = &config.backend["file"];
    assert_eq!(file.volume_backend_name, "file");
    assert_eq!(file.path, config.node.data_dir.join("volumes/file"));

    let config = load("", &[("XDG_STATE_HOME", "/state")]).expect("right");
    assert_eq!(config.node.data_dir, Path::new("/state/pumice"));
}

#[test]
fn the_higher_layer_wins() {
    let text = "[web]\nlisten = \"127.0.0.1:1\"\nworkers = 3\nmax_page_size = 7\n";
    let flags = [Flag {
        name: "--listen",
        section: "web",
        key: "listen",
        value: "127.0.0.1:3".to_owned(),
    }];
    let around = surroundings(&[
        ("PUMICE_WEB__LISTEN", "127.0.0.1:2"),
        ("PUMICE_WEB__WORKERS", "4"),
    ]);
    let web = Config::from_layers(Some(("p.toml", text)), &around, &flags)
        .expect("right")
        .web;
    assert_eq!((web.listen.port(), web.workers, web.max_page_size), (3, 4, 7));
}

#[test]
fn the_environment_gives_every_kind_of_value() {
    let config = load(
        "[backend.my-file]\n",
        &[
            ("PUMICE_NODE__HOST", "4"),
            ("PUMICE_NODE__ROLES", "[\"control\"]"),
            ("PUMICE_WEB__MAX_BODY_SIZE", "1MiB"),
            ("PUMICE_WEB__ENABLE_PROXY_HEADERS", "true"),
            ("PUMICE_WEB__TRUSTED_PROXIES", r#"["127.0.0.1", "10.0.0.0/24"]"#),
            ("PUMICE_SCHEDULER__CAPACITY_WEIGHT_MULTIPLIER", "-1.0"),
            ("PUMICE_QUOTA__VOLUMES", "-1"),
            ("PUMICE_AUTH__USERS", r#"[{ name = "bob", password = "x" }]"#),
            ("PUMICE_AUTH__KEYSTONE__TOKEN_CACHE_TIME", "1m"),
            ("PUMICE_BACKEND__MY_FILE__PATH", "/srv/v"),
            ("PUMICE_BACKEND__MY_FILE__CAPABILITIES", r#"{ tier = "gold" }"#),
            ("PUMICE_UNRELATED", "passed by"),
        ],
    )
    .expect("right");
    assert_eq!(config.node.host, "4");
    assert_eq!(config.node.roles, [Role::Control]);
    assert_eq!(config.web.max_body_size, ByteSize::mib(1));
    assert!(config.web.enable_proxy_headers);
    assert_eq!(config.web.trusted_proxies[1].to_string(), "10.0.0.0/24");
    assert!((config.scheduler.capacity_weight_multiplier + 1.0).abs() < f64::EPSILON);
    assert_eq!(config.quota.volumes, -1);
    assert_eq!(config.auth.users[0].name, "bob");
    assert_eq!(config.backend.keys().collect::<Vec<_>>(), ["my-file"]);
    assert_eq!(config.backend["my-file"].path, Path::new("/srv/v"));
    assert_eq!(config.backend["my-file"].capabilities["tier"], "gold");
}

#[test]
fn all_faults_are_reported_at_once_with_their_places() {
    let text = "\
[web]
lisen = \"127.0.0.1:1\"
workers = \"two\"
max_body_size = \"16MB\"
[wbe]
[node]
roles = []
[transport]
listen = \"0.0.0.0:8777\"
[scheduler]
filters = [\"CapasityFilter\"]
[backend.Bad]
";
    let reported = faults(
        text,
        &[("PUMICE_LOG__FORMAT", "xml"), ("PUMICE_QUOTA__VOLUMS", "1")],
    );
    let expected = [
        "p.toml:2: web.lisen: is no known key; did you mean 'listen'?",
        "p.toml:3: web.workers: invalid type: string \"two\", expected usize; write a whole number such as 2",
        "p.toml:4: web.max_body_size: '16MB' is not a number of bytes; write a whole number and a unit",
        "p.toml:5: wbe: is no known section; did you mean 'web'?",
        "p.toml:7: node.roles: is empty; name \"control\", \"volume\" or both",
        "p.toml:9: transport.listen: must be on the loopback",
        "p.toml:11: scheduler.filters: knows no 'CapasityFilter'; there are AvailabilityZoneFilter",
        "p.toml:12: backend.Bad: is no name for a backend",
        "environment variable PUMICE_LOG__FORMAT: log.format: unknown variant `xml`",
        "environment variable PUMICE_QUOTA__VOLUMS: quota.volums: is no known key; did you mean 'volumes'?",
    ];
    for expected in expected {
        assert!(
            reported.iter().any(|fault| fault.starts_with(expected)),
            "{expected}\nin {reported:#?}"
        );
    }
}

#[test]
fn a_file_that_is_no_toml_is_reported_with_its_lines() {
    let reported = faults("[web\nlisten = \n[node]\nhots = \"a\"\n", &[]);
    assert_reported(&reported, "p.toml:1: ");
    assert!(
        reported.iter().all(|fault| fault.starts_with("p.toml:")),
        "{reported:#?}"
    );
}

#[test]
fn a_missing_file_is_reported() {
    let path = Path::new("/nonexistent/p.toml");
    let error = Config::load(Some(path), &surroundings(&[]), &[]).expect_err("gone");
    let error = error.to_string();
    assert!(
        error.starts_with("/nonexistent/p.toml: cannot be read: "),
        "{error}"
    );
}

fn assert_reported(reported: &[String], expected: &str) {
    let is_it = |fault: &String| fault.contains(expected);
    assert!(reported.iter().any(is_it), "{expected}\nin {reported:#?}");
}

/// Files, with `; ` for the end of a line, and what is reported of each.
const INVALID: &str = r#"[service]; report_interval = "60s" => service.down_time: must be longer than service.report_interval
[node]; roles = ["volume"] => transport.join: is empty
[transport]; join = ["127.0.0.1:1"] => transport.join: names other control nodes, which cannot share
[store]; engine = "etcd"; [transport]; join = ["127.0.0.1:1"] => transport.join: names other control nodes, which know each other
[node]; roles = ["volume"]; [transport]; join = ["10.0.0.1:1"] => p.toml:4: transport.join: must be on
[auth]; strategy = "noauth"; [web]; listen = "0.0.0.0:8776" => p.toml:2: auth.strategy: lets everyone
[transport]; secret = "short" => transport.secret: must have at least 16 characters
[quota]; volumes = -2 => quota.volumes: must be from -1
[auth]; users = [{ name = "ann", password = "x" }, { name = "ann", project = "p", password = "y" }] => auth.users[1].password: differs from what 'ann' has above
[backend.a]; [backend.b] => backend.b.target_portal: is the portal of backend 'a', too
[backend.a]; driver = "lvm"; target = "none"; [backend.b]; driver = "lvm"; target = "none" => backend.b.volume_group: is the group of backend 'a', too
[backend.a]; driver = "lvm"; volume_group = "a/b" => p.toml:3: backend.a.volume_group: must be a volume group's name
[backend.a]; driver = "lvm"; lvm_type = "thin"; lvm_mirrors = 1 => p.toml:4: backend.a.lvm_mirrors: is for thick volumes
[backend.a]; driver = "lvm"; volume_clear_size = 2000 => p.toml:3: backend.a.volume_clear_size: must be from 0 to 1024
[backend.a]; driver = "lvm"; volume_clear_ionice = "rm -rf" => p.toml:3: backend.a.volume_clear_ionice: must be options of ionice
[backend.a]; driver = "lvm"; volume_dd_blocksize = "1000B" => p.toml:3: backend.a.volume_dd_blocksize: must be from 4KiB to 64MiB
[backend.a]; driver = "lvm"; lvm_type = "thick" => p.toml:3: backend.a.lvm_type:
[backend.a]; target = "lio"; [backend.b]; target = "nvmet" => backend.b.target_portal: is the portal of backend 'a', too
[backend.a]; target_secondary_ip_addresses = ["127.0.0.1"] => backend.a.target_secondary_ip_addresses: has 127.0.0.1:3261 twice
[backend.a]; target_secondary_ip_addresses = ["::"] => p.toml:2: backend.a.target_secondary_ip_addresses: is sent to initiators
[backend.a]; target = "nvmet"; target_secondary_ip_addresses = ["::1"] => backend.a.nvmeof_conn_info_version: must be 2 where there are
[backend.a]; target = "nvmet"; nvmeof_conn_info_version = 3 => p.toml:3: backend.a.nvmeof_conn_info_version: must be 1 or 2
[backend.a]; target = "nvmet"; nvmet_port_id = 0; nvmet_ns_id = 0 => p.toml:4: backend.a.nvmet_ns_id: must be from 1
[backend.a]; target = "iser" => "tgt", "lio", "nvmet", "fake" or "none"
[backend.a]; target_protocol = "iser" => p.toml:2: backend.a.target_protocol: is no known key
[backend.a]; reserved_percentage = 101 => p.toml:2: backend.a.reserved_percentage: must be from 0 to 100
[backend.a]; max_over_subscription_ratio = "0.5" => '0.5' is no ratio; write a ratio of at least 1
[backend.a]; target_prefix = "no name" => backend.a.target_prefix: must be the beginning of
[node]; host = "a@b" => node.host: must have no '@'
[node]; data_dir = "here" => node.data_dir: must be an absolute path
[web]; public_endpoint = "example.org" => web.public_endpoint: must be a URL
[operations]; retry_initial = "2m" => operations.retry_max: must not be shorter
[[auth.users]]; name = "a" => auth.users[0].password: is missing
[auth]; keystone = 3 => p.toml:2: auth.keystone: is a section: write [auth.keystone]
[auth.keystone]; urll = "http://k" => p.toml:2: auth.keystone.urll: is no known key; did you mean 'url'?
[auth]; strategy = "keystone" => auth.keystone.url: must be Keystone's URL, such as https://keystone.example.org:5000/v3
[auth]; strategy = "keystone" => auth.keystone.password: is missing: give password or password_file
[auth]; strategy = "keystone"; [auth.keystone]; url = "keystone:5000" => p.toml:4: auth.keystone.url: must be Keystone's URL
[auth]; strategy = "keystone"; [auth.keystone]; url = "http://user:pw@k" => p.toml:4: auth.keystone.url: must be Keystone's URL
[auth]; strategy = "keystone"; [auth.keystone]; password = "x"; password_file = "/p" => p.toml:5: auth.keystone.password_file: stands beside password: give one of them
[auth]; strategy = "keystone"; [auth.keystone]; timeout = "0s" => p.toml:4: auth.keystone.timeout: must be from 100ms to 1m
[auth]; strategy = "keystone"; [auth.keystone]; token_cache_time = "2h" => p.toml:4: auth.keystone.token_cache_time: must be from 0s to 1h
[auth]; strategy = "keystone"; [auth.keystone]; service_token_roles = [] => p.toml:4: auth.keystone.service_token_roles: is empty, so that no service token would be accepted
[auth]; strategy = "keystone"; users = [{ name = "a", password = "x" }] => p.toml:3: auth.users: is for the strategy "embedded"; the users are those of Keystone
web = 3 => p.toml:1: web: is a section: write [web]
[backend]; file = 3 => p.toml:2: backend.file: is a section: write [backend.file]
[auth]; users = 3 => p.toml:2: auth.users: is of type integer; write a list of {"#;

#[test]
fn invalid_combinations_are_reported() {
    for case in INVALID.lines() {
        let (file, expected) = case.split_once(" => ").expect("a file and its fault");
        assert_reported(&faults(&file.replace("; ", "\n"), &[]), expected);
    }
}

#[test]
fn a_place_that_would_not_fit_the_records_is_reported_for_every_backend() {
    let long = "p".repeat(240);
    let text = format!(
        "[node]\nhost = \"compute-1\"\n\
         [backend.a]\ntarget = \"none\"\nvolume_backend_name = \"{long}\"\n\
         [backend.b]\ntarget = \"none\"\nvolume_backend_name = \"{long}pppp\"\n\
         [backend.c]\ntarget = \"none\"\nvolume_backend_name = \"{long}ppppp\"\n\
         [quota]\nvolumes = -2\n"
    );
    let reported = faults(&text, &[]);
    let expected = [
        "p.toml:8: backend.b.volume_backend_name: makes host@backend#pool 256 bytes long (9, 1 and 244 and the two signs), more than 255",
        "p.toml:11: backend.c.volume_backend_name: makes host@backend#pool 257 bytes long",
        "quota.volumes: must be from -1",
    ];
    for expected in expected {
        assert_reported(&reported, expected);
    }
    assert_eq!(reported.len(), expected.len(), "{reported:#?}");

    let host = "h".repeat(252);
    let reported = faults(&format!("[node]\nhost = \"{host}\"\n"), &[]);
    let expected = "p.toml:2: node.host: has 252 bytes, which leaves no room";
    assert_reported(&reported, expected);
}

#[test]
fn no_password_is_ever_reported() {
    let file = "[[auth.users]]\nname = \"a\"\npassword = 271828\n[[auth.users]]\nname = \"b\"\npasword = \"271828\"\n";
    let reported = faults(file, &[("PUMICE_AUTH__USERS", "271828")]).join("\n");
    assert!(!reported.contains("271828"), "{reported}");
    let reported = faults(file, &[]);
    assert_reported(&reported, "p.toml:3: auth.users[0].password: is of type integer");
    let unknown = "p.toml:6: auth.users[1].pasword: is no known key; did you mean 'password'?";
    assert_reported(&reported, unknown);
    assert!(!reported.join("\n").contains("271828"), "{reported:#?}");

    let right = "[[auth.users]]\nname = \"a\"\npassword = \"271828\"\n";
    assert!(!format!("{:?}", load(right, &[]).expect("right")).contains("271828"));
}

#[test]
fn the_filters_and_weighers_that_may_be_named_are_those_that_are_built() {
    use crate::actors::scheduler::{filters, weighers};
    let filters: Vec<&str> = filters::KNOWN.iter().map(|filter| filter.name).collect();
    assert_eq!(filters, scheduler::FILTERS);
    assert_eq!(weighers::KNOWN, scheduler::WEIGHERS);
}

#[test]
fn backends_that_are_named_replace_the_one_that_is_there_by_default() {
    let config = load("[backend.a]\ndriver = \"fake\"\n", &[]).expect("right");
    assert_eq!(config.backend.keys().collect::<Vec<_>>(), ["a"]);
    let config = load("", &[("PUMICE_BACKEND__FILE__TARGET", "none")]).expect("right");
    assert_eq!(config.backend["file"].target, backend::Target::None);
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "([a-z\\[\\]\\.=\"0-9 {},#]|\\n){0,200}") {
        let _ = load(&text, &[]);
    }

    #[test]
    fn no_value_makes_it_panic(value in ".{0,40}") {
        for name in ["WEB__LISTEN", "WEB__WORKERS", "AUTH__USERS", "NODE__ROLES", "BACKEND__FILE__CAPABILITIES"] {
            let _ = load("", &[(&format!("PUMICE_{name}"), &value)]);
        }
    }
}

#[test]
fn backends_of_one_kernel_target_may_share_a_portal() {
    let file = "[backend.a]\ntarget = \"lio\"\n[backend.b]\ntarget = \"lio\"\n[quota]\nvolumes = -2\n";
    let reported = faults(file, &[]);
    assert!(
        !reported.iter().any(|fault| fault.contains("portal")),
        "{reported:#?}"
    );
}
