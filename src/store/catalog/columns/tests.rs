//! Tables without a store: many values, and values that come and go. Pages and changes are compared with a naive model in
//! `tests/store_lists.rs`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::listable::{FieldValue, Listable};
use super::super::query::{Direction, VolumeField, VolumeFilter};
use super::super::samples::volume;
use super::column::{Type, ordered};
use super::dictionary::Dictionary;
use super::{Found, Table};
use crate::model::{Timestamp, Volume};
use crate::store::record::{decode, encode};
use crate::store::{Entry, Key, Revision};

fn text(value: &[u8]) -> Cow<'_, str> {
    Type::Text.text(value)
}

#[test]
fn a_part_of_a_text_is_found_in_few_and_in_many_values() {
    for count in [10, 5_000] {
        let mut dictionary = Dictionary::default();
        let mut values = vec![
            None,
            Some(String::new()),
            Some("Ünï".to_owned()),
            Some("aa".to_owned()),
        ];
        values.extend((0..count).map(|number| Some(format!("v{number}"))));
        for value in values.iter().flatten() {
            dictionary.intern(value.as_bytes());
        }
        dictionary.sort();
        // A search is remembered: what is added later is found, too.
        for more in ["", "aaa", "V7a"] {
            values.push(Some(more.to_owned()));
            let code = dictionary.intern(more.as_bytes());
            if more.is_empty() {
                assert_eq!(code, 1);
                values.pop();
            }
            for part in ["", "7", "ünÏ", "a", "v1", "v1v", "none", "999", "9v"] {
                let is_like = |value: &Option<String>| match value {
                    None => 0,
                    Some(value) => u8::from(value.to_lowercase().contains(&part.to_lowercase())),
                };
                let expected: Vec<u8> = values.iter().map(is_like).collect();
                assert_eq!(
                    dictionary.containing(part, text).as_ref(),
                    expected,
                    "{part} of {count}"
                );
            }
        }
    }
}

#[test]
fn values_have_the_order_of_their_ranks_and_one_code_each() {
    let mut dictionary = Dictionary::default();
    let first: Vec<u32> = ["b", "", "a", "b"]
        .map(|value| dictionary.intern(value.as_bytes()))
        .into();
    assert_eq!(first, [1, 2, 3, 1]);
    dictionary.sort();
    let later: Vec<u32> = ["aa", "b", ""]
        .map(|value| dictionary.intern(value.as_bytes()))
        .into();
    assert_eq!(later, [4, 1, 2]);
    assert_eq!(dictionary.ranks(), [0, 4, 1, 2, 3]);
    assert_eq!(dictionary.code(b"aa"), Some(4));
    assert_eq!(dictionary.code(b"none"), None);
    assert_eq!(dictionary.value(3), Some(b"a".as_slice()));
    assert_eq!(dictionary.value(0), None);
}

#[test]
fn values_have_one_text_by_which_they_are_found() {
    for (value, text) in [
        (FieldValue::Number(7), "7"),
        (FieldValue::Flag(true), "true"),
        (FieldValue::Flag(false), "false"),
        (
            FieldValue::Id(uuid::Uuid::from_u128(5)),
            "00000000-0000-0000-0000-000000000005",
        ),
        (FieldValue::Time(Timestamp(0)), "1970-01-01T00:00:00.000000"),
        (FieldValue::Text("x"), "x"),
    ] {
        let of = match value {
            FieldValue::Number(_) => Type::Number,
            FieldValue::Flag(_) => Type::Flag,
            FieldValue::Id(_) => Type::Id,
            FieldValue::Time(_) => Type::Time,
            _ => Type::Text,
        };
        let bytes = ordered(&value).unwrap();
        assert_eq!(of.text(&bytes), text);
        assert_eq!(of.value(text), Some(bytes));
    }
    for (of, text) in [
        (Type::Number, "07"),
        (Type::Number, "x"),
        (Type::Flag, "True"),
        (Type::Id, "00000000000000000000000000000005"),
        (Type::Time, "1970-01-01"),
    ] {
        assert_eq!(of.value(text), None, "{text}");
    }
}

fn key(volume: &Volume) -> Key {
    Volume::key_of(volume.created_at, volume.id.0)
}

fn entry(volume: &Volume) -> Entry {
    Entry {
        value: encode(volume).unwrap().into(),
        revision: Revision(1),
    }
}

/// The keys of what was found; entries, if there are any, are those of the records.
fn keys_of(found: Found) -> Vec<Key> {
    match found {
        Found::Keys(keys) => keys,
        Found::Entries(entries) => {
            let same = |(found, entry): (Key, Entry)| {
                assert_eq!(key(&decode::<Volume>(&entry.value).unwrap()), found);
                found
            };
            entries.into_iter().map(same).collect()
        }
    }
}

fn keys_by(volumes: &[&Volume]) -> Vec<Key> {
    volumes.iter().map(|volume| key(volume)).collect()
}

fn listed(
    table: &mut Table<Volume>,
    sort: &[(VolumeField, Direction)],
    filters: &[VolumeFilter],
) -> Vec<Key> {
    keys_of(table.select(sort, filters, None, 0, usize::MAX).found)
}

#[test]
fn more_values_than_a_byte_has_are_sorted_filtered_and_paged() {
    let volumes: Vec<Volume> = (0..700_u32)
        .map(|number| volume("p", &format!("n{}", number * 7_919 % 700), number % 300))
        .collect();
    let mut table = Table::new();
    let (filled, put) = volumes.split_at(500);
    filled
        .iter()
        .for_each(|volume| table.fill(volume, &entry(volume)));
    table.is_filled();
    put.iter().for_each(|volume| table.put(volume, &entry(volume)));
    let mut sorted: Vec<&Volume> = volumes.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let by_name = [(VolumeField::Name, Direction::Ascending)];
    assert_eq!(listed(&mut table, &by_name, &[]), keys_by(&sorted));
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let selected = table.select(&by_name, &[], after.as_ref(), 0, 33);
        paged.extend(keys_of(selected.found));
        after = selected.last;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, keys_by(&sorted));
    table.forget_records();
    assert_eq!(listed(&mut table, &by_name, &[]), keys_by(&sorted));
    let of_size = VolumeFilter::Is(VolumeField::Size, vec!["299".to_owned(), "0".to_owned()]);
    sorted.retain(|volume| volume.size == 299 || volume.size == 0);
    assert_eq!(table.count(std::slice::from_ref(&of_size)), sorted.len());
    assert_eq!(listed(&mut table, &by_name, &[of_size]), keys_by(&sorted));
}

#[test]
fn a_row_is_used_again_and_a_table_that_was_changed_too_often_is_worn() {
    let mut table = Table::new();
    let kept = volume("p", "kept", 1);
    table.fill(&kept, &entry(&kept));
    table.is_filled();
    let kept_entry = entry(&kept);
    let before = table.memory();
    for number in 0..200_u32 {
        let other = volume("p", "other", number);
        table.put(&other, &entry(&other));
        let renamed = Volume {
            description: Some("described".to_owned()),
            ..other.clone()
        };
        table.put(&renamed, &entry(&renamed));
        let described = VolumeFilter::Is(VolumeField::Description, vec!["described".to_owned()]);
        assert_eq!(listed(&mut table, &[], &[described]), [key(&renamed)]);
        table.remove(other.id.0);
        table.remove(other.id.0);
    }
    assert_eq!(listed(&mut table, &[], &[]), [key(&kept)]);
    assert!(table.memory() < before + 20_000, "{}", table.memory());
    assert!(!table.is_worn());
    for number in 0..70_000_u32 {
        let changed = Volume {
            metadata: BTreeMap::from([("n".to_owned(), number.to_string())]),
            ..kept.clone()
        };
        table.put(&changed, &kept_entry);
    }
    assert!(table.is_worn());
}
