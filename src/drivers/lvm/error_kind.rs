//! Classifies LVM's errors. Its exit code shows only that it failed; the kind of failure is determined from the text of
//! its standard error, which has been stable for years (`LC_ALL=C`). An unknown text is [`ErrorKind::Other`].

use crate::drivers::DriverError;
use crate::drivers::command::CommandError;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The group or the pool is full.
    NoSpace,
    /// A volume with that name exists.
    Exists,
    /// A volume does not exist.
    NoVolume,
    /// The group does not exist.
    NoGroup,
    /// It is open.
    Busy,
    /// It has that size already.
    SameSize,
    /// Anything else.
    Other,
}

/// The texts and their kinds; the first match counts.
const WORDS: [(&str, ErrorKind); 16] = [
    ("has insufficient free space", ErrorKind::NoSpace),
    ("Insufficient free space", ErrorKind::NoSpace),
    ("Insufficient suitable", ErrorKind::NoSpace),
    (
        "is above threshold, new volumes are not allowed",
        ErrorKind::NoSpace,
    ),
    ("above threshold", ErrorKind::NoSpace),
    ("reached threshold", ErrorKind::NoSpace),
    ("out of data space", ErrorKind::NoSpace),
    ("already exists in volume group", ErrorKind::Exists),
    ("already exists", ErrorKind::Exists),
    ("Failed to find logical volume", ErrorKind::NoVolume),
    ("Existing logical volume", ErrorKind::NoVolume),
    ("Cannot process volume group", ErrorKind::NoGroup),
    ("contains a filesystem in use", ErrorKind::Busy),
    ("is used by another device", ErrorKind::Busy),
    (" in use", ErrorKind::Busy),
    ("matches existing size", ErrorKind::SameSize),
];

/// Classifies what LVM wrote to its standard error.
pub(super) fn classify(stderr: &str) -> ErrorKind {
    WORDS
        .iter()
        .find(|(words, _)| stderr.contains(words))
        .map_or(ErrorKind::Other, |(_, kind)| *kind)
}

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) error: CommandError,
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let kind = match &error {
            CommandError::Exit { stderr, .. } => classify(stderr),
            _ => ErrorKind::Other,
        };
        Self { kind, error }
    }
}

impl From<Failure> for DriverError {
    fn from(failure: Failure) -> Self {
        let operator = failure.error.to_string();
        match failure.kind {
            ErrorKind::NoSpace => Self::NoSpace { operator },
            ErrorKind::Busy => Self::Busy { operator },
            ErrorKind::NoVolume => Self::NotFound {
                client: "The volume is not on the storage backend.".to_owned(),
                operator,
            },
            ErrorKind::NoGroup => Self::NotFound {
                client: "The storage backend is not available.".to_owned(),
                operator,
            },
            ErrorKind::Exists | ErrorKind::SameSize | ErrorKind::Other => failure.error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorKind, classify};

    #[test]
    fn what_lvm_says_is_understood_and_nothing_is_guessed() {
        for (words, kind) in [
            (
                "  Volume group \"vg\" has insufficient free space (255 extents): 2560 required.",
                ErrorKind::NoSpace,
            ),
            (
                "  Insufficient free space: 2560 extents needed, but only 255 available",
                ErrorKind::NoSpace,
            ),
            (
                "  Insufficient suitable allocatable extents for logical volume a: 10 more required",
                ErrorKind::NoSpace,
            ),
            (
                "  Free space in pool vg/vg-pool is above threshold, new volumes are not allowed.",
                ErrorKind::NoSpace,
            ),
            (
                "  Logical Volume \"a\" already exists in volume group \"vg\"",
                ErrorKind::Exists,
            ),
            ("  Failed to find logical volume \"vg/a\"", ErrorKind::NoVolume),
            (
                "  Volume group \"vg\" not found\n  Cannot process volume group vg",
                ErrorKind::NoGroup,
            ),
            ("  Logical volume vg/a in use.", ErrorKind::Busy),
            (
                "  Logical volume vg/a contains a filesystem in use.",
                ErrorKind::Busy,
            ),
            (
                "  New size (256 extents) matches existing size (256 extents).",
                ErrorKind::SameSize,
            ),
            ("  Couldn't find device with uuid x.", ErrorKind::Other),
            ("", ErrorKind::Other),
        ] {
            assert_eq!(classify(words), kind, "{words}");
        }
    }
}
