//! Making a thick volume smaller that has snapshots, which LVM does not do: its snapshots are taken off, the volume is cut, and they
//! are put on again. What they have saved stays, and holds as long as nobody writes to the volume meanwhile: it has no device
//! then.
//!
//! A snapshot carries tags from before it is taken off until after it was put on: by them whoever comes next finds what
//! belongs to the volume, and goes on.

use super::error_kind::ErrorKind;
use super::report::{Kind, Lv, Report, State};
use super::{LvmDriver, failed};
use crate::drivers::{DriverError, DriverResult, Work};

/// What the tag begins with. The volume's name, the size to be had and the size of the snapshot's chunks follow.
const TAG: &str = "pumice.split";

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Take the snapshot off.
    Split(String),
    /// Cut the volume.
    Reduce,
    /// Put the snapshot on again.
    Join(String, u64),
    /// The snapshot is as it should be.
    Untag(String),
}

/// A snapshot that carries the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tagged {
    name: String,
    tag: String,
    /// Whether it is a snapshot now.
    joined: bool,
    /// The size that the volume is to have.
    bytes: u64,
    chunk: u64,
}

/// A volume that can be cut: its snapshots, and whether they carry their tags already.
pub(super) struct Cut(Vec<(Tagged, bool)>);

/// The tag of a snapshot of this volume, that is taken off so that the volume can have that size.
fn tag(volume: &str, bytes: u64, chunk: u64) -> String {
    format!("{TAG}={volume}={bytes}={chunk}")
}

/// A second tag, by which LVM finds them: it selects by whole tags only.
fn of_tag(volume: &str) -> String {
    format!("{TAG}-of.{volume}")
}

/// The selection that finds such snapshots.
pub(super) fn selection(volume: &str) -> String {
    format!("lv_tags={{\"{}\"}}", of_tag(volume))
}

/// Whether it was taken off its volume, or is about to be.
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

/// What is to be done, by what is there. `begin` if the volume is to be cut; else what was begun is finished, and what was
/// not is left.
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
    /// Looks at all that may keep the volume from being cut to the size that its snapshots have, and touches nothing.
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
            tracing::warn!(
                volume = volume.name,
                snapshot = other.name,
                "a snapshot of another size is in the way"
            );
            return refused("The volume has snapshots of several sizes; delete the others first.");
        }
        if cows.iter().any(|cow| cow.state == State::Invalid) {
            return refused("A snapshot of the volume has run out of space; delete it first.");
        }
        let chunks = self.lvm.chunks_of_snapshots(work, &volume.name)?;
        let planned = |cow: &&Lv| {
            let chunk = *chunks.get(&cow.name).ok_or_else(|| {
                failed(format!(
                    "LVM does not say in which pieces {} keeps its data",
                    cow.name
                ))
            })?;
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

    /// Cuts the volume as [`Self::check_shrink`] found that it can be.
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

    /// Finishes what a killed [`Self::shrink`] began. True if there was anything.
    pub(super) fn finish_shrink(&self, work: &Work, report: &Report, volume: &str) -> DriverResult<bool> {
        let tagged = tagged(report, volume);
        let (Some(first), Some(lv)) = (tagged.first(), report.find(volume)) else {
            return Ok(false);
        };
        if tagged.iter().any(|other| other.bytes != first.bytes) {
            return Err(failed(format!("{volume} is to have several sizes: {tagged:?}")));
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
                    self.lvm.remove_tags(
                        work,
                        &name,
                        &[tag.map_or("", |snapshot| &snapshot.tag), &of_tag(&volume.name)],
                    )?;
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

        /// As LVM would do it, and it refuses to cut what has a snapshot.
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
            name: name.to_owned(),
            kind: Kind::Thick,
            tags: vec!["other".to_owned(), tag(volume, 5, 4096)],
            ..Lv::default()
        };
        let report = Report {
            group: None,
            lvs: vec![lv("a", "volume-1"), lv("b", "volume-12")],
        };
        let found = tagged(&report, "volume-1");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].bytes, found[0].chunk),
            ("a", 5, 4096)
        );
    }
}
