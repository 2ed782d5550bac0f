//! A disk whose file system turned read-only under the program, as ext4 does when its journal fails. What became of the last
//! write is not to be known then, so the program stops, says why, and finds out when it is started again.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::disk::{Disk, leave_out};
use crate::load::{self, Load};
use crate::process::Pumice;

/// `EX_IOERR`, see `cli::serve`.
const STORE_FAILED: i32 = 74;

#[test]
fn a_disk_that_turned_read_only_stops_it_and_nothing_is_lost() -> Result<()> {
    let disk = match Disk::with_journal(64) {
        Ok(disk) => disk,
        Err(error) => return leave_out("a disk that turned read-only", &error),
    };
    let place = disk.place();
    let mut pumice = Pumice::start(&place)?;
    let load = Load::start(4, pumice.address);
    load.until("the clients to get to work", |answers| answers.count(202) > 40)?;
    disk.break_down()?;
    let status = pumice.ends_within(Duration::from_secs(10))?;
    ensure!(
        status.code() == Some(STORE_FAILED),
        "it ended with {status}: {}",
        place.log()?
    );
    let log = place.log()?;
    ensure!(
        log.contains("the store failed and accepts no more commits"),
        "{log}"
    );
    ensure!(log.contains("Read-only file system"), "{log}");
    ensure!(log.contains("see to the disk, then start again"), "{log}");

    let said = Pumice::must_refuse(&place)?;
    ensure!(said.contains("Read-only file system"), "{said}");

    disk.mend()?;
    let pumice = Pumice::start(&place)?;
    load.move_to(pumice.address);
    let before = load.answers().count(202);
    load.until("the service to go on", |answers| answers.count(202) > before + 20)?;
    let answers = load.end()?;
    load::wait_for_rest(&pumice)?;
    let unknown_volumes = load::compare(&pumice, &answers)?;
    // A commit that failed while it was made durable may be there: its client received 500, or no answer.
    let unknown = answers.count(500) + answers.unanswered.len();
    ensure!(
        unknown_volumes.len() <= unknown,
        "{} volumes for {unknown} requests: {unknown_volumes:?}",
        unknown_volumes.len()
    );
    pumice.stop()?;
    place.must_agree()?;
    println!(
        "answers by status: {:?}, without one: {}",
        answers.statuses,
        answers.unanswered.len()
    );
    Ok(())
}
