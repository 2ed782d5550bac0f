//! Checks of policy rules, as oslo.policy evaluates them (oslo.policy: `oslo_policy/_checks.py`).
//!
//! What it cannot evaluate it denies, where oslo.policy fails the request: a key that the target does not have, a value that is no
//! literal.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::web::schema::python;

/// A check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `@`, or an empty text: everyone.
    True,
    /// `!`: nobody.
    False,
    /// `not`.
    Not(Box<Check>),
    /// `and`: all of these.
    And(Vec<Check>),
    /// `or`: one of these.
    Or(Vec<Check>),
    /// `rule:NAME`: the check of that name.
    Rule(String),
    /// `role:NAME`: a role of the caller, without regard to case.
    Role(Pattern),
    /// `KIND:MATCH`: a literal, or a value of the caller, is this.
    Equal(Subject, Pattern),
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This text: of a literal such as `None` or `'member'`.
    Literal(String),
    /// A value of the caller, by keys: `user.domain.id`. If it is a list, one of its values.
    Caller(Vec<String>),
}

/// A text with values of the target: `%(project_id)s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(pub Vec<Part>);

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// The target's value of this key.
    Target(String),
}

impl Pattern {
    /// The text for a target; `None` if it does not have one of the keys.
    fn fill(&self, target: &Map<String, Value>) -> Option<String> {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Target(key) => target.get(key).map(python::text),
        });
        parts.collect()
    }

    /// The keys of the target that it uses.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Target(key) => Some(key.as_str()),
            Part::Text(_) => None,
        })
    }
}

/// Checks by name, and what is asked of them.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The checks. One that does not exist is that of `default`; if there is none, nobody passes.
    pub rules: &'a BTreeMap<String, Check>,
    /// Values of the resource.
    pub target: &'a Map<String, Value>,
    /// Values of the caller; `roles` is a list.
    pub caller: &'a Map<String, Value>,
}

impl Question<'_> {
    /// Whether the caller passes the rule of this name.
    pub fn passes_rule(self, name: &str) -> bool {
        let check = self.rules.get(name).or_else(|| self.rules.get("default"));
        check.is_some_and(|check| self.passes(check))
    }

    /// Whether the caller passes a check. Rules that refer to each other in a circle are refused when they are read.
    pub fn passes(self, check: &Check) -> bool {
        match check {
            Check::True => true,
            Check::False => false,
            Check::Not(check) => !self.passes(check),
            Check::And(checks) => checks.iter().all(|check| self.passes(check)),
            Check::Or(checks) => checks.iter().any(|check| self.passes(check)),
            Check::Rule(name) => self.passes_rule(name),
            Check::Role(pattern) => pattern.fill(self.target).is_some_and(|role| self.has_role(&role)),
            Check::Equal(subject, pattern) => pattern.fill(self.target).is_some_and(|wanted| match subject {
                Subject::Literal(text) => *text == wanted,
                Subject::Caller(keys) => match keys.split_first() {
                    Some((first, rest)) => self
                        .caller
                        .get(first)
                        .is_some_and(|value| has(value, rest, &wanted)),
                    None => false,
                },
            }),
        }
    }

    fn has_role(self, wanted: &str) -> bool {
        let roles = self.caller.get("roles").and_then(Value::as_array);
        let mut roles = roles.into_iter().flatten().filter_map(Value::as_str);
        roles.any(|role| role.to_lowercase() == wanted.to_lowercase())
    }
}

fn has(value: &Value, keys: &[String], wanted: &str) -> bool {
    match (value, keys.split_first()) {
        (Value::Array(values), _) => values.iter().any(|value| has(value, keys, wanted)),
        (value, None) => python::text(value) == wanted,
        (value, Some((key, rest))) => value.get(key).is_some_and(|value| has(value, rest, wanted)),
    }
}
