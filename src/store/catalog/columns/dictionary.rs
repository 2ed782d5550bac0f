//! The distinct values of a column, as bytes whose order is that of the values. A value has a number, its *code*, which never changes.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memmem::Finder;

/// The code of a missing value, which sorts before all others.
pub(super) const MISSING: u32 = 0;

/// Values of up to so many are compared one by one with a part of a text; of more, their text is kept in one piece.
const FEW: usize = 4_096;

/// How many searches are remembered.
const REMEMBERED: usize = 4;

/// Between texts that are searched at once: no UTF-8 text has this byte.
const BETWEEN: u8 = 0xff;

/// Distinct values and their codes.
#[derive(Default)]
pub(super) struct Dictionary {
    /// All values, one after the other.
    bytes: Vec<u8>,
    /// The end of each value; the first is that of code 1.
    ends: Vec<u32>,
    codes: Codes,
    searches: Searches,
}

/// How the code of a value is found.
enum Codes {
    /// While many values are added.
    Filling(HashMap<Box<[u8]>, u32>),
    /// The codes in the order of their values.
    Sorted(Vec<u32>),
}

impl Default for Codes {
    fn default() -> Self {
        Self::Filling(HashMap::new())
    }
}

impl Dictionary {
    /// The number of codes, with that of missing values.
    pub(super) fn len(&self) -> usize {
        self.ends.len() + 1
    }

    /// The value of a code; nothing for a missing value.
    pub(super) fn value(&self, code: u32) -> Option<&[u8]> {
        let at = (code as usize).checked_sub(1)?;
        let begin = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.ends[before],
        };
        Some(&self.bytes[begin as usize..self.ends[at] as usize])
    }

    /// All values, by their codes from 1.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        (1..=self.ends.len()).filter_map(|code| self.value(number(code)))
    }

    /// The code of a value, if any row had it.
    pub(super) fn code(&self, value: &[u8]) -> Option<u32> {
        match &self.codes {
            Codes::Filling(codes) => codes.get(value).copied(),
            Codes::Sorted(sorted) => self.position(sorted, value).ok().map(|at| sorted[at]),
        }
    }

    /// The code of a value, which is added if it is new.
    pub(super) fn intern(&mut self, value: &[u8]) -> u32 {
        let next = number(self.len());
        match &mut self.codes {
            Codes::Filling(codes) => {
                if let Some(code) = codes.get(value) {
                    return *code;
                }
                codes.insert(value.into(), next);
            }
            Codes::Sorted(sorted) => {
                let sorted = std::mem::take(sorted);
                let found = self.position(&sorted, value);
                let Codes::Sorted(kept) = &mut self.codes else {
                    return MISSING;
                };
                *kept = sorted;
                match found {
                    Ok(at) => return kept[at],
                    Err(at) => kept.insert(at, next),
                }
            }
        }
        self.bytes.extend_from_slice(value);
        self.ends.push(number(self.bytes.len()));
        next
    }

    /// Sorts the values, after many were added.
    pub(super) fn sort(&mut self) {
        if let Codes::Filling(_) = &self.codes {
            let mut sorted: Vec<u32> = (1..number(self.len())).collect();
            sorted.sort_unstable_by(|a, b| self.value(*a).cmp(&self.value(*b)));
            self.codes = Codes::Sorted(sorted);
            self.bytes.shrink_to_fit();
            self.ends.shrink_to_fit();
        }
    }

    /// The rank of each code in the order of values, by code.
    pub(super) fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.len()];
        if let Codes::Sorted(sorted) = &self.codes {
            for (rank, code) in (1..).zip(sorted) {
                ranks[*code as usize] = rank;
            }
        }
        ranks
    }

    /// By code: 1 if the text of its value contains this, in lower case.
    pub(super) fn containing<'t>(
        &'t mut self,
        part: &str,
        text: impl Fn(&'t [u8]) -> Cow<'t, str>,
    ) -> Cow<'t, [u8]> {
        let part = part.to_lowercase();
        if self.len() <= FEW {
            let contains = |value| u8::from(text(value).to_lowercase().contains(&part));
            return std::iter::once(0)
                .chain(self.values().map(contains))
                .collect::<Vec<_>>()
                .into();
        }
        let Self {
            bytes,
            ends,
            searches,
            ..
        } = self;
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let values = begins
            .zip(ends.iter())
            .map(|(begin, end)| &bytes[begin as usize..*end as usize]);
        searches.add(values, text);
        Cow::Borrowed(searches.find(part))
    }

    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        let codes = match &self.codes {
            // A slot, and the value once more.
            Codes::Filling(codes) => codes.capacity() * 32 + self.bytes.len(),
            Codes::Sorted(sorted) => sorted.capacity() * 4,
        };
        self.bytes.capacity() + self.ends.capacity() * 4 + codes + self.searches.memory()
    }

    fn position(&self, sorted: &[u32], value: &[u8]) -> Result<usize, usize> {
        sorted.binary_search_by(|code| self.value(*code).unwrap_or_default().cmp(value))
    }
}

/// A number of codes, rows or bytes; a table that has more is not kept.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The texts of values in lower case, in one piece, and the last searches in it.
#[derive(Default)]
struct Searches {
    texts: Vec<u8>,
    /// The end of each text, which begins with a [`BETWEEN`].
    ends: Vec<usize>,
    /// What was searched for, and what was found: by code, for as many codes as there were then.
    done: Vec<(String, Vec<u8>)>,
}

impl Searches {
    /// Adds the texts of values that are new.
    fn add<'v>(&mut self, values: impl Iterator<Item = &'v [u8]>, text: impl Fn(&'v [u8]) -> Cow<'v, str>) {
        for value in values.skip(self.ends.len()) {
            self.texts.push(BETWEEN);
            self.texts
                .extend_from_slice(text(value).to_lowercase().as_bytes());
            self.ends.push(self.texts.len());
        }
    }

    fn find(&mut self, part: String) -> &[u8] {
        let known = self.done.iter().position(|(done, _)| *done == part);
        let (part, mut found) = match known {
            Some(at) => self.done.remove(at),
            None => (part, vec![0]),
        };
        let mut text = found.len() - 1;
        found.resize(self.ends.len() + 1, u8::from(part.is_empty()));
        let finder = Finder::new(&part);
        let mut from = text.checked_sub(1).map_or(0, |before| self.ends[before]);
        while !part.is_empty()
            && let Some(at) = finder.find(&self.texts[from..])
        {
            while self.ends[text] <= from + at {
                text += 1;
            }
            from = self.ends[text];
            text += 1;
            found[text] = 1;
        }
        if self.done.len() >= REMEMBERED {
            self.done.remove(0);
        }
        self.done.push((part, found));
        self.done
            .last()
            .map(|(_, found)| found.as_slice())
            .unwrap_or_default()
    }

    fn memory(&self) -> usize {
        let found: usize = self.done.iter().map(|(_, found)| found.capacity()).sum();
        self.texts.capacity() + self.ends.capacity() * 8 + found
    }
}
