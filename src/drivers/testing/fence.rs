//! Every verb of a driver loses the lock of its storage right before each of its changes: it must fail as superseded,
//! and change nothing more. The storage is a fake that records changes itself, so a change without a check is detected.
//!
//! Unit tests and those in `tests/` share this file. The including module must have the names of `super` in scope.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{DriverError, DriverResult, Ownership, Place, Work};

/// A lock that can be lost.
pub struct Lock {
    folder: tempfile::TempDir,
    ownership: Ownership,
}

impl Lock {
    /// One that was taken.
    pub fn taken() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ownership = Ownership::of(vec![Place::folder(folder.path())]);
        ownership.take().unwrap();
        Self { folder, ownership }
    }

    /// The file whose removal loses it.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(".pumice.lock")
    }

    /// Work on the protected storage.
    pub fn work(&self) -> Work {
        Work::within(Duration::from_secs(60)).on(&self.ownership)
    }
}

/// A driver over a fake storage that records changes.
pub trait Scene {
    /// Work on this storage.
    fn work(&self) -> Work;

    /// The file of the lock that is to be lost.
    fn lock(&self) -> PathBuf;

    /// Begins to record; removes `lock` after so many changes.
    fn record(&self, changes: usize, lock: &Path);

    /// The changes and attempted changes since.
    fn changes(&self) -> Vec<String>;

    /// Fails if unrecorded changes were made after the loss.
    fn assert_untouched(&self) {}
}

/// The effect of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes the storage.
    Changes,
    /// It only reads.
    Reads,
}

/// A verb with its arguments. There may be several entries for one verb.
pub type Verb<S> = (&'static str, Effect, fn(&S, &Work) -> DriverResult<()>);

/// The functions that get a `Work` in the item of a source file that begins with these words.
pub fn verbs_of<'a>(source: &'a str, item: &str) -> BTreeSet<&'a str> {
    let (_, from) = source
        .split_once(&format!("\n{item} {{\n"))
        .expect("the item is there");
    let (body, _) = from.split_once("\n}\n").expect("it ends");
    let functions = body.split("fn ").skip(1).filter_map(|function| {
        let (name, rest) = function.split_once('(')?;
        let (arguments, _) = rest.split_once(')')?;
        arguments.contains("work: &Work").then_some(name)
    });
    functions.collect()
}

/// Runs each verb in new scenes, once undisturbed and once for each of its changes. `required` are the verbs that must
/// be listed.
pub fn all_are_fenced<S: Scene>(required: &BTreeSet<&str>, verbs: &[Verb<S>], scene: impl Fn() -> S) {
    let listed: BTreeSet<&str> = verbs.iter().map(|(name, ..)| *name).collect();
    assert_eq!(&listed, required, "each verb has an entry");
    for (index, (name, effect, verb)) in verbs.iter().enumerate() {
        let name = format!("{name} (entry {index})");
        let undisturbed = scene();
        undisturbed.record(usize::MAX, &undisturbed.lock());
        verb(&undisturbed, &undisturbed.work()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let all = undisturbed.changes();
        assert_eq!(all.is_empty(), *effect == Effect::Reads, "{name}: {all:#?}");
        for made in 0..all.len() {
            let scene = scene();
            let lock = scene.lock();
            scene.record(made, &lock);
            if made == 0 {
                std::fs::remove_file(&lock).unwrap();
            }
            let answer = verb(&scene, &scene.work());
            let changes = scene.changes();
            assert_eq!(
                changes.len(),
                made,
                "{name}: the lock was lost after {made} changes, and it went on ({answer:?}): {changes:#?}"
            );
            assert!(!lock.exists(), "{name}: the lock was not lost: {changes:#?}");
            assert!(
                matches!(answer, Err(DriverError::Superseded { .. })),
                "{name}: the lock was lost before the last of {:#?}: {answer:?}",
                &all[..=made]
            );
            scene.assert_untouched();
        }
    }
}
