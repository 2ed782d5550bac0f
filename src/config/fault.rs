//! The faults of a configuration, each with its place, so that all can be corrected at once.

use std::fmt;

/// Where a value is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file, on that line (from 1).
    File {
        /// The name of the file.
        path: String,
        /// The line; `None` if the fault concerns the whole file.
        line: Option<usize>,
    },
    /// In an environment variable.
    Environment(String),
    /// By an option of the command line.
    Flag(String),
    /// The value is the default, or missing.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{path}:{line}"),
            Self::File { path, line: None } => f.write_str(path),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "option {flag}"),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// One fault: its place, its key, what is wrong and what is valid. It never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the value is given.
    pub origin: Origin,
    /// The key (`web.listen`), the section, or empty for the whole file.
    pub key: String,
    /// What is wrong, and what is valid.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.problem)
        } else {
            write!(f, "{}: {}: {}", self.origin, self.key, self.problem)
        }
    }
}

/// All faults of a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The known name that is most similar to `text`: at most a third of its letters differ.
pub(super) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|name| (edits(text, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min()
        .map(|(_, name)| name)
}

/// The number of letters to insert, delete, change or swap with their neighbour (optimal string alignment).
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut table = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = table[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let least = changed.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    least.min(table[i - 2][j - 2] + 1)
                } else {
                    least
                }
            };
        }
    }
    table[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("wbe", "web"), 1);
        assert_eq!(nearest("lisen", ["workers", "listen"]), Some("listen"));
        assert_eq!(
            nearest("max_body_siz", ["max_body_size", "max_page_size"]),
            Some("max_body_size")
        );
        assert_eq!(nearest("colour", ["workers", "listen"]), None);
    }
}
