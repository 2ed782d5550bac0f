//! Access rules of application credentials: the requests that they are restricted to (keystonemiddleware:
//! `auth_token/__init__.py`, `validate_allowed_request` and `_path_matches`).

use serde::Deserialize;

use super::super::Credentials;
use crate::model::bounds::CHARACTERS;

/// A request that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct AccessRule {
    method: String,
    /// `{tag}` and `*` are one segment, `**` is anything.
    path: String,
    service: String,
}

impl AccessRule {
    /// Whether its texts are as long as Keystone allows at most.
    pub(super) fn is_bounded(&self) -> bool {
        let texts = [&self.method, &self.path, &self.service];
        texts.iter().all(|text| text.len() <= CHARACTERS)
    }
}

/// Whether the rules, if there are any, allow the request.
pub(super) fn allow(rules: &Option<Vec<AccessRule>>, service: &str, request: &Credentials<'_>) -> bool {
    rules.as_ref().is_none_or(|rules| {
        rules.iter().any(|rule| {
            rule.service == service && rule.method == request.method && matches(request.path, &rule.path)
        })
    })
}

#[derive(Clone, Copy)]
enum Part {
    Literal(char),
    /// At least one character that is no slash.
    Segment,
    Anything,
}

/// Whether the path matches the pattern.
fn matches(path: &str, pattern: &str) -> bool {
    let parts = parts(pattern);
    // Whether the part of the path before each character matches the parts so far.
    let path: Vec<char> = path.chars().collect();
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in parts {
        let mut next = vec![false; path.len() + 1];
        match part {
            Part::Literal(literal) => {
                for (index, character) in path.iter().enumerate() {
                    next[index + 1] = reached[index] && *character == literal;
                }
            }
            Part::Segment => {
                for (index, character) in path.iter().enumerate() {
                    next[index + 1] = (reached[index] || next[index]) && *character != '/';
                }
            }
            Part::Anything => {
                let mut within = false;
                for (next, reached) in next.iter_mut().zip(&reached) {
                    within |= reached;
                    *next = within;
                }
            }
        }
        reached = next;
    }
    reached[path.len()]
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let tag = (character == '{').then(|| rest.find('}')).flatten();
        let (part, length) = match (character, tag) {
            ('{', Some(end)) => (Part::Segment, end + 1),
            ('*', _) if rest.starts_with("**") => (Part::Anything, 2),
            ('*', _) => (Part::Segment, 1),
            (literal, _) => (Part::Literal(literal), literal.len_utf8()),
        };
        parts.push(part);
        rest = &rest[length..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_segment_and_two_stars_are_anything() {
        for (path, pattern, expected) in [
            ("/v3/0a/volumes", "/v3/0a/volumes", true),
            ("/v3/0a/volumes/x", "/v3/0a/volumes", false),
            ("/v3/0a/volumes", "/v3/{project_id}/volumes", true),
            ("/v3/0a/volumes", "/v3/*/volumes", true),
            ("/v3//volumes", "/v3/*/volumes", false),
            ("/v3/0a/b/volumes", "/v3/*/volumes", false),
            ("/v3/0a/b/volumes", "/v3/**/volumes", true),
            ("/v3/0a/volumes/1/action", "/v3/**", true),
            ("/v3/volumes", "**", true),
            ("/v3/vXlumes", "/v3/v.lumes", false),
            ("/v3/{x", "/v3/{x", true),
            ("", "", true),
            ("/", "", false),
        ] {
            assert_eq!(matches(path, pattern), expected, "{path} {pattern}");
        }
    }

    #[test]
    fn rules_are_of_one_method_and_one_service() {
        let rule = |service: &str| AccessRule {
            method: "GET".to_owned(),
            path: "/v3/**".to_owned(),
            service: service.to_owned(),
        };
        let asks = |rules: Option<Vec<AccessRule>>, method: &'static str| {
            let request = Credentials {
                token: "t",
                service_token: None,
                method,
                path: "/v3/volumes",
            };
            allow(&rules, "block-storage", &request)
        };
        assert!(asks(None, "DELETE"));
        assert!(!asks(Some(vec![]), "GET"));
        assert!(asks(Some(vec![rule("compute"), rule("block-storage")]), "GET"));
        assert!(!asks(Some(vec![rule("block-storage")]), "DELETE"));
        assert!(!asks(Some(vec![rule("compute")]), "GET"));
    }
}
