//! Shrinks a thick volume with snapshots, which LVM does not support: its snapshots are split, the volume is shrunk,
//! and they are joined again. Their data remains valid, because the volume is inactive meanwhile and cannot be written.
//!
//! A snapshot has tags from before it is split until after it was joined: by them the next verb finds the snapshots of
//! the volume, and continues.

use super::error_kind::ErrorKind;
use super::report::{Kind, Lv, Report, State};
use super::{LvmDriver, failed};
use crate::drivers::{DriverError, DriverResult, Work};

/// The prefix of the tag, followed by the volume's name, the new size and the chunk size of the snapshot.
const TAG: &str = "pumice.split";

/// A step of a shrink.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Split the snapshot.
    Split(String),
    /// Shrink the volume.
    Reduce,
    /// Join the snapshot.
    Join(String, u64),
    /// Remove the tags of the snapshot.
    Untag(String),
}

/// A snapshot with the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tagged {
    name: String,
    tag: String,
    /// Whether it is a snapshot now.
    joined: bool,
    /// The new size of the volume.
    bytes: u64,
    chunk: u64,
}

/// A possible shrink: the snapshots, and whether they already have their tags.
pub(super) struct Cut(Vec<(Tagged, bool)>);

/// The tag of a snapshot that is split to shrink this volume to that size.
fn tag(volume: &str, bytes: u64, chunk: u64) -> String {
    format!("{TAG}={volume}={bytes}={chunk}")
}

/// A second tag, by which LVM selects them: it compares complete tags only.
fn of_tag(volume: &str) -> String {
    format!("{TAG}-of.{volume}")
}

/// The selection that finds such snapshots.
pub(super) fn selection(volume: &str) -> String {
    format!("lv_tags={{\"{}\"}}", of_tag(volume))
}

/// Whether it was split from its volume, or is about to be.
pub(super) fn is_split(lv: &Lv) -> bool {
    lv.tags.iter().any(|tag| tag.starts_with(TAG))
}

fn tagged(report: &Report, volume: &str) -> Vec<Tagged> {
    let of_ours = |lv: &Lv| {
        lv.tags.iter().find_map(|tag| {
            let rest = tag.strip_prefix(TAG)?.strip_prefix('=')?.strip_prefix(volume)?;
            let (bytes, chunk) = rest.strip_prefix('=')?.split_once('=')?;
            Some(Tagged {
                name: lv.name.clone(),
                tag: tag.clone(),
                joined: lv.kind == Kind::Cow,
                bytes: bytes.parse().ok()?,
                chunk: chunk.parse().ok()?,
            })
        })
    };
    report.lvs.iter().filter_map(of_ours).collect()
}

/// The steps for this state. `begin` if the volume must be shrunk; else only a begun shrink is finished.
fn plan(held: u64, tagged: &[Tagged], begin: bool) -> Vec<Step> {
    let Some(bytes) = tagged.first().map(|snapshot| snapshot.bytes) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    let begun = begin || tagged.iter().any(|snapshot| !snapshot.joined);
    let cuts = begun && held > bytes;
    if cuts {
        let joined = tagged.iter().filter(|snapshot| snapshot.joined);
        steps.extend(joined.map(|snapshot| Step::Split(snapshot.name.clone())));
        steps.push(Step::Reduce);
    }
    for snapshot in tagged {
        if cuts || !snapshot.joined {
            steps.push(Step::Join(snapshot.name.clone(), snapshot.chunk));
        }
    }
    steps.extend(tagged.iter().map(|snapshot| Step::Untag(snapshot.name.clone())));
    steps
}

impl LvmDriver {
    /// Checks that the volume can be shrunk to the size of its snapshots, without changes.
    pub(super) fn check_shrink(
        &self,
        work: &Work,
        report: &Report,
        volume: &Lv,
        bytes: u64,
    ) -> DriverResult<Cut> {
        let refused = |client: &str| Err(DriverError::refused(client.to_owned()));
        let cows: Vec<&Lv> = report.cows_of(&volume.name).collect();
        if let Some(other) = cows.iter().find(|cow| cow.bytes != bytes) {
            let (volume, snapshot) = (&volume.name, &other.name);
            tracing::warn!(volume, snapshot, "a snapshot has another size");
            return refused("The volume has snapshots of several sizes; delete the others first.");
        }
        if cows.iter().any(|cow| cow.state == State::Invalid) {
            return refused("A snapshot of the volume has run out of space; delete it first.");
        }
        let chunks = self.lvm.chunks_of_snapshots(work, &volume.name)?;
        let planned = |cow: &&Lv| {
            let chunk = *chunks
                .get(&cow.name)
                .ok_or_else(|| failed(format!("LVM does not report the chunk size of {}", cow.name)))?;
            let tag = tag(&volume.name, bytes, chunk);
            let is_tagged = cow.tags.contains(&tag);
            let cow = Tagged {
                name: cow.name.clone(),
                tag,
                joined: true,
                bytes,
                chunk,
            };
            Ok((cow, is_tagged))
        };
        Ok(Cut(cows.iter().map(planned).collect::<DriverResult<_>>()?))
    }

    /// Shrinks the volume after [`Self::check_shrink`].
    pub(super) fn shrink(&self, work: &Work, volume: &Lv, cut: Cut) -> DriverResult<()> {
        self.lvm.settle(work);
        self.lvm.deactivate(work, &volume.name)?;
        for (cow, is_tagged) in &cut.0 {
            if !is_tagged {
                self.lvm
                    .add_tags(work, &cow.name, &[&cow.tag, &of_tag(&volume.name)])?;
            }
        }
        let cows: Vec<Tagged> = cut.0.into_iter().map(|(cow, _)| cow).collect();
        self.carry_out(work, volume, &cows, true)
    }

    /// Finishes an interrupted [`Self::shrink`]. True if there was one.
    pub(super) fn finish_shrink(&self, work: &Work, report: &Report, volume: &str) -> DriverResult<bool> {
        let tagged = tagged(report, volume);
        let (Some(first), Some(lv)) = (tagged.first(), report.find(volume)) else {
            return Ok(false);
        };
        if tagged.iter().any(|other| other.bytes != first.bytes) {
            return Err(failed(format!(
                "the snapshots of {volume} are tagged with several sizes: {tagged:?}"
            )));
        }
        tracing::info!(volume, "finishing a shrink that was interrupted");
        self.carry_out(work, lv, &tagged, false)?;
        Ok(true)
    }

    fn carry_out(&self, work: &Work, volume: &Lv, tagged: &[Tagged], begin: bool) -> DriverResult<()> {
        let steps = plan(volume.bytes, tagged, begin);
        if steps.iter().any(|step| !matches!(step, Step::Untag(_))) {
            self.lvm.deactivate(work, &volume.name)?;
        }
        for step in steps {
            match step {
                Step::Split(name) => self.lvm.split(work, &name)?,
                Step::Reduce => match self.lvm.reduce(work, &volume.name, tagged[0].bytes) {
                    Err(failure) if failure.kind != ErrorKind::SameSize => return Err(failure.into()),
                    _ => {}
                },
                Step::Join(name, chunk) => self.lvm.join(work, &volume.name, &name, chunk)?,
                Step::Untag(name) => {
                    let tag = tagged.iter().find(|snapshot| snapshot.name == name);
                    let tags = [tag.map_or("", |snapshot| &snapshot.tag), &of_tag(&volume.name)];
                    self.lvm.remove_tags(work, &name, &tags)?;
                }
            }
        }
        Ok(self.lvm.activate(work, &volume.name, false)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Kind, Lv, Report, Step, Tagged, plan, tag, tagged};

    #[derive(Clone, Debug)]
    struct Group {
        held: u64,
        snapshots: Vec<Tagged>,
        tags: Vec<bool>,
    }

    impl Group {
        fn index(&self, name: &str) -> usize {
            self.snapshots
                .iter()
                .position(|snapshot| snapshot.name == name)
                .unwrap()
        }

        /// A model of LVM, which refuses to shrink a volume with snapshots.
        fn carry_out(&mut self, step: &Step) {
            match step {
                Step::Split(name) => {
                    let index = self.index(name);
                    assert!(self.snapshots[index].joined);
                    self.snapshots[index].joined = false;
                }
                Step::Reduce => {
                    assert!(self.snapshots.iter().all(|snapshot| !snapshot.joined));
                    self.held = 1;
                }
                Step::Join(name, _) => {
                    let index = self.index(name);
                    assert!(!self.snapshots[index].joined && self.held == 1);
                    self.snapshots[index].joined = true;
                }
                Step::Untag(name) => {
                    let index = self.index(name);
                    assert!(self.snapshots[index].joined);
                    self.tags[index] = false;
                }
            }
        }

        fn tagged(&self) -> Vec<Tagged> {
            let both = self.snapshots.iter().zip(&self.tags);
            both.filter(|(_, tag)| **tag)
                .map(|(snapshot, _)| snapshot.clone())
                .collect()
        }
    }

    proptest! {
        #[test]
        fn wherever_it_is_killed_every_snapshot_is_one_again(count in 1_usize..4, kills in proptest::collection::vec(0_usize..8, 0..4)) {
            let snapshots: Vec<_> = (0..count)
                .map(|index| Tagged { name: index.to_string(), tag: String::new(), joined: true, bytes: 1, chunk: 8 })
                .collect();
            let mut group = Group { held: 2, tags: vec![true; count], snapshots };
            let mut begin = true;
            for kill in kills.into_iter().chain([usize::MAX]) {
                for step in plan(group.held, &group.tagged(), begin).iter().take(kill) {
                    group.carry_out(step);
                }
                begin = false;
            }
            prop_assert!(group.snapshots.iter().all(|snapshot| snapshot.joined), "{group:?}");
            prop_assert!(group.tags.iter().all(|tag| !tag), "{group:?}");
        }
    }

    #[test]
    fn a_tag_is_read_back_and_another_volumes_is_not_ours() {
        let lv = |name: &str, volume: &str| Lv {
            tags: vec!["other".to_owned(), tag(volume, 5, 4096)],
            ..Lv::named(name, Kind::Thick)
        };
        let report = Report {
            group: None,
            lvs: vec![lv("a", "volume-1"), lv("b", "volume-12")],
        };
        let found = tagged(&report, "volume-1");
        assert_eq!(found.len(), 1);
        let first = &found[0];
        assert_eq!((first.name.as_str(), first.bytes, first.chunk), ("a", 5, 4096));
    }
}
