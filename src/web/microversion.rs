//! Microversions 3.0 to 3.71 and their negotiation (facts: `cinder/microversions.tsv`, `cinder/clients.md` 1).

/// The minor number of a 3.x version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u16);

impl Microversion {
    /// What a request without the header gets.
    pub const MIN: Self = Self(0);
    /// The newest.
    pub const MAX: Self = Self(71);

    /// Whether this is 3.`minor` or newer.
    #[must_use]
    pub fn at_least(self, minor: u16) -> bool {
        self.0 >= minor
    }
}
