//! A data folder that was deleted or moved, while the program runs or before it starts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::client::Client;
use crate::load::{self, Load};
use crate::process::{Place, Pumice};

/// `EX_IOERR`, see `cli::serve`.
const STORE_FAILED: i32 = 74;

#[test]
fn a_data_folder_that_is_deleted_stops_it_and_all_comes_back_from_its_last_export() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::plain(folder.path());
    let mut pumice = Pumice::start(&place)?;
    let load = Load::start(4, pumice.address);
    load.until("the clients to get to work", |answers| answers.count(202) > 40)?;
    std::fs::remove_dir_all(place.data.join("store"))?;
    let status = pumice.ends_within(Duration::from_secs(10))?;
    let answers = load.end()?;
    let log = place.log()?;
    ensure!(
        status.code() == Some(STORE_FAILED),
        "it ended with {status}: {log}"
    );
    ensure!(log.contains("were deleted while it was open"), "{log}");

    let said = Pumice::must_refuse(&place)?;
    ensure!(
        said.contains("is gone") && said.contains("pumice store restore"),
        "{said}"
    );
    ensure!(!place.data.join("store").exists(), "an empty store was made");
    place.succeeds(&["store", "restore"])?;
    let pumice = Pumice::start(&place)?;
    load::wait_for_rest(&pumice)?;
    load::compare(&pumice, &answers)?;
    pumice.stop()?;
    place.must_agree()
}

#[test]
fn all_of_a_data_folder_may_go_if_an_export_was_kept_elsewhere() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::plain(folder.path());
    let mut pumice = Pumice::start(&place)?;
    ensure!(Client::connect(pumice.address)?.create("kept")?.status == 202);
    load::wait_for_rest(&pumice)?;
    // It is noticed without any request.
    std::fs::rename(&place.data, folder.path().join("aside"))?;
    let status = pumice.ends_within(Duration::from_secs(10))?;
    ensure!(status.code() == Some(STORE_FAILED), "it ended with {status}");
    ensure!(place.log()?.contains("were moved away while it was open"));
    std::fs::remove_dir_all(&place.data)?;
    std::fs::rename(folder.path().join("aside"), &place.data)?;
    Pumice::start(&place)?.stop()?;

    let exports = std::fs::read_dir(place.data.join("exports"))?;
    let newest = exports
        .flatten()
        .map(|entry| entry.path())
        .max()
        .context("no export")?;
    let kept = folder.path().join("kept.export");
    std::fs::copy(newest, &kept)?;
    let volumes = folder.path().join("volumes");
    std::fs::rename(place.data.join("volumes"), &volumes)?;
    std::fs::remove_dir_all(&place.data)?;
    place.succeeds(&["store", "restore", kept.to_str().context("a path")?])?;
    std::fs::rename(&volumes, place.data.join("volumes"))?;
    let pumice = Pumice::start(&place)?;
    load::wait_for_rest(&pumice)?;
    let there = load::volumes(&mut Client::connect(pumice.address)?)?;
    ensure!(
        there
            .values()
            .all(|volume| volume["name"] == "kept" && volume["status"] == "available"),
        "{there:?}"
    );
    ensure!(there.len() == 1);
    load::must_sum_up(&mut Client::connect(pumice.address)?, &there)?;
    pumice.stop()
}

#[test]
fn an_emptied_store_folder_is_no_store() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::plain(folder.path());
    Pumice::start(&place)?.stop()?;
    let store = place.data.join("store");
    std::fs::remove_dir_all(&store)?;
    std::fs::create_dir(&store)?;
    let said = Pumice::must_refuse(&place)?;
    ensure!(
        said.contains("is gone") && said.contains("pumice store restore"),
        "{said}"
    );
    let fsck = place.run(&["fsck"])?;
    ensure!(String::from_utf8(fsck.stderr)?.contains("there is no store"));
    ensure!(
        std::fs::read_dir(&store)?.next().is_none(),
        "a store was begun in it"
    );
    place.succeeds(&["store", "restore", "--replace"])?;
    Pumice::start(&place)?.stop()
}
