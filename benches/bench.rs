//! `make bench`: what Pumice does, beside what the same machine does without it, measured in the same run.
//!
//! Machines are shared and noisy, so each figure stands beside a limit taken seconds before or after, and beside the target
//! this project set itself for two cores. An argument names a part that is measured alone (`cargo bench --bench bench copies`). It exits 1 if a target is missed by more than the noise we allow (`--strict`).

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a report for people, of small counts"
)]
#![expect(
    clippy::disallowed_types,
    reason = "the program under test is a process of its own"
)]

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[path = "../tests/etcd_support/cluster.rs"]
mod cluster;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use pumice::model::NodeRole;
use pumice::store::Store;
use support::authority::Authority;
use support::control_nodes::ControlNodes;
use support::http::{Client, closed_loop, request};
use support::server::Server;
use support::{bare, calls, copies, decisions, etcd, fleet, lists};

/// The configuration under test: the fake driver, no quota in the way.
const CONFIG: &str = r#"
[log]
filter = "warn"

[quota]
volumes = -1
gigabytes = -1

[backend.fake]
driver = "fake"
target = "none"
"#;

struct Report {
    missed: usize,
}

impl Report {
    /// One line: what, how much, the limit beside it, the ratio, the target.
    fn line(&mut self, what: &str, value: f64, unit: &str, limit: (&str, f64), target: Target) {
        let (name, bound) = limit;
        let ratio = if bound > 0.0 { value / bound } else { f64::NAN };
        let (met, goal) = match target {
            Target::AtLeast(goal) => (value >= goal, format!("at least {goal}")),
            Target::AtMost(goal) => (value <= goal, format!("at most {goal}")),
            Target::None => (true, "-".to_owned()),
        };
        self.missed += usize::from(!met);
        println!(
            "{what:<44} {value:>10.1} {unit:<7} limit {bound:>10.1} ({name}), ratio {ratio:.2}; target {goal}: {}",
            if met { "met" } else { "MISSED" }
        );
    }
}

#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    None,
}

fn main() -> Result<()> {
    actix_rt::System::new().block_on(async {
        let local = tokio::task::LocalSet::new();
        local.run_until(run()).await
    })
}

async fn run() -> Result<()> {
    let mut report = Report { missed: 0 };
    println!(
        "pumice {} on {} cores",
        env!("CARGO_PKG_VERSION"),
        std::thread::available_parallelism()?
    );
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|part| !part.starts_with("--"))
        .collect();
    let is_wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if is_wanted("creates") {
        creates_and_shows(&mut report).await?;
    }
    if is_wanted("pages") {
        pages(&mut report).await?;
    }
    if is_wanted("lists") {
        filtered_lists(&mut report).await?;
    }
    if is_wanted("calls") {
        calls(&mut report).await?;
    }
    if is_wanted("decisions") {
        decisions(&mut report)?;
    }
    if is_wanted("copies") {
        copies(&mut report).await?;
    }
    if is_wanted("etcd") {
        on_etcd(&mut report).await?;
    }
    if is_wanted("cluster") {
        for count in [1, 3] {
            control_nodes(&mut report, count).await?;
        }
    }
    // Minutes: when it is asked for by its name.
    if parts.iter().any(|wanted| wanted == "fleet") {
        fleet(&mut report).await?;
    }
    println!("{} of the targets missed", report.missed);
    if report.missed > 0 && std::env::args().any(|argument| argument == "--strict") {
        std::process::exit(1);
    }
    Ok(())
}

fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("bench.toml"), CONFIG)?;
    Ok(folder)
}

async fn creates_and_shows(report: &mut Report) -> Result<()> {
    let folder = folder()?;
    let version = Instant::now();
    std::process::Command::new(env!("CARGO_BIN_EXE_pumice"))
        .arg("--version")
        .output()?;
    let bare_start = version.elapsed().as_secs_f64() * 1000.0;
    let server = Server::start(folder.path()).await?;
    let ready = server.ready_in.as_secs_f64() * 1000.0;
    report.line(
        "start to ready, empty (ms)",
        ready,
        "ms",
        ("pumice --version", bare_start),
        Target::AtMost(300.0),
    );
    let idle = server.resident_at_rest().await?;

    let path = format!("/v3/{}/volumes", server.project);
    let create = |index: usize| {
        let body = format!(
            r#"{{"volume": {{"size": 1, "name": "bench-{index}", "metadata": {{"run": "bench"}}}}}}"#
        );
        request("POST", &path, &server.token, &body)
    };
    closed_loop(server.address, 64, 500, 202, create).await?;
    let made = closed_loop(server.address, 64, 9_500, 202, create).await?;
    let drained = server.drain().await?;
    let loaded = server.resident()?;
    let resident = server.resident_at_rest().await?;
    let store: Arc<dyn Store> = bare::sled(&folder.path().join("bare"))?;
    let commits = bare::commits(store, 64, 9_500).await?;
    let fsyncs = bare::fsyncs(folder.path())?;
    report.line(
        "creates, 202 answered, 64 clients",
        made.per_second,
        "/s",
        ("bare durable commits, 64 at once", commits),
        Target::AtLeast(1_500.0),
    );
    println!(
        "    p50 {:.1} ms, p99 {:.1} ms; the last was available {:.2} s after the last 202; fsyncs/s one at a time {fsyncs:.0}",
        made.p50.as_secs_f64() * 1e3,
        made.p99.as_secs_f64() * 1e3,
        drained.as_secs_f64()
    );
    report.line(
        "resident memory at rest, 10,000 volumes",
        resident,
        "MB",
        ("empty", idle),
        Target::AtMost(60.0),
    );

    println!("    {loaded:.0} MB right after the last create");

    let ids = list_ids(&server).await?;
    let show = |index: usize| {
        let path = format!("/v3/{}/volumes/{}", server.project, ids[index % ids.len()]);
        request("GET", &path, &server.token, "")
    };
    let body = Client::connect(server.address).await?.send(&show(0)).await?.body;
    closed_loop(server.address, 32, 2_000, 200, show).await?;
    let shown = closed_loop(server.address, 32, 60_000, 200, show).await?;
    let (address, handle) = bare::http(body.leak())?;
    let bare = closed_loop(address, 32, 60_000, 200, show).await?;
    handle.stop(false).await;
    report.line(
        "shows, 32 clients",
        shown.per_second,
        "/s",
        ("bare actix-web, same bytes", bare.per_second),
        Target::AtLeast(10_000.0),
    );
    println!(
        "    p50 {:.2} ms, p99 {:.2} ms",
        shown.p50.as_secs_f64() * 1e3,
        shown.p99.as_secs_f64() * 1e3
    );
    Ok(())
}

async fn list_ids(server: &Server) -> Result<Vec<String>> {
    let path = format!("/v3/{}/volumes?limit=1000", server.project);
    let answer = Client::connect(server.address)
        .await?
        .send(&request("GET", &path, &server.token, ""))
        .await?;
    let page: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let volumes = page["volumes"].as_array().context("no volumes in the page")?;
    Ok(volumes
        .iter()
        .filter_map(|volume| volume["id"].as_str().map(str::to_owned))
        .collect())
}

async fn pages(report: &mut Report) -> Result<()> {
    for count in [1_000, 100_000] {
        let folder = folder()?;
        let project = support::populate::project_of_first_start(folder.path()).await?;
        support::populate::volumes(folder.path(), &project, count).await?;
        let server = Server::start(folder.path()).await?;
        let ready = server.ready_in.as_secs_f64() * 1000.0;
        let path = format!("/v3/{}/volumes/detail?limit=1000", server.project);
        let ask = request("GET", &path, &server.token, "");
        let (page, size) = best_of(server.address, &ask, 15).await?;
        let body = Client::connect(server.address).await?.send(&ask).await?.body;
        let (address, handle) = bare::http(body.leak())?;
        let (bare, _) = best_of(address, &ask, 15).await?;
        handle.stop(false).await;
        report.line(
            &format!("1,000-volume detail page of {count}"),
            page,
            "ms",
            (&format!("bare actix-web, same {} KiB", size / 1024), bare),
            Target::AtMost(15.0),
        );
        let resident = server.resident_at_rest().await?;
        println!("    ready in {ready:.0} ms, resident {resident:.0} MB with {count} volumes");
    }
    Ok(())
}

/// Every sort key and filter of volumes, beside the page without any.
async fn filtered_lists(report: &mut Report) -> Result<()> {
    let count = 100_000;
    let folder = folder()?;
    let project = support::populate::project_of_first_start(folder.path()).await?;
    support::populate::varied_volumes(folder.path(), &project, count).await?;
    let server = Server::start(folder.path()).await?;
    let before = server.resident_at_rest().await?;
    let mut lists = lists::Lists::connect(&server).await?;
    println!(
        "    first list by an order without an index: {:.0} ms",
        lists.first().await?
    );
    println!(
        "    ratio to the page without filters and sort: the largest of three places and two directions"
    );
    println!(
        "    {:<60} {}",
        "",
        lists::KINDS.map(|kind| format!("{:>13}", kind.name())).concat()
    );
    for list in lists::every_list() {
        let ratios = lists.ratios(&list).await?;
        let is_met = ratios.iter().all(|ratio| *ratio <= lists::TARGET);
        report.missed += usize::from(!is_met);
        println!(
            "    {:<60} {} target at most {}: {}",
            list.name,
            ratios
                .iter()
                .map(|ratio| format!("{ratio:>13.2}"))
                .collect::<String>(),
            lists::TARGET,
            if is_met { "met" } else { "MISSED" }
        );
    }
    println!("    {}", lists.bases());
    let after = server.resident_at_rest().await?;
    println!("    resident {before:.0} MB before, {after:.0} MB after all of them, with {count} volumes");
    drop(lists);
    drop(server);
    // The same without tables, for comparison.
    let config = format!("{CONFIG}\n[store]\nlist_memory = \"0B\"\n");
    std::fs::write(folder.path().join("bench.toml"), config)?;
    let server = Server::start(folder.path()).await?;
    let mut lists = lists::Lists::connect(&server).await?;
    for list in lists::every_list()
        .iter()
        .filter(|list| lists::WALKED.contains(&list.name.as_str()))
    {
        let ratios = lists.first_page(list).await?;
        println!(
            "    {:<60} {}  (without tables)",
            list.name,
            ratios
                .iter()
                .map(|ratio| format!("{ratio:>13.1}"))
                .collect::<String>()
        );
    }
    Ok(())
}

/// The median of `times` requests after two to warm up, in ms, and the answer's size.
async fn best_of(address: SocketAddr, ask: &[u8], times: usize) -> Result<(f64, usize)> {
    let mut client = Client::connect(address).await?;
    let mut taken = Vec::new();
    let mut size = 0;
    for index in 0..times + 2 {
        let sent = Instant::now();
        let answer = client.send(ask).await?;
        anyhow::ensure!(answer.status == 200, "a page was answered {}", answer.status);
        size = answer.body.len();
        if index >= 2 {
            taken.push(sent.elapsed().as_secs_f64() * 1000.0);
        }
    }
    taken.sort_by(f64::total_cmp);
    Ok((taken[taken.len() / 2], size))
}

async fn calls(report: &mut Report) -> Result<()> {
    let certificates = calls::Certificates::new()?;
    for (over, certificates) in [("TCP", None), ("TLS", Some(&certificates))] {
        for (name, in_flight, count) in [("one at a time", 1, 20_000), ("64 in flight", 64, 1_000_000)] {
            let (rate, size) = calls::round_trips(in_flight, count, certificates).await?;
            let bare = bare::round_trips(size, in_flight, count, certificates).await?;
            report.line(
                &format!("actor calls over {over}, {name}"),
                rate,
                "/s",
                (&format!("bare {over}, {size} bytes each way"), bare),
                match in_flight {
                    1 => Target::None,
                    _ => Target::AtLeast((bare / 2.0).round()),
                },
            );
        }
    }
    Ok(())
}

async fn copies(report: &mut Report) -> Result<()> {
    for (way, through_relay) in [("node to node", false), ("through a control node", true)] {
        let folder = tempfile::tempdir()?;
        let (rate, bare) = copies::copies(folder.path(), through_relay).await?;
        report.line(
            &format!("copy of a volume of 1 GiB, {way}"),
            rate / 1e6,
            "MB/s",
            ("dd, direct, same disk", bare / 1e6),
            Target::None,
        );
    }
    Ok(())
}

/// A control node with a thousand volume nodes of ten pools. `PUMICE_FLEET_VOLUMES` says how many volumes are made.
async fn fleet(report: &mut Report) -> Result<()> {
    const NODES: usize = 1000;
    const POOLS: usize = 10;
    let volumes: usize = std::env::var("PUMICE_FLEET_VOLUMES")
        .ok()
        .map_or(Ok(100_000), |count| count.parse())?;
    let folder = folder()?;
    let alone = Server::start(folder.path()).await?;
    let create = |server: &Server| {
        let (path, token) = (format!("/v3/{}/volumes", server.project), server.token.clone());
        move |index: usize| {
            let body = format!(r#"{{"volume": {{"size": 1, "name": "bench-{index}"}}}}"#);
            request("POST", &path, &token, &body)
        }
    };
    closed_loop(alone.address, 64, 500, 202, create(&alone)).await?;
    let of_one = closed_loop(alone.address, 64, 10_000, 202, create(&alone)).await?;
    drop(alone);

    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    authority.write(folder.path(), "control/control", &[NodeRole::Control], &[])?;
    let listen = support::server::free_address()?;
    let config = format!(
        "[node]\nhost = \"control\"\nroles = [\"control\"]\n[log]\nfilter = \"warn\"\n[quota]\nvolumes = -1\ngigabytes = -1\n{}",
        Authority::section(folder.path(), &listen.to_string(), &[])
    );
    std::fs::write(folder.path().join("bench.toml"), config)?;
    let server = Server::start(folder.path()).await?;
    let nodes = fleet::Fleet::start(&authority, NODES, POOLS, listen)?;
    let joined = fleet::all_are_up(&server, NODES).await?;
    let cpu = server.cpu_seconds()?;
    let at_rest = Instant::now();
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    let idle = (server.cpu_seconds()? - cpu) / at_rest.elapsed().as_secs_f64();
    println!(
        "    {NODES} nodes of {POOLS} pools joined in {:.1} s; at rest the control node uses {:.3} of a core and {:.0} MB",
        joined.as_secs_f64(),
        idle,
        server.resident()?
    );
    let (cpu, begun) = (server.cpu_seconds()?, Instant::now());
    let made = closed_loop(server.address, 64, volumes, 202, create(&server)).await?;
    let drained = server.drain().await?;
    let placed = volumes as f64 / begun.elapsed().as_secs_f64();
    report.line(
        &format!("volumes made on {NODES} nodes of {POOLS} pools"),
        placed,
        "/s",
        ("creates on one pool in this run", of_one.per_second),
        Target::AtLeast(1000.0),
    );
    println!(
        "    p50 {:.1} ms, p99 {:.1} ms; all were available {:.1} s after the last answer; {:.2} ms of CPU for each, {:.0} MB",
        made.p50.as_secs_f64() * 1e3,
        made.p99.as_secs_f64() * 1e3,
        drained.as_secs_f64(),
        (server.cpu_seconds()? - cpu) * 1e3 / volumes as f64,
        server.resident()?
    );
    report.line(
        "nodes that are up after it",
        fleet::up(&server).await? as f64,
        "",
        ("nodes", NODES as f64),
        Target::AtLeast(NODES as f64),
    );
    drop(nodes);
    Ok(())
}

/// Creates through some control nodes on an etcd of one member, for one project and for many.
async fn control_nodes(report: &mut Report, count: usize) -> Result<()> {
    const PROJECTS: usize = 16;
    const VOLUMES: usize = 6_000;
    let etcd = cluster::Cluster::start(1);
    let limit = etcd::conditional_puts(&etcd, 6_400).await?;
    let bound = ("etcd, conditional puts of 32 clients", limit);
    let folder = tempfile::tempdir()?;
    let nodes = ControlNodes::start(count, folder.path(), &etcd.endpoints()).await?;
    let tenants = nodes.tenants(PROJECTS).await?;
    nodes.create(&tenants, 500).await?;
    let many = nodes.create(&tenants, VOLUMES).await?;
    let hot = nodes.create(&tenants[..1], VOLUMES).await?;
    for (load, of, target) in [
        (&many, PROJECTS, Target::AtLeast((0.3 * limit).round())),
        (&hot, 1, Target::AtLeast((0.5 * many.per_second).round())),
    ] {
        report.line(
            &format!("creates by {count} control node(s), {of} project(s)"),
            load.per_second,
            "/s",
            bound,
            target,
        );
        println!(
            "    p50 {:.1} ms, p99 {:.1} ms",
            load.p50.as_secs_f64() * 1e3,
            load.p99.as_secs_f64() * 1e3
        );
    }
    Ok(())
}

/// Choices of the scheduler among 1,000 and 10,000 pools.
fn decisions(report: &mut Report) -> Result<()> {
    const TIMES: usize = 2_000;
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    for backends in [100, 1_000] {
        let pools = backends * 10;
        let bound = decisions::search_of_an_array(pools, TIMES);
        for what in [
            decisions::Asked::Any,
            decisions::Asked::Zone,
            decisions::Asked::Type,
        ] {
            let taken = decisions::choose((backends, 10), TIMES, what)?;
            report.line(
                &format!("choice among {pools} pools, {}, p99", what.name()),
                micros(taken.p99),
                "us",
                ("array of free space, p99", micros(bound.p99)),
                match pools {
                    1_000 => Target::AtMost(200.0),
                    _ => Target::None,
                },
            );
            println!(
                "    p50 {:.1} us; of the array {:.1} us",
                micros(taken.p50),
                micros(bound.p50)
            );
        }
    }
    Ok(())
}

/// The store on an etcd of one member on this disk.
async fn on_etcd(report: &mut Report) -> Result<()> {
    let cluster = cluster::Cluster::start(1);
    let folder = folder()?;
    let limit = etcd::conditional_puts(&cluster, 6_400).await?;
    let bound = ("etcd, conditional puts of 32 clients", limit);
    for at_once in [1, 64] {
        let rate = etcd::commits(&cluster, at_once, if at_once == 1 { 500 } else { 9_600 }).await?;
        report.line(
            &format!("commits on etcd, {at_once} at once"),
            rate,
            "/s",
            bound,
            Target::None,
        );
    }
    let config = format!(
        "{CONFIG}\n[store]\nengine = \"etcd\"\netcd_endpoints = {:?}\n",
        cluster.endpoints()
    );
    std::fs::write(folder.path().join("bench.toml"), config)?;
    let server = Server::start(folder.path()).await?;
    let path = format!("/v3/{}/volumes", server.project);
    let create = |index: usize| {
        let body = format!(r#"{{"volume": {{"size": 1, "name": "bench-{index}"}}}}"#);
        request("POST", &path, &server.token, &body)
    };
    closed_loop(server.address, 64, 500, 202, create).await?;
    let made = closed_loop(server.address, 64, 4_500, 202, create).await?;
    server.drain().await?;
    report.line(
        "creates on etcd, one project, 64 clients",
        made.per_second,
        "/s",
        bound,
        Target::AtLeast((0.3 * limit).round()),
    );
    println!(
        "    p50 {:.1} ms, p99 {:.1} ms",
        made.p50.as_secs_f64() * 1e3,
        made.p99.as_secs_f64() * 1e3
    );
    let ids = list_ids(&server).await?;
    let show = |index: usize| {
        let path = format!("/v3/{}/volumes/{}", server.project, ids[index % ids.len()]);
        request("GET", &path, &server.token, "")
    };
    closed_loop(server.address, 32, 2_000, 200, show).await?;
    let shown = closed_loop(server.address, 32, 30_000, 200, show).await?;
    report.line(
        "shows on etcd, 32 clients",
        shown.per_second,
        "/s",
        ("none", 0.0),
        Target::None,
    );
    drop(server);
    let view = etcd::view(&cluster, folder.path(), 100_000).await?;
    println!(
        "    a view of 100,000 volumes is loaded in {:.1} s and takes {:.0} bytes for each",
        view.loaded_in.as_secs_f64(),
        view.per_volume
    );
    report.line(
        "get by key, view",
        view.get[0],
        "ns",
        ("sled", view.get[1]),
        Target::None,
    );
    report.line(
        "page of 1,000, view",
        view.scan[0] / 1e3,
        "us",
        ("sled", view.scan[1] / 1e3),
        Target::None,
    );
    Ok(())
}
