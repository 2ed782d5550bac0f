//! A disk without a free byte: the service is read-only while it is, says so once, loses nothing, and goes on by itself.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::disk::{Disk, leave_out};
use crate::load::{self, Load};
use crate::process::{Place, Pumice};

const MIB: u32 = 32;

#[test]
fn a_full_disk_makes_it_read_only_until_there_is_room() -> Result<()> {
    let disk = match Disk::in_memory(MIB) {
        Ok(disk) => disk,
        Err(error) => return leave_out("a full disk", &error),
    };
    let place = disk.place();
    let mut pumice = Pumice::start(&place)?;
    let load = Load::start(4, pumice.address);
    load.until("the clients to get to work", |answers| answers.count(202) > 40)?;
    disk.fill()?;
    load.until("a refusal", |answers| answers.count(503) > 200)?;
    is_read_only(&pumice)?;
    disk.empty()?;
    let before = load.answers().count(202);
    load.until("the service to go on", |answers| answers.count(202) > before + 20)?;
    ensure!(pumice.healthcheck()? == (200, "OK".to_owned()));

    // Killed with the disk full, looked at and started with the disk full.
    disk.fill()?;
    let before = load.answers().count(503);
    load.until("a refusal again", |answers| answers.count(503) > before + 20)?;
    let answers = load.end()?;
    pumice.kill()?;
    place.must_agree()?;
    pumice = Pumice::start(&place)?;
    is_read_only(&pumice)?;
    ensure!(load::volumes(&mut Client::connect(pumice.address)?)?.len() > 40);

    disk.empty()?;
    load::wait_for("room", || Ok(pumice.healthcheck()?.1 == "OK"))?;
    load::wait_for_rest(&pumice)?;
    load::compare(&pumice, &answers)?;
    disk.fill()?;
    load::wait_for("no room", || Ok(pumice.healthcheck()?.1 != "OK"))?;
    pumice.stop()?;
    place.must_agree()?;
    disk.empty()?;

    for (message, count) in &answers.refusals {
        ensure!(message.contains("disk is full"), "{count} times {message}");
    }
    let others: Vec<_> = answers
        .statuses
        .keys()
        .filter(|status| ![202, 400, 404, 503].contains(status))
        .collect();
    ensure!(others.is_empty(), "{:?}", answers.statuses);
    tells_once(&place)?;
    println!("answers by status: {:?}", answers.statuses);
    Ok(())
}

/// Reads are answered, changes refused, and the health check says why.
fn is_read_only(pumice: &Pumice) -> Result<()> {
    load::wait_for("the health check to tell", || {
        let (status, said) = pumice.healthcheck()?;
        ensure!(status == 200, "{status} {said}");
        Ok(said.starts_with("read-only: the disk of "))
    })?;
    let mut client = Client::connect(pumice.address)?;
    for path in [
        "/volumes",
        "/volumes/detail",
        "/snapshots",
        "/types",
        "/limits",
        "/os-services",
    ] {
        let answer = client.send("GET", path, "")?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let changes = [
        ("POST", "/volumes", r#"{"volume": {"size": 1}}"#),
        ("POST", "/types", r#"{"volume_type": {"name": "late"}}"#),
        (
            "PUT",
            &format!("/os-quota-sets/{}", crate::client::PROJECT),
            r#"{"quota_set": {"backups": 3}}"#,
        ),
    ];
    for (method, path, body) in changes {
        let answer = client.send(method, path, body)?;
        let said = answer.must_be_unavailable()?;
        ensure!(said.contains("disk is full"), "{method} {path}: {said}");
        ensure!(answer.retry_after.is_some_and(|seconds| seconds >= 10));
    }
    Ok(())
}

/// Each time that the disk was full is logged once, and not with every request.
fn tells_once(place: &Place) -> Result<()> {
    let log = place.log()?;
    ensure!(!log.contains("panic"), "{log}");
    let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    // Filled three times, and once more found full at the start.
    ensure!(count("accepts no commits until there is space") == 4, "{log}");
    ensure!(count("there is space again") == 2, "{log}");
    let complaints: Vec<_> = log
        .lines()
        .filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""))
        .collect();
    ensure!(
        complaints.len() < 60,
        "{} complaints: {:#?}",
        complaints.len(),
        &complaints[..60]
    );
    Ok(())
}

#[test]
fn what_waits_while_the_disk_is_full_ends_when_there_is_room() -> Result<()> {
    let disk = match Disk::in_memory(MIB) {
        Ok(disk) => disk,
        Err(error) => return leave_out("open operations on a full disk", &error),
    };
    let pumice = Pumice::start(&disk.place())?;
    let load = Load::start(8, pumice.address);
    load.until("the clients to get to work", |answers| answers.count(202) > 60)?;
    disk.fill()?;
    load.until("a refusal", |answers| answers.count(503) > 20)?;
    let answers = load.end()?;
    // Longer than it is patient: commands are sent again meanwhile.
    std::thread::sleep(Duration::from_secs(2));
    disk.empty()?;
    load::wait_for_rest(&pumice)?;
    load::compare(&pumice, &answers)?;
    pumice.stop()?;
    disk.place().must_agree()
}
