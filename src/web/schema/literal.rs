//! Python literals: list filters such as `metadata={'k':'v'}` or `status=['error','available']` have Python's syntax,
//! because Cinder reads them with `ast.literal_eval`.
//!
//! Only types that are useful in a filter are read: texts, numbers, booleans, `None`, lists, tuples and dicts.
//! Everything else is plain text, as in Cinder.

use std::collections::BTreeMap;

/// A literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// `None`
    None,
    /// A text, number or boolean, as text (`'a'` → `a`, `True` → `true`, `1` → `1`).
    Scalar(String),
    /// A list, tuple or set.
    List(Vec<Literal>),
    /// A dict whose keys are scalars.
    Dict(BTreeMap<String, Literal>),
}

/// The deepest nesting; deeper literals are plain text. No filter nests deeper than two.
const MAX_DEPTH: usize = 8;

/// Reads a literal; `None` if the text is not a literal.
pub fn read(text: &str) -> Option<Literal> {
    let mut reader = Reader {
        rest: text.trim(),
        depth: 0,
    };
    let literal = reader.value()?;
    reader.skip_blanks();
    reader.rest.is_empty().then_some(literal)
}

impl Literal {
    /// A dict of scalars; `None` if it is something else.
    pub fn into_text_map(self) -> Option<BTreeMap<String, String>> {
        let Self::Dict(dict) = self else { return None };
        dict.into_iter()
            .map(|(key, value)| match value {
                Self::Scalar(text) => Some((key, text)),
                _ => None,
            })
            .collect()
    }
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Literal> {
        self.skip_blanks();
        match self.rest.chars().next()? {
            '{' => self.nested(Self::braces),
            '[' => self.nested(|reader| reader.items(']')),
            '(' => self.nested(|reader| reader.items(')')),
            quote @ ('\'' | '"') => self.quoted(quote).map(Literal::Scalar),
            'u' if self.rest[1..].starts_with(['\'', '"']) => {
                let quote = self.rest[1..].chars().next()?;
                self.rest = &self.rest[1..];
                self.quoted(quote).map(Literal::Scalar)
            }
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Literal>) -> Option<Literal> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        self.rest = &self.rest[1..];
        let literal = read(self);
        self.depth -= 1;
        literal
    }

    fn items(&mut self, close: char) -> Option<Literal> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.value()?);
            if !self.take(',') {
                return self.take(close).then_some(Literal::List(items));
            }
        }
        Some(Literal::List(items))
    }

    /// A dict, or a set.
    fn braces(&mut self) -> Option<Literal> {
        let mut dict = BTreeMap::new();
        let mut set = Vec::new();
        while !self.take('}') {
            let key = self.value()?;
            if self.take(':') {
                let Literal::Scalar(key) = key else { return None };
                let value = self.value()?;
                dict.insert(key, value);
            } else {
                set.push(key);
            }
            if !self.take(',') {
                if !self.take('}') {
                    return None;
                }
                break;
            }
        }
        match (dict.is_empty(), set.is_empty()) {
            (_, true) => Some(Literal::Dict(dict)),
            (true, false) => Some(Literal::List(set)),
            (false, false) => None,
        }
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = &self.rest[at + character.len_utf8()..];
                return Some(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            match characters.next()?.1 {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                escaped @ ('\\' | '\'' | '"') => text.push(escaped),
                other => {
                    text.push('\\');
                    text.push(other);
                }
            }
        }
        None
    }

    /// A name or a number.
    fn word(&mut self) -> Option<Literal> {
        let end = self
            .rest
            .find(|character: char| !(character.is_ascii_alphanumeric() || "+-._".contains(character)))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let literal = match word {
            "None" => Literal::None,
            "True" => Literal::Scalar("true".to_owned()),
            "False" => Literal::Scalar("false".to_owned()),
            number => Literal::Scalar(numeral(number)?),
        };
        self.rest = rest;
        Some(literal)
    }
}

/// A number as its shortest text. Python knows no leading zeros.
fn numeral(word: &str) -> Option<String> {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    let begins_well = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let zeros =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !begins_well || zeros {
        return None;
    }
    match word.parse::<i128>() {
        Ok(whole) => Some(whole.to_string()),
        Err(_) => word.parse::<f64>().ok().map(|_| word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::web::schema::python::repr_text;

    fn scalar(text: &str) -> Literal {
        Literal::Scalar(text.to_owned())
    }

    #[test]
    fn filters_are_read_as_python_reads_them() {
        let dict = [("k".to_owned(), scalar("v")), ("l".to_owned(), scalar("1"))];
        for (text, expected) in [
            ("{'k': 'v', \"l\": 1}", Literal::Dict(BTreeMap::from(dict))),
            ("{}", Literal::Dict(BTreeMap::new())),
            ("['a', u'b',]", Literal::List(vec![scalar("a"), scalar("b")])),
            ("(1, True)", Literal::List(vec![scalar("1"), scalar("true")])),
            ("None", Literal::None),
            ("'it\\'s'", scalar("it's")),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for plain in [
            "error",
            "{'a'",
            "[1, 2",
            "a b",
            "007",
            "8f0bb4b6-ab87",
            "",
            "'",
            "1 2",
            "{'a': 1, 2}",
        ] {
            assert_eq!(read(plain), None, "{plain}");
        }
        assert_eq!(read(&"[".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[\\PC'\"{}\\[\\](),:u\\\\ ]{0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn a_dict_that_python_writes_is_read_back(pairs in proptest::collection::btree_map("[ -~é]{0,6}", "[ -~é]{0,6}", 0..4)) {
            let body: Vec<String> = pairs.iter().map(|(k, v)| format!("{}: {}", repr_text(k), repr_text(v))).collect();
            let written = format!("{{{}}}", body.join(", "));
            prop_assert_eq!(read(&written).and_then(Literal::into_text_map), Some(pairs));
        }
    }
}
