//! Layers of configuration: a file, above it the environment, above it the command line. The highest layer with a key
//! determines its value; the defaults are the lowest layer.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::fault::{Origin, nearest};
use super::reading::{Leaf, Notes, Place, Section, leaves};

/// The prefix of Pumice's environment variables, which have a double underscore between section and key.
pub(super) const PREFIX: &str = "PUMICE_";
const BACKEND: &str = "backend";

/// All given values, by section and key, of the highest layer.
#[derive(Debug, Default)]
pub(super) struct Layers<'t> {
    sections: BTreeMap<String, BTreeMap<String, Leaf<'t>>>,
    pub(super) backends: BTreeMap<String, BTreeMap<String, Leaf<'t>>>,
}

impl<'t> Layers<'t> {
    /// Adds a file as the next layer. TOML errors are recorded, and `false` is returned; the readable part is kept.
    pub(super) fn add_file(
        &mut self,
        path: &'t str,
        text: &'t str,
        known: &[&str],
        notes: &mut Notes,
    ) -> bool {
        let place = Place::File { path, text };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let origin = place.origin(error.span().map_or(0, |span| span.start));
            notes.fault(origin, "", error.message().replace('\n', ", "));
        }
        for (name, value) in document.into_inner() {
            let origin = place.origin(name.span().start);
            let name = name.into_inner().into_owned();
            let at = value.span();
            match value.into_inner() {
                DeValue::Table(table) if name == BACKEND => self.add_backends(table, &place, notes),
                DeValue::Table(table) if known.contains(&name.as_str()) => {
                    self.add_section(&name, table, &place, known, notes);
                }
                _ if known.contains(&name.as_str()) || name == BACKEND => {
                    let problem = format!("is a section: write [{name}]");
                    notes.fault(place.origin(at.start), name, problem);
                }
                _ => unknown_section(origin, &name, known, notes),
            }
        }
        errors.is_empty()
    }

    /// Adds the values of a section, and those of the sections within it.
    fn add_section(
        &mut self,
        name: &str,
        table: DeTable<'t>,
        place: &Place<'t>,
        known: &[&str],
        notes: &mut Notes,
    ) {
        for (key, leaf) in leaves(table, place) {
            let within = format!("{name}.{key}");
            if !known.contains(&within.as_str()) {
                let section = self.sections.entry(name.to_owned()).or_default();
                section.insert(key, leaf);
                continue;
            }
            let origin = leaf.origin();
            match leaf.value.into_inner() {
                DeValue::Table(table) => {
                    let section = self.sections.entry(within).or_default();
                    section.extend(leaves(table, place));
                }
                _ => notes.fault(origin, within.clone(), format!("is a section: write [{within}]")),
            }
        }
    }

    fn add_backends(&mut self, table: DeTable<'t>, place: &Place<'t>, notes: &mut Notes) {
        for (name, value) in table {
            let origin = place.origin(name.span().start);
            let name = name.into_inner().into_owned();
            let key = format!("{BACKEND}.{name}");
            if !is_backend_name(&name) {
                let problem =
                    "is no name for a backend: write small letters, digits, '-' and '_', a letter first";
                notes.fault(origin, key, problem);
                continue;
            }
            match value.into_inner() {
                DeValue::Table(table) => {
                    notes.origins.insert(key, origin);
                    let backend = self.backends.entry(name).or_default();
                    backend.extend(leaves(table, place));
                }
                _ => notes.fault(origin, key.clone(), format!("is a section: write [{key}]")),
            }
        }
    }

    /// Adds an environment variable as the next layer. Variables without the prefix are ignored.
    pub(super) fn add_variable(&mut self, name: &str, value: &'t str, known: &[&str], notes: &mut Notes) {
        let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
            return;
        };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        let place = Place::Environment(name.to_owned());
        let leaf = Leaf::text(value, place.clone());
        if section == BACKEND {
            match key.split_once("__") {
                Some((backend, key)) => {
                    // A variable's name cannot have a '-': `MY_FILE` means `my-file` if that exists.
                    let mut names = self.backends.keys();
                    let named = names.find(|name| name.replace('-', "_") == backend);
                    let backend = named.cloned().unwrap_or_else(|| backend.to_owned());
                    let values = self.backends.entry(backend).or_default();
                    values.insert(key.to_owned(), leaf);
                }
                None => {
                    let problem = format!("names no key: write {PREFIX}BACKEND__<NAME>__<KEY>");
                    notes.fault(place.origin(0), BACKEND, problem);
                }
            }
        } else if known.contains(&section.as_str()) {
            let within = key
                .split_once("__")
                .map(|(first, rest)| (format!("{section}.{first}"), rest.to_owned()))
                .filter(|(within, _)| known.contains(&within.as_str()));
            let (section, key) = within.unwrap_or((section, key));
            self.sections.entry(section).or_default().insert(key, leaf);
        } else {
            unknown_section(place.origin(0), &section, known, notes);
        }
    }

    /// Adds an option of the command line as the next layer.
    pub(super) fn add_flag(&mut self, flag: &str, section: &str, key: &str, value: &'t str) {
        let leaf = Leaf::text(value, Place::Flag(flag.to_owned()));
        let values = self.sections.entry(section.to_owned()).or_default();
        values.insert(key.to_owned(), leaf);
    }

    /// Removes and returns a section's values.
    pub(super) fn take(&mut self, name: &str) -> Section<'t> {
        Section {
            path: name.to_owned(),
            values: self.sections.remove(name).unwrap_or_default(),
        }
    }
}

fn unknown_section(origin: Origin, name: &str, known: &[&str], notes: &mut Notes) {
    let meant = nearest(name, known.iter().copied().chain([BACKEND]));
    let problem = match meant {
        Some(meant) => format!("is no known section; did you mean '{meant}'?"),
        None => format!(
            "is no known section; known are {}, backend.<name>",
            known.join(", ")
        ),
    };
    notes.fault(origin, name, problem);
}

fn is_backend_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        && name.len() <= 64
}
