//! What LVM's words mean. Its exit code says only that it failed; which of the few failures that matter it was stands in its
//! standard error, in words that have been the same for years (`LC_ALL=C`). What is not known for sure is [`Verdict::Other`].

use crate::drivers::DriverError;
use crate::drivers::command::CommandError;

/// A failure, as far as it is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The group or the pool is full.
    NoSpace,
    /// A volume of that name is there.
    Exists,
    /// A volume is not there.
    NoVolume,
    /// The group is not there.
    NoGroup,
    /// Somebody has it open.
    Busy,
    /// It has that size already.
    SameSize,
    /// Anything else.
    Other,
}

/// The words, and what they mean; the first that are found count.
const WORDS: [(&str, Verdict); 16] = [
    ("has insufficient free space", Verdict::NoSpace),
    ("Insufficient free space", Verdict::NoSpace),
    ("Insufficient suitable", Verdict::NoSpace),
    (
        "is above threshold, new volumes are not allowed",
        Verdict::NoSpace,
    ),
    ("above threshold", Verdict::NoSpace),
    ("reached threshold", Verdict::NoSpace),
    ("out of data space", Verdict::NoSpace),
    ("already exists in volume group", Verdict::Exists),
    ("already exists", Verdict::Exists),
    ("Failed to find logical volume", Verdict::NoVolume),
    ("Existing logical volume", Verdict::NoVolume),
    ("Cannot process volume group", Verdict::NoGroup),
    ("contains a filesystem in use", Verdict::Busy),
    ("is used by another device", Verdict::Busy),
    (" in use", Verdict::Busy),
    ("matches existing size", Verdict::SameSize),
];

/// Judges what LVM said.
pub(super) fn judge(stderr: &str) -> Verdict {
    WORDS
        .iter()
        .find(|(words, _)| stderr.contains(words))
        .map_or(Verdict::Other, |(_, verdict)| *verdict)
}

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) error: CommandError,
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let verdict = match &error {
            CommandError::Exit { stderr, .. } => judge(stderr),
            _ => Verdict::Other,
        };
        Self { verdict, error }
    }
}

impl From<Failure> for DriverError {
    fn from(failure: Failure) -> Self {
        let operator = failure.error.to_string();
        match failure.verdict {
            Verdict::NoSpace => Self::NoSpace { operator },
            Verdict::Busy => Self::Busy { operator },
            Verdict::NoVolume => Self::NotFound {
                client: "The volume is not on the storage backend.".to_owned(),
                operator,
            },
            Verdict::NoGroup => Self::NotFound {
                client: "The storage backend is not available.".to_owned(),
                operator,
            },
            Verdict::Exists | Verdict::SameSize | Verdict::Other => failure.error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge};

    #[test]
    fn what_lvm_says_is_understood_and_nothing_is_guessed() {
        for (words, verdict) in [
            (
                "  Volume group \"vg\" has insufficient free space (255 extents): 2560 required.",
                Verdict::NoSpace,
            ),
            (
                "  Insufficient free space: 2560 extents needed, but only 255 available",
                Verdict::NoSpace,
            ),
            (
                "  Insufficient suitable allocatable extents for logical volume a: 10 more required",
                Verdict::NoSpace,
            ),
            (
                "  Free space in pool vg/vg-pool is above threshold, new volumes are not allowed.",
                Verdict::NoSpace,
            ),
            (
                "  Logical Volume \"a\" already exists in volume group \"vg\"",
                Verdict::Exists,
            ),
            ("  Failed to find logical volume \"vg/a\"", Verdict::NoVolume),
            (
                "  Volume group \"vg\" not found\n  Cannot process volume group vg",
                Verdict::NoGroup,
            ),
            ("  Logical volume vg/a in use.", Verdict::Busy),
            (
                "  Logical volume vg/a contains a filesystem in use.",
                Verdict::Busy,
            ),
            (
                "  New size (256 extents) matches existing size (256 extents).",
                Verdict::SameSize,
            ),
            ("  Couldn't find device with uuid x.", Verdict::Other),
            ("", Verdict::Other),
        ] {
            assert_eq!(judge(words), verdict, "{words}");
        }
    }
}
