//! Microversions 3.0 to 3.71 and their negotiation (cinder: `api/openstack/wsgi.py`, `set_api_version_request`).
//!
//! `OpenStack-API-Version: volume 3.27` names a version, `volume latest` the newest; a comma separated list may name other
//! services as well. Without the header it is 3.0. Refusals and their texts are Cinder's.

use std::fmt;

use actix_web::http::StatusCode;

use super::fault::Fault;

/// The header that names a version, and the name in `Vary`.
pub const HEADER: &str = "openstack-api-version";

/// The minor number of a 3.x version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u16);

impl Microversion {
    /// The version of a request without the header.
    pub const MIN: Self = Self(0);
    /// The newest version.
    pub const MAX: Self = Self(71);

    /// Whether this is 3.`minor` or newer.
    pub fn at_least(self, minor: u16) -> bool {
        self.0 >= minor
    }

    /// The version a request gets by its header (several headers are one list, joined by commas).
    ///
    /// # Errors
    /// [`Refusal`]: the answer to send instead.
    pub fn negotiate(header: Option<&str>) -> Result<Self, Refusal> {
        let Some(header) = header else {
            return Ok(Self::MIN);
        };
        // As Cinder: the first entry that has `volume` in it counts, so that `volumev3` matches, too.
        let entry = header
            .split(',')
            .find(|entry| entry.contains("volume"))
            .ok_or(Refusal::NotNamed)?;
        let mut words = entry.split_whitespace();
        let (Some(_service), Some(version), None) = (words.next(), words.next(), words.next()) else {
            return Err(Refusal::NotNamed);
        };
        if version == "latest" {
            return Ok(Self::MAX);
        }
        let (major, minor) = split(version).ok_or_else(|| Refusal::BadForm(version.to_owned()))?;
        match (major, minor.parse::<u16>()) {
            ("3", Ok(minor)) if minor <= Self::MAX.0 => Ok(Self(minor)),
            _ => Err(Refusal::OutOfRange(version.to_owned())),
        }
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}", self.0)
    }
}

/// `MajorNum.MinorNum`, without leading zeros (cinder: `^([1-9]\d*)\.([1-9]\d*|0)$`).
fn split(version: &str) -> Option<(&str, &str)> {
    let number = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0')
    };
    let (major, minor) = version.split_once('.')?;
    (number(major) && (minor == "0" || number(minor))).then_some((major, minor))
}

/// Why no version could be negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The header is there and does not name `volume` with a version.
    NotNamed,
    /// The text is no version.
    BadForm(String),
    /// An unsupported version.
    OutOfRange(String),
}

impl Refusal {
    /// The answer's `OpenStack-API-Version`: Cinder repeats a version that is out of range.
    pub fn echo(&self) -> Option<String> {
        match self {
            // cinder: `_is_legacy_endpoint` looks for these texts anywhere in the version.
            Self::OutOfRange(version) if !version.contains("1.0") && !version.contains("2.0") => {
                Some(format!("volume {version}"))
            }
            _ => None,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotNamed => Self::malformed(),
            Refusal::BadForm(version) => Self::bad_request(format!(
                "API Version String {version} is of invalid format. Must be of format MajorNum.MinorNum."
            )),
            Refusal::OutOfRange(version) => Self::new(
                StatusCode::NOT_ACCEPTABLE,
                format!(
                    "Version {version} is not supported by the API. Minimum is {} and maximum is {}.",
                    Microversion::MIN,
                    Microversion::MAX
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn negotiate(header: &str) -> Result<Microversion, Refusal> {
        Microversion::negotiate(Some(header))
    }

    #[test]
    fn no_header_is_the_oldest_version() {
        assert_eq!(Microversion::negotiate(None), Ok(Microversion(0)));
    }

    #[test]
    fn the_forms_that_clients_send_are_understood() {
        for (header, version) in [
            ("volume 3.27", Microversion(27)),
            ("volume latest", Microversion::MAX),
            ("compute 2.1, volume 3.5", Microversion(5)),
            ("compute 2.1,volume\t3.5 ,identity 3", Microversion(5)),
            ("volumev3 3.0", Microversion(0)),
        ] {
            assert_eq!(negotiate(header), Ok(version), "{header}");
        }
    }

    #[test]
    fn what_is_refused_is_refused_in_cinders_words() {
        let fault = |header| Fault::from(negotiate(header).unwrap_err());
        let newer = fault("volume 3.72");
        assert_eq!(newer.status, 406);
        assert_eq!(
            newer.message,
            "Version 3.72 is not supported by the API. Minimum is 3.0 and maximum is 3.71."
        );
        assert_eq!(fault("volume 2.0").status, 406);
        assert_eq!(fault("volume 3.99999999999999999999").status, 406);
        assert_eq!(
            fault("volume x").message,
            "API Version String x is of invalid format. Must be of format MajorNum.MinorNum."
        );
        for odd in [
            "volume 3",
            "volume 3.01",
            "volume 03.1",
            "volume 3.1.1",
            "volume -3.1",
            "volume 3.",
            "volume .1",
        ] {
            assert_eq!(fault(odd).status, 400, "{odd}");
        }
        for unnamed in ["compute 2.1", "", "volume", "volume 3.1 3.2", "3.27"] {
            assert_eq!(fault(unnamed), Fault::malformed(), "{unnamed}");
        }
    }

    #[test]
    fn a_refused_number_is_repeated_unless_it_looks_legacy() {
        let echo = |header| negotiate(header).unwrap_err().echo();
        assert_eq!(echo("volume 3.72").as_deref(), Some("volume 3.72"));
        assert_eq!(echo("volume 2.0"), None);
        assert_eq!(echo("volume x"), None);
    }

    proptest! {
        #[test]
        fn every_version_we_speak_is_agreed_upon(minor in 0u16..=71, others in "([a-u]{1,8} [0-9.]{1,4},){0,3}") {
            prop_assert_eq!(negotiate(&format!("{others}volume 3.{minor}")), Ok(Microversion(minor)));
        }

        #[test]
        fn no_other_number_is(major in 0u64.., minor in 0u64..) {
            prop_assume!(major != 3 || minor > 71);
            let header = format!("volume {major}.{minor}");
            prop_assert!(negotiate(&header).is_err());
        }

        #[test]
        fn nothing_a_client_writes_makes_it_panic(header in ".*") {
            let _ = negotiate(&header);
            let _ = negotiate(&format!("volume {header}"));
        }
    }
}
