//! Warnings of a thin pool that fills up: each once when it begins, and not with every report.

use super::report::Lv;

/// How far it must sink below the mark before the next crossing is one: a pool that sways is told of once.
const SLACK: f64 = 2.0;

/// What was warned of.
#[derive(Debug, Default)]
pub(super) struct Watch {
    data: bool,
    metadata: bool,
    /// That the pool does not zero its blocks was told.
    pub(super) unzeroed: bool,
}

/// Something to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Warning {
    /// `data` or `metadata`.
    pub(super) what: &'static str,
    pub(super) percent: f64,
}

impl Watch {
    /// Whether it is to be told that the pool does not zero its blocks: once, until it does again.
    pub(super) fn zeroes(&mut self, zeroes: bool) -> bool {
        !std::mem::replace(&mut self.unzeroed, !zeroes) && !zeroes
    }

    /// What is to be told of the pool now.
    pub(super) fn look(&mut self, pool: &Lv, mark: f64) -> Vec<Warning> {
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
                warnings.push(Warning { what, percent });
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
    fn a_pool_that_does_not_zero_its_blocks_is_told_of_until_it_does() {
        let mut watch = Watch::default();
        let told = [false, false, true, true, false].map(|zeroes| watch.zeroes(zeroes));
        assert_eq!(told, [true, false, false, false, true]);
    }

    #[test]
    fn a_pool_that_fills_up_is_told_of_once_and_again_when_it_fills_again() {
        let mut watch = Watch::default();
        let mut told = Vec::new();
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
            told.extend(
                watch
                    .look(&pool, 80.0)
                    .into_iter()
                    .map(|warning| (warning.what, data)),
            );
        }
        assert_eq!(told, [("data", 80.0), ("metadata", 79.0), ("data", 80.5)]);
    }
}
