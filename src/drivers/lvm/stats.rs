//! The statistics of the group or its pool, from one report of LVM.

use std::collections::BTreeMap;

use super::report::{Kind, Lv, Report};
use super::{LvmDriver, LvmOptions, Mode, failed, names};
use crate::drivers::{DriverResult, Work, gib_number};
use crate::model::PoolStats;
use crate::model::service::Capacity;

impl LvmDriver {
    pub(super) fn pool_stats(&self, work: &Work) -> DriverResult<PoolStats> {
        let report = self.lvm.look_at_all(work)?;
        // A group that LVM does not allow to change has no usable space.
        report.may_change()?;
        let mode = self.mode(work)?;
        if mode == Mode::Thin
            && let Some(pool) = report.find(self.lvm.pool())
        {
            self.see_that_blocks_are_zeroed(work, pool)?;
        }
        let space = space(&report, mode, self.lvm.pool(), self.options.mirrors)
            .ok_or_else(|| failed("LVM's report has no space in it".to_owned()))?;
        if mode == Mode::Thin {
            self.warn(&report);
        }
        Ok(PoolStats {
            pool_name: self.options.pool_name.clone(),
            total_capacity_gb: Capacity::Gib(gib_number(space.total)),
            free_capacity_gb: Capacity::Gib(gib_number(space.free)),
            allocated_capacity_gb: 0.0,
            provisioned_capacity_gb: gib_number(space.provisioned),
            reserved_percentage: self.options.reserved_percentage,
            max_over_subscription_ratio: self.options.max_over_subscription_ratio,
            thin_provisioning_support: mode == Mode::Thin,
            thick_provisioning_support: mode == Mode::Thick,
            multiattach: true,
            online_extend_support: true,
            total_volumes: space.volumes,
            extra: extra(&self.options, mode),
        })
    }

    fn warn(&self, report: &Report) {
        let Some(pool) = report.find(self.lvm.pool()) else {
            return;
        };
        let mark = f64::from(self.options.thin_pool_warn_percent);
        let warnings = self.watch.lock().look(pool, mark);
        for (what, percent) in warnings {
            tracing::warn!(
                group = self.options.volume_group,
                pool = pool.name,
                what,
                percent,
                "a thin pool is nearly full: extend it, or volumes will stop writing"
            );
        }
    }
}

/// Bytes, and the number of volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    total: u64,
    free: u64,
    provisioned: u64,
    volumes: u64,
}

fn space(report: &Report, mode: Mode, pool: &str, mirrors: u32) -> Option<Space> {
    // Other volumes in the group take space, but are not counted as volumes.
    let ours = report.lvs.iter().filter(|lv| {
        matches!(lv.kind, Kind::Thick | Kind::Thin | Kind::Cow)
            && !lv.is_in_another_pool(pool)
            && names::is_ours(&lv.name)
    });
    let volumes = u64::try_from(ours.count()).unwrap_or(u64::MAX);
    match mode {
        Mode::Thin => {
            let in_pool = |lv: &&Lv| lv.kind == Kind::Thin && lv.pool.as_deref() == Some(pool);
            let provisioned = report.lvs.iter().filter(in_pool).map(|lv| lv.bytes).sum();
            let pool = report.find(pool)?;
            Some(Space {
                total: pool.bytes,
                // LVM does not report the usage of an inactive pool.
                free: part(pool.bytes, 100.0 - pool.data_percent.unwrap_or(100.0)),
                provisioned,
                volumes,
            })
        }
        Mode::Thick => {
            let group = report.group.as_ref()?;
            let copies = u64::from(mirrors) + 1;
            let (total, free) = (group.size / copies, group.free / copies);
            Some(Space {
                total,
                free,
                provisioned: total - free.min(total),
                volumes,
            })
        }
    }
}

/// A percentage of a size.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage with two decimals"
)]
fn part(bytes: u64, percent: f64) -> u64 {
    (bytes as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64
}

/// Further capabilities for types (cinder: `LVMVolumeDriver._update_volume_stats`).
fn extra(options: &LvmOptions, mode: Mode) -> BTreeMap<String, String> {
    let kind = match mode {
        Mode::Thin => "thin",
        Mode::Thick => "default",
    };
    let location = format!(
        "LVMVolumeDriver:{}:{}:{kind}:{}",
        options.host, options.volume_group, options.mirrors
    );
    let is_sparse = if mode == Mode::Thin { "True" } else { "False" };
    let mut extra = BTreeMap::from(
        [
            ("location_info", location.as_str()),
            ("QoS_support", "False"),
            ("backend_state", "up"),
            ("sparse_copy_volume", is_sparse),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    extra.extend(options.extra.clone());
    extra
}

#[cfg(test)]
mod tests {
    use super::{Mode, Space, extra, names, space};
    use crate::drivers::lvm::LvmOptions;
    use crate::drivers::lvm::report::{Group, Kind, Lv, Report};
    use crate::model::{SnapshotId, VolumeId};

    fn report() -> Report {
        let lv = |name: &str, kind, bytes| Lv {
            bytes,
            ..Lv::named(name, kind)
        };
        let in_pool = |pool: &str, lv| Lv {
            pool: Some(pool.to_owned()),
            ..lv
        };
        Report {
            group: Some(Group {
                size: 1000,
                free: 400,
                ..Group::default()
            }),
            lvs: vec![
                Lv {
                    data_percent: Some(25.0),
                    ..lv("vg-pool", Kind::Pool, 400)
                },
                in_pool("vg-pool", lv(&names::volume(VolumeId::new()), Kind::Thin, 300)),
                in_pool("vg-pool", lv("theirs", Kind::Thin, 500)),
                in_pool("other", lv("d0", Kind::Thin, 4000)),
                in_pool("other", lv(&names::volume(VolumeId::new()), Kind::Thin, 4000)),
                lv("root", Kind::Thick, 50),
                lv(&names::volume(VolumeId::new()), Kind::Thick, 50),
                lv(&names::snapshot(SnapshotId::new()), Kind::Cow, 100),
            ],
        }
    }

    #[test]
    fn a_thin_pool_counts_what_it_promised_and_a_thick_one_what_is_taken_and_both_only_their_own() {
        let thin = Space {
            total: 400,
            free: 300,
            provisioned: 800,
            volumes: 3,
        };
        assert_eq!(space(&report(), Mode::Thin, "vg-pool", 0), Some(thin));
        assert_eq!(space(&report(), Mode::Thin, "missing", 0), None);
        let thick = Space {
            total: 500,
            free: 200,
            provisioned: 300,
            volumes: 3,
        };
        assert_eq!(space(&report(), Mode::Thick, "vg-pool", 1), Some(thick));
        let mut asleep = report();
        asleep.lvs[0].data_percent = None;
        let free = space(&asleep, Mode::Thin, "vg-pool", 0).map(|space| space.free);
        assert_eq!(free, Some(0), "a pool without usage has no free space");
    }

    #[test]
    fn the_location_is_cinders_and_an_operators_word_wins() {
        let mut options = LvmOptions::new("vg", "lvm");
        options.host = "h".to_owned();
        options.extra.insert("QoS_support".to_owned(), "True".to_owned());
        let extra = extra(&options, Mode::Thin);
        assert_eq!(extra["location_info"], "LVMVolumeDriver:h:vg:thin:0");
        assert_eq!(extra["QoS_support"], "True");
    }
}
