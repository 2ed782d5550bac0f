//! Two control nodes and a volume node that only one of them reaches: what is asked of the other is done all the same.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::client::Client;
use super::cluster::Cluster;
use super::control_nodes::{Node, authority, is_available, volume, wait};
use super::proxy::Proxy;
use super::service::{at_rest, create, on_etcd};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_control_node_that_is_cut_off_from_a_volume_node_hands_its_operations_to_one_that_is_not() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let cluster = Cluster::start(1);
    let root = tempfile::tempdir()?;
    authority(root.path(), &["init", "--cluster", "test"])?;
    let control = format!("roles = [\"control\"]\n{}", on_etcd(&cluster));
    let mut first =
        Node::new(root.path(), "c1", &[], &control)?.certified(root.path(), &["--role", "control"])?;
    let mut second = Node::new(root.path(), "c2", &[first.transport], &control)?
        .certified(root.path(), &["--role", "control"])?;
    let link = runtime.block_on(Proxy::to(first.transport));
    let to_first = link.endpoint.trim_start_matches("http://").parse()?;
    let volumes = "roles = [\"volume\"]\n[backend.file]\ndriver = \"file\"\ntarget = \"fake\"";
    let backend = Node::new(root.path(), "v1", &[to_first, second.transport], volumes)?
        .certified(root.path(), &["--role", "volume", "--backend", "file"])?;
    let _backend = backend.serve_volumes()?;
    let (at, other) = (first.serve()?, second.serve()?);
    let mut made = Vec::new();
    for name in ["attached", "grown", "deleted"] {
        made.push(create(at, name)?);
    }
    for id in &made {
        wait("a volume", LIMIT, || {
            is_available(at, id) && is_available(other, id)
        })?;
    }

    let is_connected = |to: SocketAddr| -> Result<bool> {
        let seen = Client::connect(to)?
            .send_raw("GET", "/inspect/actors", "")?
            .json()?;
        let peers = seen["peers"].as_array().context("no peers")?;
        Ok(peers
            .iter()
            .any(|peer| peer["node"] == "v1/volume" && peer["state"] == "connected"))
    };
    wait("the connection to the other", LIMIT, || {
        is_connected(other).unwrap_or_default()
    })?;
    link.cut();
    wait("the end of the connection", LIMIT, || {
        is_connected(at).is_ok_and(|is_connected| !is_connected)
    })?;
    let [attached, grown, deleted] = &made[..] else {
        anyhow::bail!("three volumes were made");
    };
    let placed = create(at, "placed by the other")?;
    let mut client = Client::connect(at)?;
    let grow = client.send(
        "POST",
        &format!("/volumes/{grown}/action"),
        r#"{"os-extend": {"new_size": 2}}"#,
    )?;
    ensure!(grow.status == 202, "{} {}", grow.status, grow.text());
    let delete = client.send("DELETE", &format!("/volumes/{deleted}"), "")?;
    ensure!(delete.status == 202, "{} {}", delete.status, delete.text());
    // A client that waits gets its answer, though the report comes to the other node.
    let body = format!(
        r#"{{"attachment": {{"volume_uuid": "{attached}", "connector": {{"initiator": "iqn.2026-12.test:a", "host": "a"}}}}}}"#
    );
    let attach = client.send("POST", "/attachments", &body)?;
    ensure!(attach.status == 200, "{} {}", attach.status, attach.text());
    let attach = attach.json()?;
    ensure!(
        attach["attachment"]["connection_info"]["driver_volume_type"].is_string(),
        "{attach}"
    );
    wait("the volume to be grown", LIMIT, || {
        volume(at, grown).is_ok_and(|volume| volume["status"] == "available" && volume["size"] == 2)
    })?;
    wait("the volume to be gone", LIMIT, || {
        volume(at, deleted).is_ok_and(|volume| volume.is_null())
    })?;
    wait("the volume to be placed", LIMIT, || is_available(at, &placed))?;
    ensure!(at_rest(at)?.len() == 3);
    let log = std::fs::read_to_string(first.path("log"))?;
    ensure!(log.contains("an operation was handed over"), "{log}");
    Ok(())
}
