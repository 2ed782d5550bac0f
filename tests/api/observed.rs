//! What Cinder was seen to answer (`tests/api/observed.jsonl`), and whether an answer of ours is the same.
//!
//! Ids, times and the project are placeholders there: `<uuid4>` is the same id wherever it stands, `<time>` any time.

use std::collections::BTreeMap;

use serde_json::Value;

use super::PROJECT;

/// One request and its answer.
pub struct Observed {
    pub line: usize,
    pub section: String,
    pub method: String,
    /// From the root of the server, with `{project_id}`.
    pub path: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub request: Option<Value>,
    pub status: u16,
    pub response: Value,
    pub note: Option<String>,
}

/// All of them, in the order they were made.
pub fn all() -> Vec<Observed> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    include_str!("observed.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .enumerate()
        .map(|(at, line)| Observed {
            line: at + 1,
            section: text(&line["section"]).unwrap(),
            method: text(&line["method"]).unwrap(),
            path: text(&line["path"]).unwrap(),
            version: text(&line["mv"]).unwrap_or_default(),
            headers: line["headers"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), text(value).unwrap()))
                .collect(),
            request: line.get("request").cloned(),
            status: u16::try_from(line["status"].as_u64().unwrap()).unwrap(),
            response: line["response"].clone(),
            note: text(&line["note"]),
        })
        .collect()
}

/// What each placeholder stands for in this run.
#[derive(Default)]
pub struct Names(pub BTreeMap<String, String>);

impl Names {
    /// `<uuid4>` is this.
    pub fn set(&mut self, name: &str, id: &str) {
        self.0.insert(name.to_owned(), id.to_owned());
    }

    /// A text with real ids for placeholders; what is not known yet stays.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = text.replace("{project_id}", PROJECT);
        for (name, id) in &self.0 {
            filled = filled.replace(name.as_str(), id);
        }
        filled
    }

    pub fn fill_json(&self, value: &Value) -> Value {
        serde_json::from_str(&self.fill(&value.to_string())).unwrap()
    }

    /// Where ours is not what was seen; learns what unknown placeholders stand for.
    pub fn differences(&mut self, seen: &Value, ours: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.compare("", seen, ours, &mut found);
        found
    }

    fn compare(&mut self, at: &str, seen: &Value, ours: &Value, found: &mut Vec<String>) {
        match (seen, ours) {
            (Value::Object(seen), Value::Object(ours)) => {
                for (key, seen) in seen {
                    match ours.get(key) {
                        Some(ours) => self.compare(&format!("{at}/{key}"), seen, ours, found),
                        None => found.push(format!("{at}/{key} is missing")),
                    }
                }
                for key in ours.keys().filter(|key| !seen.contains_key(*key)) {
                    found.push(format!("{at}/{key} is extra"));
                }
            }
            (Value::Array(seen), Value::Array(ours)) => {
                if seen.len() != ours.len() {
                    found.push(format!("{at} has {} entries, not {}", ours.len(), seen.len()));
                }
                for (index, (seen, ours)) in seen.iter().zip(ours).enumerate() {
                    self.compare(&format!("{at}/{index}"), seen, ours, found);
                }
            }
            (Value::String(seen), Value::String(ours)) => {
                if !self.is(seen, ours) {
                    found.push(format!("{at}: {ours:?}, not {:?}", self.fill(seen)));
                }
            }
            _ if seen == ours || seen.as_f64().is_some_and(|seen| Some(seen) == ours.as_f64()) => {}
            _ => found.push(format!("{at}: {ours}, not {seen}")),
        }
    }

    fn is(&mut self, seen: &str, ours: &str) -> bool {
        let filled = self.fill(seen);
        if filled == ours {
            return true;
        }
        let is_time = |text: &str| text.len() >= 19 && text.as_bytes()[10] == b'T';
        if let Some(zone) = filled.strip_prefix("<time>") {
            return is_time(ours) && ours.ends_with(zone);
        }
        if filled == "..." {
            return true;
        }
        let Some(begin) = filled.find("<uuid") else {
            return false;
        };
        let Some(length) = filled[begin..].find('>') else {
            return false;
        };
        let name = filled[begin..=begin + length].to_owned();
        let Some(id) = ours
            .get(begin..begin + 36)
            .filter(|id| uuid::Uuid::try_parse(id).is_ok())
        else {
            return false;
        };
        let id = id.to_owned();
        if self.0.values().any(|known| *known == id) {
            return false;
        }
        self.set(&name, &id);
        self.fill(seen) == ours
    }
}
