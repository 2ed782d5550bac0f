//! The way back when the store is gone or ruined: what `pumice serve` leaves, and `pumice store` makes of it.

#![expect(clippy::disallowed_types, reason = "the program under test is what is run")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::BACKENDS;
use crate::client::Client;
use crate::process::Pumice;

fn pumice(folder: &Path, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pumice"));
    command.args(words);
    if !words.contains(&"verify") {
        command.arg("--config").arg(folder.join("pumice.toml"));
    }
    Ok(command
        .env("PUMICE_NODE__DATA_DIR", folder.join("data"))
        .output()?)
}

fn succeeds(folder: &Path, words: &[&str]) -> Result<String> {
    let output = pumice(folder, words)?;
    let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{words:?}: {said}");
    Ok(said)
}

fn fails(folder: &Path, words: &[&str]) -> Result<String> {
    let output = pumice(folder, words)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(1),
        "{words:?}: {:?} {said}",
        output.status
    );
    Ok(said)
}

fn exports(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("data/exports"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

fn names(pumice: &Pumice) -> Result<Vec<String>> {
    let answer = Client::connect(pumice.address)?
        .send("GET", "/volumes", "")?
        .json()?;
    let volumes = answer["volumes"].as_array().context("no volumes")?;
    Ok(volumes
        .iter()
        .filter_map(|volume| Some(volume["name"].as_str()?.to_owned()))
        .collect())
}

fn make(pumice: &Pumice, name: &str) -> Result<()> {
    let body = format!(r#"{{"volume": {{"size": 1, "name": "{name}"}}}}"#);
    let answer = Client::connect(pumice.address)?.send("POST", "/volumes", &body)?;
    ensure!(answer.status == 202, "{}", answer.status);
    Ok(())
}

#[test]
fn a_store_that_is_gone_or_ruined_comes_back_from_its_last_export() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let pumice = Pumice::start(folder)?;
    make(&pumice, "kept")?;
    let said = fails(folder, &["store", "export"])?;
    ensure!(
        said.contains("in use") && said.contains("exports by itself"),
        "{said}"
    );
    pumice.stop()?;
    let newest = exports(folder)?.pop().context("no export at the stop")?;
    let newest = newest.to_str().context("a path")?;
    ensure!(succeeds(folder, &["store", "verify", newest])?.contains("whole"));
    ensure!(succeeds(folder, &["fsck"])? == "all agrees\n");

    // Gone.
    let store = folder.join("data/store");
    std::fs::remove_dir_all(&store)?;
    let error = Pumice::start(folder)
        .err()
        .context("it began with nothing")?
        .to_string();
    ensure!(
        error.contains("pumice store restore") && error.contains(newest),
        "{error}"
    );
    ensure!(!store.exists(), "an empty store was made");
    succeeds(folder, &["store", "restore"])?;
    let said = fails(folder, &["store", "restore"])?;
    ensure!(said.contains("--replace"), "{said}");
    let pumice = Pumice::start(folder)?;
    ensure!(names(&pumice)? == ["kept"]);
    pumice.stop()?;

    // Ruined.
    let log = store.join("db");
    let bytes = std::fs::read(&log)?;
    std::fs::write(&log, vec![0x5a; bytes.len()])?;
    let error = Pumice::start(folder)
        .err()
        .context("it served from ruins")?
        .to_string();
    ensure!(
        error.contains("damaged") && error.contains("pumice store restore --replace"),
        "{error}"
    );
    succeeds(folder, &["store", "restore", "--replace"])?;
    let aside = std::fs::read_dir(folder.join("data"))?.flatten();
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().starts_with("store.replaced-"));
    ensure!(aside.count() == 1, "the ruins are kept");
    let pumice = Pumice::start(folder)?;
    ensure!(names(&pumice)? == ["kept"]);
    make(&pumice, "new")?;
    pumice.stop()?;

    // By hand, to another place.
    let elsewhere = folder.join("elsewhere");
    let elsewhere = elsewhere.to_str().context("a path")?;
    succeeds(folder, &["store", "export", elsewhere])?;
    succeeds(folder, &["store", "restore", "--replace", elsewhere])?;
    ensure!(succeeds(folder, &["fsck", "--export", "newest"])? == "all agrees\n");
    ensure!(succeeds(folder, &["fsck", "--repair", "--json"])? == "[]\n");
    let pumice = Pumice::start(folder)?;
    let mut found = names(&pumice)?;
    found.sort();
    ensure!(found == ["kept", "new"], "{found:?}");
    pumice.stop()
}

/// Waits until all volumes are made.
fn until_made(pumice: &Pumice) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let mut client = Client::connect(pumice.address)?;
        let answer = client.send("GET", "/volumes/detail", "")?.json()?;
        let volumes = answer["volumes"].as_array().context("no volumes")?;
        if volumes.iter().all(|volume| volume["status"] == "available") {
            return Ok(());
        }
        ensure!(Instant::now() < limit, "not made: {answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn records_and_storage_are_held_against_each_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let pumice = Pumice::start(folder)?;
    for name in ["grown", "moved"] {
        make(&pumice, name)?;
    }
    until_made(&pumice)?;
    pumice.stop()?;
    ensure!(succeeds(folder, &["fsck"])? == "all agrees\n");

    let mut files: Vec<PathBuf> = Vec::new();
    for backend in BACKENDS {
        for entry in std::fs::read_dir(folder.join("data/volumes").join(backend))? {
            files.push(entry?.path());
        }
    }
    files.retain(|file| file.to_string_lossy().contains("volume-"));
    let [grown, moved] = files.as_slice() else {
        anyhow::bail!("{files:?}")
    };
    std::fs::OpenOptions::new()
        .write(true)
        .open(grown)?
        .set_len(3 << 30)?;
    let stranger = moved.with_file_name("volume-01234567-89ab-4def-8123-456789abcdef");
    std::fs::rename(moved, &stranger)?;
    let output = pumice_says(folder, &["fsck", "--json"])?;
    let rows: serde_json::Value = serde_json::from_str(&output)?;
    let mut kinds: Vec<&str> = rows
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|row| row["finding"].as_str())
        .collect();
    kinds.sort_unstable();
    ensure!(
        kinds == ["missing_storage", "orphan_storage", "wrong_size"],
        "{output}"
    );
    ensure!(succeeds(folder, &["fsck", "--records-only"])? == "all agrees\n");

    // A storage that is not there at all is no storage that has nothing.
    let volumes = grown.parent().context("a folder")?;
    std::fs::rename(volumes, folder.join("aside"))?;
    let output = pumice_says(folder, &["fsck"])?;
    ensure!(output.contains("cannot be examined"), "{output}");
    Ok(())
}

/// What it prints when it finds something.
fn pumice_says(folder: &Path, words: &[&str]) -> Result<String> {
    let output = pumice(folder, words)?;
    ensure!(output.status.code() == Some(1), "{:?}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
