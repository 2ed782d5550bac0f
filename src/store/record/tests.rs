use serde::{Deserialize, Serialize};

use super::{MAX_VALUE, Record, RecordError, StoreError, decode, encode, encode_part, limit_written, read};
use crate::model::ErrorKind;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PebbleV1 {
    weight: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pebble {
    weight: u32,
    colour: String,
}

impl Record for PebbleV1 {
    const KIND: u8 = 250;
    const VERSION: u8 = 1;
    const NAME: &'static str = "pebble";
}

impl Record for Pebble {
    const KIND: u8 = 250;
    const VERSION: u8 = 3;
    const NAME: &'static str = "pebble";

    fn upgrade(version: u8, bytes: &[u8]) -> Result<Self, RecordError> {
        match version {
            1 => read(Self::NAME, bytes).map(|PebbleV1 { weight }| Self {
                weight,
                colour: "grey".into(),
            }),
            _ => Err(RecordError::NeverWas {
                name: Self::NAME,
                version,
            }),
        }
    }
}

fn pebble() -> Pebble {
    Pebble {
        weight: 3,
        colour: "red".into(),
    }
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    assert_eq!(decode::<Pebble>(&encode(&pebble()).unwrap()).unwrap(), pebble());
}

#[test]
fn an_older_record_is_upgraded_and_a_newer_one_refused() {
    let old = encode(&PebbleV1 { weight: 7 }).unwrap();
    let upgraded = Pebble {
        weight: 7,
        colour: "grey".into(),
    };
    assert_eq!(decode::<Pebble>(&old).unwrap(), upgraded);
    let new = encode(&pebble()).unwrap();
    let error = decode::<PebbleV1>(&new).unwrap_err();
    assert!(error.to_string().contains("downgraded"), "{error}");
    let error = decode::<Pebble>(&[250, 2, 0, 0]).unwrap_err();
    assert!(
        matches!(error, RecordError::NeverWas { version: 2, .. }),
        "{error}"
    );
}

/// Kinds of their own, since the limits are those of the process.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Shell {
    weight: u32,
    colour: String,
}

impl Record for Shell {
    const KIND: u8 = 251;
    const VERSION: u8 = 3;
    const NAME: &'static str = "shell";

    fn upgrade(version: u8, bytes: &[u8]) -> Result<Self, RecordError> {
        match version {
            2 => read(Self::NAME, bytes).map(|PebbleV1 { weight }| Self {
                weight,
                colour: "grey".into(),
            }),
            _ => Err(RecordError::NeverWas {
                name: Self::NAME,
                version,
            }),
        }
    }

    fn downgrade(&self, version: u8) -> Result<Vec<u8>, RecordError> {
        match (version, self.colour.as_str()) {
            (2, "grey") => encode_part(&PebbleV1 { weight: self.weight }),
            _ => Err(RecordError::NotYet {
                name: Self::NAME,
                version,
            }),
        }
    }
}

#[test]
fn the_newest_version_that_all_nodes_read_is_written() {
    let shell = |colour: &str| Shell {
        weight: 3,
        colour: colour.into(),
    };
    let newest = encode(&shell("grey")).unwrap();
    assert_eq!(newest[1], 3, "no others are known");
    limit_written(Shell::KIND, 2);
    let older = encode(&shell("grey")).unwrap();
    assert_eq!(older[1], 2);
    assert_eq!(decode::<Shell>(&older).unwrap(), shell("grey"));
    let refused = encode(&shell("red")).unwrap_err();
    assert!(
        matches!(refused, RecordError::NotYet { version: 2, .. }),
        "{refused}"
    );
    assert_eq!(
        StoreError::from(refused).for_client().kind,
        ErrorKind::Unavailable { retry_after: 60 }
    );
    // Another node was faster to learn that all are upgraded: what it wrote is not written back without its colour.
    decode::<Shell>(&newest).unwrap();
    assert_eq!(encode(&shell("grey")).unwrap()[1], 3);
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let whole = encode(&pebble()).unwrap();
    for end in 0..whole.len() {
        assert!(decode::<Pebble>(&whole[..end]).is_err());
    }
    let error_of = |bytes: &[u8]| decode::<Pebble>(bytes).unwrap_err();
    let longer = [whole.as_slice(), &[0]].concat();
    assert!(matches!(error_of(&longer), RecordError::Damaged { .. }));
    let mut other = whole.clone();
    other[0] = 1;
    assert!(matches!(
        error_of(&other),
        RecordError::OtherKind { found: 1, .. }
    ));
    let mut boundless = whole;
    boundless[6..14].fill(0xff);
    assert!(matches!(error_of(&boundless), RecordError::Damaged { .. }));
}

#[test]
fn a_record_without_measure_is_refused() {
    let large = Pebble {
        weight: 1,
        colour: "x".repeat(MAX_VALUE),
    };
    assert!(matches!(encode(&large), Err(RecordError::TooLarge { .. })));
}
