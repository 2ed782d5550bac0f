//! Spans of time and numbers of bytes in human-readable form: `"30s"`, `"16MiB"`. The unit is part of the value, so that
//! no reader has to look it up.

use std::fmt;
use std::str::FromStr;

/// A span of time. Text form: numbers with the units `ms`, `s`, `m`, `h`, `d`, largest first: `"500ms"`, `"1h30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// A number of bytes. Text form: a whole number with the unit `B`, `KiB`, `MiB`, `GiB` or `TiB`: `"16MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// The text is no span of time, or no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}")]
pub struct BadUnit {
    text: String,
    what: &'static str,
}

const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const BYTE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Duration {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// So many minutes.
    pub const fn from_mins(minutes: u64) -> Self {
        Self::from_secs(minutes * 60)
    }

    /// So many hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_secs(hours * 3_600)
    }

    /// As a duration of the standard library.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl ByteSize {
    /// So many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// In bytes, as `usize`.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Splits `12min…` into `12`, `min`, `…`.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let letters = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, rest))
}

impl FromStr for Duration {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit {
            text: text.to_owned(),
            what: "a span of time",
        };
        let mut rest = text.trim();
        let mut millis = 0_u64;
        let mut smaller_than = usize::MAX;
        loop {
            let (number, unit, tail) = number_and_unit(rest).ok_or_else(bad)?;
            let place = TIME_UNITS
                .iter()
                .position(|(name, _)| *name == unit)
                .ok_or_else(bad)?;
            // "5m1h" is more likely a mistake than intended.
            if smaller_than != usize::MAX && place <= smaller_than {
                return Err(bad());
            }
            smaller_than = place;
            let part = number.checked_mul(TIME_UNITS[place].1).ok_or_else(bad)?;
            millis = millis.checked_add(part).ok_or_else(bad)?;
            if tail.is_empty() {
                return Ok(Self::from_millis(millis));
            }
            rest = tail;
        }
    }
}

impl FromStr for ByteSize {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit {
            text: text.to_owned(),
            what: "a number of bytes",
        };
        let (number, unit, rest) = number_and_unit(text.trim()).ok_or_else(bad)?;
        let (_, factor) = BYTE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(bad)?;
        if !rest.is_empty() {
            return Err(bad());
        }
        number.checked_mul(*factor).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_millis();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in TIME_UNITS {
            let count = left / u128::from(millis);
            left %= u128::from(millis);
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = BYTE_UNITS
            .into_iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ByteSize, Duration};

    #[test]
    fn spans_of_time_are_read_as_people_write_them() {
        for (text, millis) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "30",
            "s",
            "5m1h",
            "1s1s",
            "-1s",
            "1.5s",
            "30 s",
            "1y",
            "99999999999999999999s",
            "9999999999999999h",
        ] {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("112KiB", 114_688), ("16MiB", 16 << 20), ("7B", 7), ("0B", 0)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "16", "16M", "16MB", "MiB", "16MiB1", "-1B", "99999999999TiB"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number in 0_u64..u64::MAX / 2) {
            prop_assert_eq!(ByteSize(number).to_string().parse(), Ok(ByteSize(number)));
            let span = Duration::from_millis(number / 1_000);
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = (text.parse::<Duration>(), text.parse::<ByteSize>());
        }
    }
}
