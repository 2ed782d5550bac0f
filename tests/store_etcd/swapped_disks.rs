//! Two volume nodes that are started on each other's disk: both notice, and neither touches what is there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::child::Child;
use super::cluster::Cluster;
use super::control_nodes::{Node, authority, is_available, volume, wait};
use super::service::{create, on_etcd};

const LIMIT: Duration = Duration::from_secs(20);
const REFUSED: &str = "is it that of another backend?";

fn swap(one: &Path, other: &Path) -> Result<()> {
    let aside = one.with_extension("aside");
    std::fs::rename(one, &aside)?;
    std::fs::rename(other, one)?;
    Ok(std::fs::rename(aside, other)?)
}

/// The names of the volumes' files.
fn files(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Makes volumes until both nodes have one.
fn fill(at: SocketAddr) -> Result<Vec<String>> {
    let (mut made, mut hosts) = (Vec::new(), BTreeSet::new());
    let begun = Instant::now();
    while hosts.len() < 2 {
        ensure!(begun.elapsed() < LIMIT, "all volumes are on {hosts:?}");
        let id = create(at, "one")?;
        wait("a volume", LIMIT, || is_available(at, &id))?;
        hosts.insert(volume(at, &id)?["os-vol-host-attr:host"].to_string());
        made.push(id);
    }
    Ok(made)
}

#[test]
fn nodes_on_each_others_disk_are_down_and_delete_nothing() -> Result<()> {
    let cluster = Cluster::start(1);
    let root = tempfile::tempdir()?;
    authority(root.path(), &["init", "--cluster", "test"])?;
    let control = format!("roles = [\"control\"]\n{}", on_etcd(&cluster));
    let mut control =
        Node::new(root.path(), "c1", &[], &control)?.certified(root.path(), &["--role", "control"])?;
    let volumes =
        "roles = [\"volume\"]\n[backend.file]\ndriver = \"file\"\ntarget = \"fake\"\ndelete_orphans = true";
    let mut nodes = Vec::new();
    for name in ["v1", "v2"] {
        let node = Node::new(root.path(), name, &[control.transport], volumes)?
            .certified(root.path(), &["--role", "volume", "--backend", "file"])?;
        nodes.push(node);
    }
    let at = control.serve()?;
    let children: Vec<Child> = nodes.iter().map(Node::serve_volumes).collect::<Result<_>>()?;
    let made = fill(at)?;
    for child in children {
        child.stop()?;
    }
    let folders: Vec<_> = nodes.iter().map(|node| node.path("data/volumes/file")).collect();
    let before = [files(&folders[0])?, files(&folders[1])?];
    ensure!(before.iter().all(|files| !files.is_empty()), "{before:?}");

    swap(&folders[0], &folders[1])?;
    let children: Vec<Child> = nodes.iter().map(Node::serve_volumes).collect::<Result<_>>()?;
    for node in &nodes {
        wait("the refusal", LIMIT, || {
            std::fs::read_to_string(node.path("log")).is_ok_and(|log| log.contains(REFUSED))
        })?;
    }
    for child in children {
        child.stop()?;
    }
    ensure!([files(&folders[1])?, files(&folders[0])?] == before);
    for id in &made {
        ensure!(is_available(at, id), "{}", volume(at, id)?);
    }

    swap(&folders[0], &folders[1])?;
    let _children: Vec<Child> = nodes.iter().map(Node::serve_volumes).collect::<Result<_>>()?;
    // Both serve again.
    fill(at)?;
    Ok(())
}
