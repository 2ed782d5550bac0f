//! Warnings about a full thin pool: each once, not with every report.

use super::report::Lv;

/// How far the usage must fall below the mark before the next warning, so that a fluctuating pool is reported once.
const SLACK: f64 = 2.0;

/// The reported warnings.
#[derive(Debug, Default)]
pub(super) struct Watch {
    data: bool,
    metadata: bool,
    /// Whether missing zeroing was reported.
    pub(super) unzeroed: bool,
}

impl Watch {
    /// Whether to report that the pool does not zero its blocks: once, until it does again.
    pub(super) fn zeroes(&mut self, zeroes: bool) -> bool {
        !std::mem::replace(&mut self.unzeroed, !zeroes) && !zeroes
    }

    /// The warnings about the pool now: `data` or `metadata`, and the percentage.
    pub(super) fn look(&mut self, pool: &Lv, mark: f64) -> Vec<(&'static str, f64)> {
        let parts = [
            ("data", pool.data_percent, &mut self.data),
            ("metadata", pool.metadata_percent, &mut self.metadata),
        ];
        let mut warnings = Vec::new();
        for (what, percent, warned) in parts {
            let Some(percent) = percent else { continue };
            if percent < mark - SLACK {
                *warned = false;
            }
            if percent >= mark && !*warned {
                *warned = true;
                warnings.push((what, percent));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use crate::drivers::lvm::report::Lv;

    #[test]
    fn a_pool_that_does_not_zero_its_blocks_is_reported_once_until_it_does() {
        let mut watch = Watch::default();
        let reported = [false, false, true, true, false].map(|zeroes| watch.zeroes(zeroes));
        assert_eq!(reported, [true, false, false, false, true]);
    }

    #[test]
    fn a_full_pool_is_reported_once_and_again_when_it_fills_again() {
        let mut watch = Watch::default();
        let mut reported = Vec::new();
        for (data, metadata) in [
            (10.0, 1.0),
            (80.0, 1.0),
            (95.0, 1.0),
            (79.0, 81.0),
            (81.0, 80.0),
            (50.0, 80.0),
            (80.5, 80.0),
        ] {
            let pool = Lv {
                data_percent: Some(data),
                metadata_percent: Some(metadata),
                ..Lv::default()
            };
            let warnings = watch.look(&pool, 80.0);
            reported.extend(warnings.into_iter().map(|(what, _)| (what, data)));
        }
        assert_eq!(reported, [("data", 80.0), ("metadata", 79.0), ("data", 80.5)]);
    }
}
