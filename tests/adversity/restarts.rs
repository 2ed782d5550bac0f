//! Stops in order while clients work: what is under way is answered, what comes too late is not begun, and all that was accepted
//! is there after the start.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::load::{self, Load};
use crate::process::{Place, Pumice};

const RESTARTS: usize = 6;

/// `cli::serve` gives itself nine seconds.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn stops_under_load_lose_nothing_and_begin_nothing_in_secret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::plain(folder.path());
    let mut pumice = Pumice::start(&place)?;
    let load = Load::start(16, pumice.address);
    let mut longest = Duration::ZERO;
    for restart in 0..RESTARTS {
        let before = load.answers().count(202);
        // Never in the same phase of what goes on.
        load.until("the clients to get to work", |answers| {
            answers.count(202) > before + 20 + 7 * restart
        })?;
        let began = Instant::now();
        pumice.terminate()?;
        let status = pumice.ends_within(LIMIT)?;
        longest = longest.max(began.elapsed());
        ensure!(status.success(), "it ended with {status}: {}", place.log()?);
        place.must_agree()?;
        pumice = Pumice::start(&place)?;
        load.move_to(pumice.address);
    }
    let answers = load.end()?;
    load::wait_for_rest(&pumice)?;
    let unknown_volumes = load::compare(&pumice, &answers)?;
    ensure!(
        unknown_volumes.is_empty(),
        "{} volumes were made for requests that were not answered: {unknown_volumes:?}",
        unknown_volumes.len()
    );
    let others: Vec<_> = answers
        .statuses
        .keys()
        .filter(|status| ![202, 400, 404, 503].contains(status))
        .collect();
    ensure!(others.is_empty(), "{:?}", answers.statuses);
    let log = place.log()?;
    ensure!(
        !log.contains("panicked") && !log.contains("leaving anyway"),
        "{log}"
    );
    pumice.stop()?;
    place.must_agree()?;
    println!(
        "{RESTARTS} restarts, the longest stop {longest:?}; answers {:?}, hung up before one {}",
        answers.statuses,
        answers.unanswered.len()
    );
    Ok(())
}
