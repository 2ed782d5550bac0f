//! Policy files: YAML, with a check for each rule that is not as by default, in the syntax of oslo.policy.
//!
//! A file with a fault is refused as a whole, because oslo.policy denies everyone what it cannot read. What has no effect is a warning.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::Rule;
use super::check::Check;
use super::parse::parse;
use super::rules::{NAMED, cinder_rules, role_rule};

/// The largest file, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// What checks may use of a resource. Its owner is not known where rules are checked. No resource belongs to a domain, but a named
/// check of Cinder asks for it.
const TARGET_KEYS: [&str; 2] = ["project_id", "domain_id"];

/// The checks of a file, and the named ones of Cinder that it does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFile {
    /// All checks by name.
    pub checks: BTreeMap<String, Check>,
    /// The names in the file.
    own: BTreeSet<String>,
    /// The names of checks that are in the file, or refer to one that is.
    changed: BTreeSet<String>,
    /// What has no effect.
    pub warnings: Vec<String>,
}

impl PolicyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Vec<String>> {
        let io = |error: std::io::Error| vec![format!("{}: {error}", path.display())];
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(io)?;
        file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(io)?;
        if text.len() as u64 > MOST_BYTES {
            return Err(vec![format!(
                "{}: larger than {MOST_BYTES} bytes",
                path.display()
            )]);
        }
        let named = |faults: Vec<String>| {
            let faults = faults.into_iter();
            faults
                .map(|fault| format!("{}: {fault}", path.display()))
                .collect()
        };
        Self::parse(&text).map_err(named)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let is_empty = text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let rules: BTreeMap<String, Value> = match is_empty {
            true => BTreeMap::new(),
            false => serde_saphyr::from_str(text)
                .map_err(|error| vec![format!("no YAML with a check for each rule: {error}")])?,
        };
        let mut read = Self::default();
        let mut faults = Vec::new();
        for (name, rule) in &rules {
            match parse(rule) {
                Ok(check) => {
                    read.checks.insert(name.clone(), check);
                    read.own.insert(name.clone());
                }
                Err(why) => faults.push(format!("{name}: {why}")),
            }
        }
        for (name, text) in NAMED {
            if let Ok(check) = parse(&Value::from(text)) {
                read.checks.entry(name.to_owned()).or_insert(check);
            }
        }
        for rule in cinder_rules() {
            let default = || Check::Rule(role_rule(rule.level).to_owned());
            read.checks.entry(rule.name.to_owned()).or_insert_with(default);
        }
        faults.extend(read.circles());
        faults.extend(read.unknown_keys());
        read.changed = read.names_that_reach_the_file();
        read.warnings = read.without_effect();
        match faults.is_empty() {
            true => Ok(read),
            false => Err(faults),
        }
    }

    /// The check that the file has for this name.
    pub(super) fn own_check(&self, name: &str) -> Option<&Check> {
        self.checks.get(name).filter(|_| self.own.contains(name))
    }

    /// Whether the file decides about a rule: by a check of its own, or by one that the rule's check refers to.
    pub(super) fn changes(&self, rule: Rule) -> bool {
        let name = match self.checks.contains_key(rule.name) {
            true => rule.name,
            false => role_rule(rule.level),
        };
        self.changed.contains(name)
    }

    /// The names that the check of this name refers to. `default` stands for those that do not exist.
    fn references(&self, name: &str) -> Vec<&str> {
        let mut names = Vec::new();
        if let Some(check) = self.checks.get(name) {
            names_in(check, &mut names);
        }
        let existing = |name| match self.checks.contains_key(name) {
            false if self.checks.contains_key("default") => "default",
            _ => name,
        };
        names.into_iter().map(existing).collect()
    }

    /// All names that the check of this name refers to, directly or by way of others.
    fn all_references<'a>(&'a self, name: &str) -> BTreeSet<&'a str> {
        let (mut seen, mut ahead) = (BTreeSet::new(), self.references(name));
        while let Some(name) = ahead.pop() {
            if seen.insert(name) {
                ahead.extend(self.references(name));
            }
        }
        seen
    }

    fn names_that_reach_the_file(&self) -> BTreeSet<String> {
        let is_own = |name: &str| self.own.contains(name);
        let reaches = |name: &&String| is_own(name) || self.all_references(name).into_iter().any(is_own);
        self.checks.keys().filter(reaches).cloned().collect()
    }

    /// Rules that refer to themselves, by way of others: they would be evaluated without an end.
    fn circles(&self) -> Vec<String> {
        let own = self
            .own
            .iter()
            .filter(|name| self.all_references(name).contains(name.as_str()));
        own.map(|name| format!("{name}: it refers to itself")).collect()
    }

    fn unknown_keys(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for name in &self.own {
            let mut keys = BTreeSet::new();
            if let Some(check) = self.checks.get(name) {
                keys_in(check, &mut keys);
            }
            let unknown = keys.into_iter().filter(|key| !TARGET_KEYS.contains(key));
            faults.extend(
                unknown
                    .map(|key| format!("{name}: only %(project_id)s is known of a resource, not %({key})s")),
            );
        }
        faults
    }

    fn without_effect(&self) -> Vec<String> {
        let mut known: BTreeSet<&str> = cinder_rules().map(|rule| rule.name).collect();
        known.extend(NAMED.map(|(name, _)| name));
        known.insert("default");
        let mut used = Vec::new();
        for check in self.checks.values() {
            names_in(check, &mut used);
        }
        let unused = self
            .own
            .iter()
            .filter(|name| !known.contains(name.as_str()) && !used.contains(&name.as_str()));
        let mut warnings: Vec<String> = unused
            .map(|name| format!("{name}: no rule of this service, and no check refers to it"))
            .collect();
        let missing: BTreeSet<&str> = used
            .iter()
            .copied()
            .filter(|name| !self.checks.contains_key(*name))
            .collect();
        if !self.checks.contains_key("default") {
            warnings.extend(
                missing
                    .into_iter()
                    .map(|name| format!("rule:{name}: there is no such rule, so nobody passes it")),
            );
        }
        warnings
    }
}

/// The names of rules that a check refers to.
fn names_in<'a>(check: &'a Check, names: &mut Vec<&'a str>) {
    match check {
        Check::Rule(name) => names.push(name),
        Check::Not(check) => names_in(check, names),
        Check::And(checks) | Check::Or(checks) => checks.iter().for_each(|check| names_in(check, names)),
        Check::True | Check::False | Check::Role(_) | Check::Equal(..) => {}
    }
}

/// The keys of the target that a check uses.
fn keys_in<'a>(check: &'a Check, keys: &mut BTreeSet<&'a str>) {
    match check {
        Check::Role(pattern) | Check::Equal(_, pattern) => keys.extend(pattern.keys()),
        Check::Not(check) => keys_in(check, keys),
        Check::And(checks) | Check::Or(checks) => checks.iter().for_each(|check| keys_in(check, keys)),
        Check::True | Check::False | Check::Rule(_) => {}
    }
}

#[cfg(test)]
mod tests;
