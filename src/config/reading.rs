//! Reads sections key by key, so that one bad value does not hide the next.
//!
//! `serde` stops at the first fault of a document. Here each key is deserialized on its own; a fault is recorded with
//! its place, the default is used, and reading continues. A key without a field is unknown, which is a fault, too.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Origin, nearest};
use super::units::{ByteSize, Duration};
use crate::model::IpNetwork;
use crate::model::volume::Secret;

/// The place of a value, from which its line is determined.
#[derive(Clone, Debug)]
pub(super) enum Place<'t> {
    File { path: &'t str, text: &'t str },
    Environment(String),
    Flag(String),
}

impl Place<'_> {
    pub(super) fn origin(&self, offset: usize) -> Origin {
        match self {
            Self::File { path, text } => {
                let before = text.get(..offset).unwrap_or(text);
                let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
                Origin::File {
                    path: (*path).to_owned(),
                    line: Some(line),
                }
            }
            Self::Environment(name) => Origin::Environment(name.clone()),
            Self::Flag(flag) => Origin::Flag(flag.clone()),
        }
    }
}

/// A value and where it is given.
#[derive(Clone, Debug)]
pub(super) struct Leaf<'t> {
    pub(super) value: Spanned<DeValue<'t>>,
    pub(super) place: Place<'t>,
}

impl<'t> Leaf<'t> {
    /// The text of an environment variable or an option: its type depends on the field.
    pub(super) fn text(text: &'t str, place: Place<'t>) -> Self {
        Self {
            value: Spanned::new(0..text.len(), DeValue::String(text.into())),
            place,
        }
    }

    fn is_bare_text(&self) -> bool {
        !matches!(self.place, Place::File { .. })
    }

    pub(super) fn origin(&self) -> Origin {
        self.place.origin(self.value.span().start)
    }
}

/// The values of a table.
pub(super) fn leaves<'t>(table: DeTable<'t>, place: &Place<'t>) -> impl Iterator<Item = (String, Leaf<'t>)> {
    table.into_iter().map(|(name, value)| {
        let place = place.clone();
        (name.into_inner().into_owned(), Leaf { value, place })
    })
}

/// The values of one section.
#[derive(Clone, Debug)]
pub(super) struct Section<'t> {
    /// `web`, `backend.file`, `auth.users[0]`.
    pub(super) path: String,
    pub(super) values: BTreeMap<String, Leaf<'t>>,
}

/// The faults so far, and where each key is given.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) faults: Vec<Fault>,
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Notes {
    pub(super) fn fault(&mut self, origin: Origin, key: impl Into<String>, problem: impl Into<String>) {
        self.faults.push(Fault {
            origin,
            key: key.into(),
            problem: problem.into(),
        });
    }

    /// Records a value below the least one.
    pub(super) fn at_least<T: PartialOrd + Display>(&mut self, key: &str, value: T, least: T) {
        if value < least {
            self.invalid(&[key], format!("must be at least {least}"));
        }
    }

    /// Records a value outside of its range.
    pub(super) fn within<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            let problem = format!("must be from {} to {}", range.start(), range.end());
            self.invalid(&[key], problem);
        }
    }

    /// Records a semantic fault of `keys[0]`. Ignored if one of the keys has a fault already, since its value is then
    /// the default.
    pub(super) fn invalid(&mut self, keys: &[&str], problem: impl Into<String>) {
        let known = |key: &str| self.faults.iter().any(|fault| fault.key.starts_with(key));
        if let Some(key) = keys.first().filter(|_| !keys.iter().any(|key| known(key))) {
            let origin = self.origins.get(*key).cloned().unwrap_or(Origin::Default);
            self.fault(origin, *key, problem);
        }
    }
}

/// A type of keys.
pub(super) trait Setting: Sized {
    /// The description of valid values, for faults.
    const FORM: &'static str;

    /// Reads a value; faults are added to the notes.
    fn read(leaf: &Leaf<'_>, key: &str, notes: &mut Notes) -> Option<Self>;
}

/// Reads a value by `serde`.
pub(super) fn read_plain<T: DeserializeOwned + Setting>(
    leaf: &Leaf<'_>,
    key: &str,
    notes: &mut Notes,
) -> Option<T> {
    read_as(leaf, key, notes, Ok)
}

/// Reads a value from its text form.
pub(super) fn read_text<T: FromStr<Err: Display> + Setting>(
    leaf: &Leaf<'_>,
    key: &str,
    notes: &mut Notes,
) -> Option<T> {
    read_as(leaf, key, notes, |text: String| {
        text.parse().map_err(serde::de::Error::custom)
    })
}

fn read_as<V: DeserializeOwned, T: Setting>(
    leaf: &Leaf<'_>,
    key: &str,
    notes: &mut Notes,
    convert: impl FnOnce(V) -> Result<T, toml::de::Error>,
) -> Option<T> {
    match V::deserialize(leaf.value.clone().into_deserializer()).and_then(convert) {
        Ok(value) => Some(value),
        Err(error) => {
            let problem = format!("{}; write {}", error.message().trim_end(), T::FORM);
            notes.fault(leaf.origin(), key, problem);
            None
        }
    }
}

/// Types that are read by this function.
macro_rules! settings {
    ($read:ident; $($type:ty: $form:literal),* $(,)?) => {$(
        impl $crate::config::reading::Setting for $type {
            const FORM: &'static str = $form;

            fn read(
                leaf: &$crate::config::reading::Leaf<'_>,
                key: &str,
                notes: &mut $crate::config::reading::Notes,
            ) -> Option<Self> {
                $crate::config::reading::$read(leaf, key, notes)
            }
        }
    )*};
}
pub(super) use settings;

settings! {
    read_plain;
    bool: "true or false",
    u8: "a whole number from 0 to 255",
    u16: "a whole number from 0 to 65535",
    u32: "a whole number such as 3",
    usize: "a whole number such as 2",
    i64: "a whole number such as 10, or -1 for no limit",
    f64: "a number such as 1.0",
    String: "a text in quotes",
    PathBuf: "a path in quotes",
    SocketAddr: "IP:PORT in quotes, such as \"127.0.0.1:8776\"",
    Vec<SocketAddr>: "a list of IP:PORT, such as [\"127.0.0.1:8777\"]",
    Vec<IpNetwork>: "a list of addresses or networks, such as [\"127.0.0.1\", \"10.0.0.0/24\"]",
    Vec<String>: "a list of texts, such as [\"a\", \"b\"]",
    BTreeMap<String, String>: "a table of texts, such as { tier = \"gold\" }",
}

settings! {
    read_text;
    Duration: "a number and a unit out of ms, s, m, h, d, such as \"30s\"",
    ByteSize: "a whole number and a unit out of B, KiB, MiB, GiB, TiB, such as \"16MiB\"",
}

impl Setting for Option<Secret> {
    const FORM: &'static str = "a text in quotes";

    fn read(leaf: &Leaf<'_>, key: &str, notes: &mut Notes) -> Option<Self> {
        // Not by `serde`, whose errors would quote the secret.
        match leaf.value.get_ref() {
            DeValue::String(text) => Some(Some(Secret::new(text.as_ref()))),
            other => {
                let problem = format!("is of type {}; write {}", other.type_str(), Self::FORM);
                notes.fault(leaf.origin(), key, problem);
                None
            }
        }
    }
}

impl Setting for Secret {
    const FORM: &'static str = <Option<Secret>>::FORM;

    fn read(leaf: &Leaf<'_>, key: &str, notes: &mut Notes) -> Option<Self> {
        <Option<Self>>::read(leaf, key, notes).flatten()
    }
}

impl<T: FromSection> Setting for Vec<T> {
    const FORM: &'static str = T::FORM;

    fn read(leaf: &Leaf<'_>, key: &str, notes: &mut Notes) -> Option<Self> {
        let Some(items) = leaf.value.get_ref().as_array() else {
            let kind = leaf.value.get_ref().type_str();
            let problem = format!("is of type {kind}; write a list of {}", Self::FORM);
            notes.fault(leaf.origin(), key, problem);
            return None;
        };
        let mut read = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{key}[{index}]");
            let Some(table) = item.get_ref().as_table() else {
                let origin = leaf.place.origin(item.span().start);
                notes.fault(origin, path, format!("is not a table; write {}", Self::FORM));
                continue;
            };
            let values = leaves(table.clone(), &leaf.place).collect();
            read.push(T::from_section(Section { path, values }, notes));
        }
        Some(read)
    }
}

/// A struct that is read from a section; defined by [`section!`].
pub(super) trait FromSection: Sized + Default {
    /// The notation of one in a list.
    const FORM: &'static str = "a table";
    /// Its keys.
    const KEYS: &'static [&'static str];

    /// Reads a section; unknown keys and invalid values are added to the notes and replaced by defaults.
    fn from_section(section: Section<'_>, notes: &mut Notes) -> Self;
}

impl Section<'_> {
    /// The value of a key, if it is given and valid.
    pub(super) fn take<T: Setting>(&mut self, name: &str, notes: &mut Notes) -> Option<T> {
        let leaf = self.values.remove(name)?;
        let key = format!("{}.{name}", self.path);
        notes.origins.insert(key.clone(), leaf.origin());
        if !leaf.is_bare_text() {
            return T::read(&leaf, &key, notes);
        }
        // `PUMICE_WEB__WORKERS=4` is a number, `PUMICE_NODE__HOST=4` a name, `PUMICE_NODE__ROLES='["control"]'` a list:
        // as text first, then as TOML.
        let mut as_text = Notes::default();
        if let Some(value) = T::read(&leaf, &key, &mut as_text) {
            return Some(value);
        }
        let text = leaf.value.get_ref().as_str().unwrap_or_default();
        match DeValue::parse(text) {
            Ok(value) => {
                let place = leaf.place.clone();
                let read = T::read(&Leaf { value, place }, &key, notes);
                if read.is_none() && !notes.faults.iter().any(|fault| fault.key.starts_with(&key)) {
                    notes.fault(leaf.origin(), key.as_str(), format!("write {}", T::FORM));
                }
                read
            }
            Err(_) if as_text.faults.is_empty() => {
                notes.fault(leaf.origin(), key, format!("cannot be read; write {}", T::FORM));
                None
            }
            Err(_) => {
                notes.faults.append(&mut as_text.faults);
                None
            }
        }
    }

    /// Records the remaining keys as unknown.
    pub(super) fn refuse_rest(self, known: &[&str], notes: &mut Notes) {
        for (name, leaf) in self.values {
            let mut problem = "is no known key".to_owned();
            match nearest(&name, known.iter().copied()) {
                Some(meant) => problem.push_str(&format!("; did you mean '{meant}'?")),
                None => problem.push_str(&format!("; known are {}", known.join(", "))),
            }
            notes.fault(leaf.origin(), format!("{}.{name}", self.path), problem);
        }
    }
}

/// Defines a section's struct: fields with their documentation and default, and its reading.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $name:ident $(as $form:literal)? {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::reading::FromSection for $name {
            $( const FORM: &'static str = $form; )?
            const KEYS: &'static [&'static str] = &[$( stringify!($field) ),*];

            fn from_section(
                mut section: $crate::config::reading::Section<'_>,
                notes: &mut $crate::config::reading::Notes,
            ) -> Self {
                let default = Self::default();
                let read = Self {
                    $( $field: section.take(stringify!($field), notes).unwrap_or(default.$field), )*
                };
                section.refuse_rest(Self::KEYS, notes);
                read
            }
        }
    };
}
pub(super) use section;
