//! The values of a field.

use std::borrow::Cow;

use uuid::Uuid;

use super::super::keys::{bytes_time, time_bytes};
use super::super::listable::FieldValue;
use super::dictionary::{Dictionary, MISSING};
use crate::model::Timestamp;

/// In a column of times: none.
const NO_TIME: i64 = i64::MIN;

/// The values of a field in all rows.
#[derive(Default)]
pub(super) enum Column {
    /// No row has a value.
    #[default]
    Empty,
    /// Most rows have another time.
    Times(Vec<i64>),
    /// Rows have codes of values.
    Coded(Coded),
}

/// The type of the values of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Number,
    Flag,
    Time,
    Id,
    Text,
}

/// A column of codes.
pub(super) struct Coded {
    pub(super) of: Type,
    pub(super) codes: Codes,
    pub(super) dictionary: Dictionary,
}

/// The codes of all rows: bytes while they suffice.
pub(super) enum Codes {
    Bytes(Vec<u8>),
    Words(Vec<u32>),
}

/// A value as bytes in the order of values; nothing for a missing one.
pub(super) type OrderedValue = Option<Vec<u8>>;

impl Type {
    fn of(value: &FieldValue<'_>) -> Option<Self> {
        Some(match value {
            FieldValue::Missing => return None,
            FieldValue::Number(_) => Self::Number,
            FieldValue::Flag(_) => Self::Flag,
            FieldValue::Time(_) => Self::Time,
            FieldValue::Id(_) => Self::Id,
            FieldValue::Text(_) | FieldValue::Composed(_) => Self::Text,
        })
    }

    /// The text of a value as clients see it.
    pub(super) fn text<'v>(self, value: &'v [u8]) -> Cow<'v, str> {
        let number = || value.try_into().map(u32::from_be_bytes).unwrap_or_default();
        let read = match self {
            Self::Number => FieldValue::Number(number()),
            Self::Flag => FieldValue::Flag(value == [1]),
            Self::Time => FieldValue::Time(bytes_time(value).unwrap_or(Timestamp(NO_TIME))),
            Self::Id => FieldValue::Id(Uuid::from_slice(value).unwrap_or_default()),
            Self::Text => return String::from_utf8_lossy(value),
        };
        Cow::Owned(read.into_text().unwrap_or_default().into_owned())
    }

    /// The value with this text; `None` if there is none.
    pub(super) fn value(self, text: &str) -> OrderedValue {
        let value = match self {
            Self::Number => FieldValue::Number(text.parse().ok()?),
            Self::Flag => FieldValue::Flag(text == "true"),
            Self::Time => FieldValue::Time(Timestamp::parse(text)?),
            Self::Id => FieldValue::Id(text.parse().ok()?),
            Self::Text => return Some(text.as_bytes().to_vec()),
        };
        let ordered = ordered(&value);
        // One value has one text.
        (value.into_text().as_deref() == Some(text)).then_some(ordered?)
    }
}

/// The bytes of a value.
pub(super) fn ordered(value: &FieldValue<'_>) -> OrderedValue {
    Some(match value {
        FieldValue::Missing => return None,
        FieldValue::Number(number) => number.to_be_bytes().to_vec(),
        FieldValue::Flag(flag) => vec![u8::from(*flag)],
        FieldValue::Time(time) => time_bytes(*time).to_vec(),
        FieldValue::Id(id) => id.as_bytes().to_vec(),
        FieldValue::Text(text) => text.as_bytes().to_vec(),
        FieldValue::Composed(text) => text.as_bytes().to_vec(),
    })
}

impl Column {
    /// The value of a row.
    pub(super) fn value(&self, row: usize) -> OrderedValue {
        match self {
            Self::Empty => None,
            Self::Times(times) => time(times[row]).map(|time| time_bytes(time).to_vec()),
            Self::Coded(coded) => coded.value(row).map(<[u8]>::to_vec),
        }
    }

    /// Whether a row has this value.
    pub(super) fn has(&self, row: usize, value: &OrderedValue) -> bool {
        self.compare(row, value).is_eq()
    }

    /// Compares the value of a row with this one.
    pub(super) fn compare(&self, row: usize, value: &OrderedValue) -> std::cmp::Ordering {
        let value = value.as_deref();
        match self {
            Self::Empty => None.cmp(&value),
            Self::Times(times) => match time(times[row]) {
                None => None.cmp(&value),
                Some(time) => Some(time_bytes(time).as_slice()).cmp(&value),
            },
            Self::Coded(coded) => coded.value(row).cmp(&value),
        }
    }

    /// Sets the value of a row.
    pub(super) fn set(&mut self, row: usize, rows: usize, value: &FieldValue<'_>) {
        if matches!(self, Self::Empty) {
            *self = match Type::of(value) {
                None => return,
                Some(Type::Time) => Self::Times(vec![NO_TIME; rows]),
                Some(of) => Self::Coded(Coded::new(of, rows)),
            };
        }
        match self {
            Self::Empty => {}
            Self::Times(times) => {
                times[row] = match value {
                    FieldValue::Time(time) => time.0,
                    _ => NO_TIME,
                }
            }
            Self::Coded(coded) => coded.set(row, ordered(value).as_deref()),
        }
    }

    /// Adds a row without a value.
    pub(super) fn add_row(&mut self) {
        match self {
            Self::Empty => {}
            Self::Times(times) => times.push(NO_TIME),
            Self::Coded(coded) => coded.codes.add_row(),
        }
    }

    /// Sorts the distinct values, if they were only collected.
    pub(super) fn sort(&mut self) {
        if let Self::Coded(coded) = self {
            coded.dictionary.sort();
        }
    }

    /// Gives back memory, after many rows were added.
    pub(super) fn shrink(&mut self) {
        match self {
            Self::Empty => {}
            Self::Times(times) => times.shrink_to_fit(),
            Self::Coded(coded) => coded.codes.shrink(),
        }
    }

    /// By row, a number in the order of values.
    pub(super) fn ranks(&self, rows: usize) -> Vec<u64> {
        match self {
            Self::Empty => vec![0; rows],
            Self::Times(times) => times.iter().map(|time| time_rank(Timestamp(*time))).collect(),
            Self::Coded(coded) => {
                let ranks = coded.dictionary.ranks();
                (0..rows)
                    .map(|row| ranks[coded.codes.get(row) as usize].into())
                    .collect()
            }
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Times(times) => times.capacity() * 8,
            Self::Coded(coded) => coded.memory(),
        }
    }

    /// The number of distinct values that were ever there.
    pub(super) fn distinct(&self) -> usize {
        match self {
            Self::Coded(coded) => coded.dictionary.len(),
            Self::Empty | Self::Times(_) => 0,
        }
    }
}

/// A number in the order of times.
pub(super) fn time_rank(time: Timestamp) -> u64 {
    u64::from_be_bytes(time_bytes(time))
}

/// A time of a column of times.
pub(super) fn time(number: i64) -> Option<Timestamp> {
    (number != NO_TIME).then_some(Timestamp(number))
}

impl Coded {
    pub(super) fn new(of: Type, rows: usize) -> Self {
        Self {
            of,
            codes: Codes::Bytes(vec![0; rows]),
            dictionary: Dictionary::default(),
        }
    }

    fn value(&self, row: usize) -> Option<&[u8]> {
        self.dictionary.value(self.codes.get(row))
    }

    pub(super) fn set(&mut self, row: usize, value: Option<&[u8]>) {
        let code = value.map_or(MISSING, |value| self.dictionary.intern(value));
        self.codes.set(row, code);
    }

    pub(super) fn memory(&self) -> usize {
        let codes = match &self.codes {
            Codes::Bytes(codes) => codes.capacity(),
            Codes::Words(codes) => codes.capacity() * 4,
        };
        codes + self.dictionary.memory()
    }
}

impl Codes {
    pub(super) fn get(&self, row: usize) -> u32 {
        match self {
            Self::Bytes(codes) => codes[row].into(),
            Self::Words(codes) => codes[row],
        }
    }

    fn set(&mut self, row: usize, code: u32) {
        match self {
            Self::Bytes(codes) => match u8::try_from(code) {
                Ok(code) => codes[row] = code,
                Err(_) => {
                    let mut wide: Vec<u32> = codes.iter().map(|code| u32::from(*code)).collect();
                    wide[row] = code;
                    *self = Self::Words(wide);
                }
            },
            Self::Words(codes) => codes[row] = code,
        }
    }

    pub(super) fn add_row(&mut self) {
        match self {
            Self::Bytes(codes) => codes.push(0),
            Self::Words(codes) => codes.push(0),
        }
    }

    pub(super) fn shrink(&mut self) {
        match self {
            Self::Bytes(codes) => codes.shrink_to_fit(),
            Self::Words(codes) => codes.shrink_to_fit(),
        }
    }
}
