//! The rows that match filters: a byte for each row, 1 if it matches.
//!
//! What matches is what [`filter::matches`](super::super::filter) says of a record.

use std::collections::BTreeMap;

use super::super::filter::compares;
use super::super::listable::Listable;
use super::super::query::{Filter, TimeField};
use super::cells::{Cells, Key};
use super::column::{Coded, Codes, Column, Type, time};
use super::dictionary::{Dictionary, MISSING};
use super::id_part::IdPart;
use crate::model::Timestamp;

/// Matching rows.
pub(super) struct Mask(Vec<u8>);

impl Mask {
    /// All used rows.
    pub(super) fn all(cells: &Cells) -> Self {
        Self(cells.used.clone())
    }

    /// Whether a row matches.
    pub(super) fn has(&self, row: u32) -> bool {
        self.0[row as usize] != 0
    }

    /// The number of matching rows.
    pub(super) fn count(&self) -> usize {
        // Sums of bytes in pieces that do not overflow are added many at a time.
        self.0
            .chunks(255)
            .map(|piece| usize::from(piece.iter().sum::<u8>()))
            .sum()
    }

    /// Leaves those rows that match this filter, too. A filter on other records leaves all.
    pub(super) fn keep<R: Listable>(
        &mut self,
        filter: &Filter<R::Field>,
        cells: &mut Cells,
        metadata: &mut Pairs,
        image_metadata: &mut Pairs,
    ) {
        match filter {
            Filter::Is(field, wanted) => self.keep_is::<R>(*field, wanted, cells),
            Filter::Contains(field, part) => self.keep_containing::<R>(*field, part, cells),
            Filter::Metadata(pairs) => metadata.keep(pairs, self),
            Filter::ImageMetadata(pairs) => image_metadata.keep(pairs, self),
            Filter::Time(field, comparison, bound) => {
                let times = match field {
                    TimeField::CreatedAt => {
                        return self
                            .keep_times(&cells.created, |time| compares(Some(*time), *comparison, *bound));
                    }
                    TimeField::UpdatedAt => R::UPDATED_AT.map(|field| key_of::<R>(field)),
                };
                match times {
                    Some(Key::Column(column)) => match &cells.columns[column] {
                        Column::Times(times) => {
                            self.keep_times(times, |number| compares(time(*number), *comparison, *bound));
                        }
                        Column::Empty | Column::Coded(_) => self.0.fill(0),
                    },
                    _ => self.0.fill(0),
                }
            }
            Filter::OfVolume(_) => {}
            Filter::Nothing => self.0.fill(0),
        }
    }

    fn keep_times<T>(&mut self, times: &[T], matches: impl Fn(&T) -> bool) {
        for (row, time) in self.0.iter_mut().zip(times) {
            *row &= u8::from(matches(time));
        }
    }

    fn keep_is<R: Listable>(&mut self, field: R::Field, wanted: &[String], cells: &Cells) {
        match key_of::<R>(field) {
            Key::Column(column) => match &cells.columns[column] {
                Column::Empty => self.0.fill(0),
                Column::Coded(coded) => {
                    let codes = match R::IS_PART_OF.contains(&field) {
                        false => {
                            let values = wanted.iter().filter_map(|text| coded.of.value(text));
                            values.filter_map(|value| coded.dictionary.code(&value)).collect()
                        }
                        true => coded.codes_of(|text| R::is_one_of(field, text, wanted)),
                    };
                    self.keep_codes(&coded.codes, codes, coded.dictionary.len());
                }
                Column::Times(times) => self.keep_times(times, |number| {
                    time(*number).is_some_and(|time| R::is_one_of(field, &time.to_string(), wanted))
                }),
            },
            Key::CreatedAt => self.keep_times(&cells.created, |time| {
                R::is_one_of(field, &time.to_string(), wanted)
            }),
            Key::Id => self.keep_times(&cells.ids, |id| R::is_one_of(field, &id.to_string(), wanted)),
        }
    }

    fn keep_containing<R: Listable>(&mut self, field: R::Field, part: &str, cells: &mut Cells) {
        let part = part.to_lowercase();
        let is_like = |text: &str| text.to_lowercase().contains(&part);
        let moment = |time: Timestamp| is_like(&time.to_string());
        match key_of::<R>(field) {
            Key::Column(column) => match &mut cells.columns[column] {
                Column::Empty => self.0.fill(0),
                Column::Coded(Coded {
                    of,
                    codes,
                    dictionary,
                }) => {
                    let of: Type = *of;
                    let found = dictionary.containing(&part, |value| of.text(value));
                    self.keep_table(codes, &found);
                }
                Column::Times(times) => self.keep_times(times, |number| time(*number).is_some_and(moment)),
            },
            Key::CreatedAt => self.keep_times(&cells.created, |time| moment(*time)),
            Key::Id => match IdPart::new(&part) {
                None => self.0.fill(0),
                Some(part) => self.keep_times(&cells.ids, |id| part.is_in(*id)),
            },
        }
    }

    /// Leaves the rows with one of these codes.
    fn keep_codes(&mut self, codes: &Codes, wanted: Vec<u32>, len: usize) {
        match (wanted.as_slice(), codes) {
            ([], _) => self.0.fill(0),
            ([wanted], Codes::Bytes(codes)) => {
                // A code that no row has any more may be larger.
                let Ok(wanted) = u8::try_from(*wanted) else {
                    return self.0.fill(0);
                };
                self.keep_times(codes, |code| *code == wanted);
            }
            ([wanted], Codes::Words(codes)) => self.keep_times(codes, |code| code == wanted),
            (several, codes) => {
                let mut table = vec![0; len];
                several.iter().for_each(|code| table[*code as usize] = 1);
                self.keep_table(codes, &table);
            }
        }
    }

    /// Leaves the rows with a code that has a 1 in the table.
    fn keep_table(&mut self, codes: &Codes, table: &[u8]) {
        match codes {
            Codes::Bytes(codes) => {
                // A full table needs no check of each code.
                let mut full = [0; 256];
                let known = table.len().min(full.len());
                full[..known].copy_from_slice(&table[..known]);
                for (row, code) in self.0.iter_mut().zip(codes) {
                    *row &= full[usize::from(*code)];
                }
            }
            Codes::Words(codes) => {
                for (row, code) in self.0.iter_mut().zip(codes) {
                    *row &= table[*code as usize];
                }
            }
        }
    }
}

/// The key for a field.
pub(super) fn key_of<R: Listable>(field: R::Field) -> Key {
    match field {
        _ if field == R::CREATED_AT => Key::CreatedAt,
        _ if field == R::ID => Key::Id,
        // Every field is in the list of fields.
        _ => Key::Column(
            R::fields()
                .iter()
                .position(|known| *known == field)
                .unwrap_or_default(),
        ),
    }
}

impl Coded {
    /// The codes of the values whose text fulfils a condition.
    fn codes_of(&self, fulfils: impl Fn(&str) -> bool) -> Vec<u32> {
        let numbered = (MISSING + 1..).zip(self.dictionary.values());
        let wanted = numbered.filter(|(_, value)| fulfils(&self.of.text(value)));
        wanted.map(|(code, _)| code).collect()
    }
}

/// Metadata: each row has the code of a set of pairs, whose value is the codes of its pairs.
#[derive(Default)]
pub(super) struct Pairs {
    pairs: Dictionary,
    /// Of no rows, until one has metadata.
    sets: Option<Coded>,
}

/// The size of the code of a pair in a set.
const PAIR: usize = size_of::<u32>();

impl Pairs {
    /// The set of this metadata, with pairs that are new.
    fn set_of(&mut self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        let mut set = Vec::with_capacity(metadata.len() * PAIR);
        for (key, value) in metadata {
            set.extend_from_slice(&self.pairs.intern(&pair(key, value)).to_ne_bytes());
        }
        set
    }

    /// Sets the metadata of a row.
    pub(super) fn set(&mut self, row: usize, rows: usize, metadata: Option<&BTreeMap<String, String>>) {
        if metadata.is_none() && self.sets.is_none() {
            return;
        }
        let set = metadata.map(|metadata| self.set_of(metadata));
        let sets = self.sets.get_or_insert_with(|| Coded::new(Type::Text, rows));
        sets.set(row, set.as_deref());
    }

    pub(super) fn add_row(&mut self) {
        self.sets.iter_mut().for_each(|sets| sets.codes.add_row());
    }

    pub(super) fn sort(&mut self) {
        self.pairs.sort();
        self.sets.iter_mut().for_each(|sets| sets.dictionary.sort());
    }

    pub(super) fn shrink(&mut self) {
        self.sets.iter_mut().for_each(|sets| sets.codes.shrink());
    }

    pub(super) fn memory(&self) -> usize {
        self.pairs.memory() + self.sets.as_ref().map_or(0, Coded::memory)
    }

    pub(super) fn distinct(&self) -> usize {
        self.pairs.len() + self.sets.as_ref().map_or(0, |sets| sets.dictionary.len())
    }

    fn keep(&self, wanted: &BTreeMap<String, String>, mask: &mut Mask) {
        let Some(sets) = &self.sets else {
            return mask.0.fill(0);
        };
        let wanted: Option<Vec<u32>> = wanted
            .iter()
            .map(|(key, value)| self.pairs.code(&pair(key, value)))
            .collect();
        let Some(wanted) = wanted else {
            return mask.0.fill(0);
        };
        let wanted: Vec<[u8; PAIR]> = wanted.iter().map(|code| code.to_ne_bytes()).collect();
        let has_all = |set: &[u8]| {
            let (pairs, _) = set.as_chunks::<PAIR>();
            wanted.iter().all(|wanted| pairs.contains(wanted))
        };
        let table = sets.dictionary.values().map(|set| u8::from(has_all(set)));
        let table: Vec<u8> = std::iter::once(0).chain(table).collect();
        mask.keep_table(&sets.codes, &table);
    }
}

/// A pair as one value: no text has the byte between its key and its value.
fn pair(key: &str, value: &str) -> Vec<u8> {
    [key.as_bytes(), value.as_bytes()].join(&0xff)
}
