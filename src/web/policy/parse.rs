//! Reads the text of policy rules (oslo.policy: `oslo_policy/_parser.py`).
//!
//! oslo.policy denies everyone what it cannot read, and says so in its log; here that is an error.

use serde_json::Value;

use super::check::{Check, Part, Pattern, Subject};

/// The deepest nesting of a rule.
const MOST_DEPTH: usize = 64;

/// Reads a rule: its text, or a list of lists, the former syntax.
///
/// # Errors
/// What is wrong with it.
pub fn parse(rule: &Value) -> Result<Check, String> {
    match rule {
        Value::String(text) => parse_text(text),
        Value::Array(alternatives) => parse_lists(alternatives),
        _ => Err("it is neither a text nor a list".to_owned()),
    }
}

/// A list of alternatives, each a check or a list of checks that must all pass.
fn parse_lists(alternatives: &[Value]) -> Result<Check, String> {
    if alternatives.is_empty() {
        return Ok(Check::True);
    }
    let mut checks = Vec::new();
    for alternative in alternatives {
        let all = match alternative {
            Value::String(text) => vec![parse_check(text)?],
            Value::Array(all) => {
                let texts = all
                    .iter()
                    .map(|text| text.as_str().ok_or("a list has what is no text"));
                texts.map(|text| parse_check(text?)).collect::<Result<_, _>>()?
            }
            _ => return Err("a list has what is neither a text nor a list".to_owned()),
        };
        match <[Check; 1]>::try_from(all) {
            Ok([one]) => checks.push(one),
            Err(all) if all.is_empty() => {}
            Err(all) => checks.push(Check::And(all)),
        }
    }
    Ok(match <[Check; 1]>::try_from(checks) {
        Ok([one]) => one,
        Err(checks) if checks.is_empty() => Check::False,
        Err(checks) => Check::Or(checks),
    })
}

enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(Check),
}

fn parse_text(text: &str) -> Result<Check, String> {
    let tokens = tokens(text)?;
    if text.is_empty() {
        return Ok(Check::True);
    }
    let mut parser = Parser { tokens, depth: 0 };
    let check = parser.alternatives()?;
    match parser.tokens.pop() {
        None => Ok(check),
        Some(Token::Close) => Err("a parenthesis is closed that is not open".to_owned()),
        Some(_) => Err("'and' or 'or' is missing between two checks".to_owned()),
    }
}

/// The tokens, the last one first.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let inner = word.trim_start_matches('(');
        tokens.extend((0..word.len() - inner.len()).map(|_| Token::Open));
        let clean = inner.trim_end_matches(')');
        match clean.to_lowercase().as_str() {
            "" => {}
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            _ => tokens.push(Token::Check(parse_check(clean)?)),
        }
        tokens.extend((0..inner.len() - clean.len()).map(|_| Token::Close));
    }
    tokens.reverse();
    Ok(tokens)
}

/// `and` binds more tightly than `or`, `not` more tightly than both.
struct Parser {
    /// The last one first.
    tokens: Vec<Token>,
    depth: usize,
}

impl Parser {
    fn alternatives(&mut self) -> Result<Check, String> {
        let first = self.conjunction()?;
        if !matches!(self.tokens.last(), Some(Token::Or)) {
            return Ok(first);
        }
        let mut checks = vec![first];
        while matches!(self.tokens.last(), Some(Token::Or)) {
            self.tokens.pop();
            checks.push(self.conjunction()?);
        }
        Ok(Check::Or(checks))
    }

    fn conjunction(&mut self) -> Result<Check, String> {
        let first = self.single()?;
        if !matches!(self.tokens.last(), Some(Token::And)) {
            return Ok(first);
        }
        let mut checks = vec![first];
        while matches!(self.tokens.last(), Some(Token::And)) {
            self.tokens.pop();
            checks.push(self.single()?);
        }
        Ok(Check::And(checks))
    }

    fn single(&mut self) -> Result<Check, String> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(format!("it is nested more than {MOST_DEPTH} deep"));
        }
        let check = match self.tokens.pop() {
            Some(Token::Check(check)) => Ok(check),
            Some(Token::Not) => self.single().map(|check| Check::Not(Box::new(check))),
            Some(Token::Open) => {
                let inner = self.alternatives()?;
                match self.tokens.pop() {
                    Some(Token::Close) => Ok(inner),
                    _ => Err("a parenthesis is not closed".to_owned()),
                }
            }
            Some(Token::And | Token::Or) => Err("'and' or 'or' has no check before it".to_owned()),
            Some(Token::Close) => Err("a parenthesis is closed where a check should be".to_owned()),
            None => Err("it ends where a check should be".to_owned()),
        };
        self.depth -= 1;
        check
    }
}

fn parse_check(text: &str) -> Result<Check, String> {
    match text {
        "!" => return Ok(Check::False),
        "@" => return Ok(Check::True),
        _ => {}
    }
    let (kind, wanted) = text
        .split_once(':')
        .ok_or_else(|| format!("'{text}' is no check such as role:member"))?;
    match kind {
        "rule" => Ok(Check::Rule(wanted.to_owned())),
        "role" => pattern(wanted).map(Check::Role),
        "http" | "https" => Err(format!("'{text}' asks another service, which is not supported")),
        _ => Ok(Check::Equal(subject(kind)?, pattern(wanted)?)),
    }
}

/// The text with `%(key)s`, as Python's `%` reads it.
fn pattern(text: &str) -> Result<Pattern, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        parts.push(Part::Text(rest[..at].to_owned()));
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('%') {
            parts.push(Part::Text("%".to_owned()));
            rest = behind;
            continue;
        }
        let key = rest.strip_prefix('(').and_then(|rest| rest.split_once(")s"));
        let (key, behind) = key.ok_or_else(|| format!("'{text}' has a % that does not begin %(name)s"))?;
        if key.contains([')', '(']) {
            return Err(format!("'{text}' has a % that does not begin %(name)s"));
        }
        parts.push(Part::Target(key.to_owned()));
        rest = behind;
    }
    parts.push(Part::Text(rest.to_owned()));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(Pattern(parts))
}

/// A literal of Python's, or keys of the caller's values.
fn subject(kind: &str) -> Result<Subject, String> {
    let quoted = ['\'', '"'].into_iter().find_map(|quote| {
        let inner = kind.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\'])).then_some(inner)
    });
    if let Some(text) = quoted {
        return Ok(Subject::Literal(text.to_owned()));
    }
    if matches!(kind, "True" | "False" | "None") {
        return Ok(Subject::Literal(kind.to_owned()));
    }
    let is_number = kind.starts_with(|first: char| first.is_ascii_digit());
    if is_number {
        // Numbers are written as Python writes them.
        let is_plain =
            kind.bytes().all(|byte| byte.is_ascii_digit()) && (kind == "0" || !kind.starts_with('0'));
        return match is_plain {
            true => Ok(Subject::Literal(kind.to_owned())),
            false => Err(format!("'{kind}' is neither a whole number nor a name")),
        };
    }
    let is_name = |key: &str| {
        !key.is_empty()
            && key.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !key.starts_with(char::is_numeric)
    };
    let keys: Vec<String> = kind.split('.').map(str::to_owned).collect();
    match keys.iter().all(|key| is_name(key)) {
        true => Ok(Subject::Caller(keys)),
        false => Err(format!(
            "'{kind}' is neither a literal nor a name of the caller's values"
        )),
    }
}
