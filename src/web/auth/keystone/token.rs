//! What Keystone says of a valid token (keystone: `common/render_token.py`), as far as it is needed.

use serde::Deserialize;

use super::super::{Principal, Scope};
use super::access_rules::AccessRule;
use crate::model::bounds::CHARACTERS;
use crate::model::role::{Level, highest};
use crate::model::{ProjectId, Timestamp, UserId};

/// The most roles of a token, and the most access rules.
const ITEMS: usize = 256;

/// A valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValidToken {
    pub(super) user_id: UserId,
    /// Empty for a token that is for no project.
    pub(super) project_id: ProjectId,
    pub(super) scope: Scope,
    /// The names of the roles, implied ones included.
    pub(super) roles: Vec<String>,
    pub(super) expires_at: Timestamp,
    /// The requests that an application credential is restricted to, if it is.
    pub(super) access_rules: Option<Vec<AccessRule>>,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    user: Reference,
    project: Option<Reference>,
    domain: Option<Reference>,
    system: Option<System>,
    #[serde(default)]
    roles: Vec<RoleName>,
    expires_at: String,
    application_credential: Option<ApplicationCredential>,
}

#[derive(Deserialize)]
struct Reference {
    id: String,
}

#[derive(Deserialize)]
struct System {
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
struct RoleName {
    name: String,
}

#[derive(Deserialize)]
struct ApplicationCredential {
    access_rules: Option<Vec<AccessRule>>,
}

impl ValidToken {
    /// Reads the answer's body.
    ///
    /// # Errors
    /// What is wrong with it, without any of its values.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let Body { token } = serde_json::from_slice(body).map_err(|error| {
            // The message of the error may quote a value.
            format!("no token, line {}, column {}", error.line(), error.column())
        })?;
        let expires_at = Timestamp::parse(&token.expires_at).ok_or("expires_at is no time")?;
        let access_rules = token
            .application_credential
            .and_then(|credential| credential.access_rules);
        let ids = [Some(&token.user), token.project.as_ref(), token.domain.as_ref()];
        let has_length = |text: &str| (1..=CHARACTERS).contains(&text.chars().count());
        if !ids
            .into_iter()
            .flatten()
            .all(|reference| has_length(&reference.id))
        {
            return Err(format!("an id is empty or has more than {CHARACTERS} characters"));
        }
        let rules = access_rules.as_ref().map_or(0, Vec::len);
        if token.roles.len() > ITEMS || rules > ITEMS {
            return Err(format!("more than {ITEMS} roles or access rules"));
        }
        if !token.roles.iter().all(|role| has_length(&role.name)) {
            return Err(format!(
                "a role's name is empty or has more than {CHARACTERS} characters"
            ));
        }
        if !access_rules.iter().flatten().all(AccessRule::is_bounded) {
            return Err("an access rule is too long".to_owned());
        }
        let scope = match (&token.project, token.domain, token.system) {
            (Some(_), ..) => Scope::Project,
            (None, Some(domain), _) => Scope::Domain(domain.id),
            (None, None, Some(System { all: true })) => Scope::System,
            (None, None, _) => Scope::None,
        };
        Ok(Self {
            user_id: UserId(token.user.id),
            project_id: ProjectId(token.project.map(|project| project.id).unwrap_or_default()),
            scope,
            roles: token.roles.into_iter().map(|role| role.name).collect(),
            expires_at,
            access_rules,
        })
    }

    /// The user. One with the role `admin` is an administrator, whatever the token is for (cinder: `context_is_admin`).
    pub(super) fn principal(&self) -> Principal {
        Principal {
            user_id: self.user_id.clone(),
            project_id: self.project_id.clone(),
            is_admin: highest(&self.roles) == Some(Level::Admin),
            roles: self.roles.clone(),
            scope: self.scope.clone(),
        }
    }

    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            user_id: "u".into(),
            project_id: "0a".into(),
            scope: Scope::Project,
            roles: vec!["member".to_owned()],
            expires_at: Timestamp::now(),
            access_rules: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(token: Value) -> Result<ValidToken, String> {
        ValidToken::read(json!({ "token": token }).to_string().as_bytes())
    }

    fn with(change: Value) -> Value {
        let mut token = json!({"user": {"id": "u"}, "expires_at": "2030-01-01T00:00:00.000000Z", "roles": [{"name": "admin"}]});
        for (key, value) in change.as_object().unwrap() {
            token[key] = value.clone();
        }
        token
    }

    #[test]
    fn a_token_is_for_a_project_a_domain_the_system_or_nothing() {
        let scope = |change| {
            let principal = read(with(change)).unwrap().principal();
            (principal.scope, principal.project_id.0, principal.is_admin)
        };
        let project = json!({"project": {"id": "0a"}});
        assert_eq!(scope(project), (Scope::Project, "0a".to_owned(), true));
        let domain = json!({"domain": {"id": "d"}});
        assert_eq!(
            scope(domain),
            (Scope::Domain("d".to_owned()), String::new(), true)
        );
        let system = json!({"system": {"all": true}, "roles": [{"name": "reader"}]});
        assert_eq!(scope(system), (Scope::System, String::new(), false));
        assert_eq!(scope(json!({"roles": []})), (Scope::None, String::new(), false));
    }

    #[test]
    fn an_answer_that_is_not_understood_is_no_token() {
        let long = "x".repeat(256);
        let many: Vec<Value> = (0..257).map(|_| json!({"name": "r"})).collect();
        for change in [
            json!({"user": null}),
            json!({"user": {"id": ""}}),
            json!({"user": {"id": long}}),
            json!({"user": {"id": 7}}),
            json!({"project": {"id": null}}),
            json!({"project": {"id": long}}),
            json!({"domain": {"id": ""}}),
            json!({"roles": "admin"}),
            json!({"roles": [{"name": long}]}),
            json!({"roles": many}),
            json!({"expires_at": "tomorrow"}),
            json!({"application_credential": {"access_rules": [{"path": "/"}]}}),
        ] {
            assert!(read(with(change.clone())).is_err(), "{change}");
        }
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            "null",
            "{\"token\": {}}",
            "{\"token\": {\"user\"",
        ] {
            assert!(ValidToken::read(body.as_bytes()).is_err(), "{body}");
        }
        let error = ValidToken::read(br#"{"token": {"user": {"id": 271828}}}"#).unwrap_err();
        assert!(!error.contains("271828"), "{error}");
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ValidToken::read(&body);
        }
    }
}
