//! `POST /auth/tokens`: parses the body and does nothing else (keystone: `auth/schema.py`).

use serde_json::{Map, Value};

use super::directory::DEFAULT_DOMAIN_NAME;
use super::refusal::Refusal;
use crate::model::identity::DEFAULT_DOMAIN;
use crate::model::volume::Secret;

/// A method of authentication, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Name or id, and password.
    Password {
        /// The user.
        user: Reference,
        /// The password.
        password: Secret,
    },
    /// An existing token.
    Token(Secret),
    /// An application credential, and its secret.
    ApplicationCredential {
        /// The credential.
        credential: CredentialReference,
        /// The secret.
        secret: Secret,
    },
}

/// An application credential, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialReference {
    /// By id.
    Id(String),
    /// By name.
    Name {
        /// Its user.
        user: Reference,
        /// Its name.
        name: String,
    },
}

/// A user or project, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By id.
    Id(String),
    /// By name in the default domain.
    Name(String),
    /// By name in an unknown domain.
    Elsewhere(String),
}

impl Reference {
    /// The text by which failures are counted.
    pub fn text(&self) -> &str {
        match self {
            Self::Id(text) | Self::Name(text) | Self::Elsewhere(text) => text,
        }
    }
}

/// The requested scope of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Not given: the user's default project, if it has one.
    Default,
    /// Explicitly unscoped.
    Unscoped,
    /// A project.
    Project(Reference),
    /// A domain, in which no user has a role.
    Domain,
    /// The system, a scope that is not supported.
    System,
}

/// A login request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The methods; all must succeed.
    pub proofs: Vec<Proof>,
    /// The scope.
    pub scope: Scope,
}

impl Login {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 for a wrong structure, 401 for unknown methods.
    pub fn parse(body: Option<&Value>) -> Result<Self, Refusal> {
        let auth = object(body.and_then(|body| body.get("auth")), "auth")?;
        let identity = object(auth.get("identity"), "identity")?;
        let methods = identity
            .get("methods")
            .and_then(Value::as_array)
            .filter(|methods| !methods.is_empty() && methods.len() <= 4)
            .ok_or_else(|| Refusal::expecting("methods", "identity"))?;
        let mut proofs = Vec::new();
        for method in methods {
            let name = method.as_str().ok_or_else(|| wrong("methods", "string"))?;
            let proof = match name {
                "password" => password(object(identity.get("password"), "password")?)?,
                "token" => {
                    let token = object(identity.get("token"), "token")?;
                    Proof::Token(Secret::new(
                        text(token, "id")?.ok_or_else(|| Refusal::expecting("id", "token"))?,
                    ))
                }
                "application_credential" => application_credential(object(
                    identity.get("application_credential"),
                    "application_credential",
                )?)?,
                _ => {
                    return Err(Refusal::unauthorized_because(
                        "Attempted to authenticate with an unsupported method.",
                    ));
                }
            };
            if !proofs.contains(&proof) {
                proofs.push(proof);
            }
        }
        Ok(Self {
            proofs,
            scope: scope(auth.get("scope"))?,
        })
    }
}

fn password(method: &Map<String, Value>) -> Result<Proof, Refusal> {
    let user = object(method.get("user"), "user")?;
    let password = text(user, "password")?.ok_or_else(|| Refusal::expecting("password", "user"))?;
    Ok(Proof::Password {
        user: reference(user, "user")?,
        password: Secret::new(password),
    })
}

fn application_credential(method: &Map<String, Value>) -> Result<Proof, Refusal> {
    let secret =
        text(method, "secret")?.ok_or_else(|| Refusal::expecting("secret", "application_credential"))?;
    let credential = match (text(method, "id")?, text(method, "name")?) {
        (Some(id), _) => CredentialReference::Id(id.to_owned()),
        (None, Some(name)) => CredentialReference::Name {
            user: reference(object(method.get("user"), "user")?, "user")?,
            name: name.to_owned(),
        },
        (None, None) => return Err(Refusal::expecting("id or name", "application_credential")),
    };
    Ok(Proof::ApplicationCredential {
        credential,
        secret: Secret::new(secret),
    })
}

fn scope(scope: Option<&Value>) -> Result<Scope, Refusal> {
    let scope = match scope {
        None | Some(Value::Null) => return Ok(Scope::Default),
        Some(Value::String(_)) => return Ok(Scope::Unscoped),
        Some(Value::Object(scope)) => scope,
        Some(_) => return Err(wrong("scope", "object")),
    };
    if let Some(project) = scope.get("project") {
        return Ok(Scope::Project(reference(
            object(Some(project), "project")?,
            "project",
        )?));
    }
    Ok(match () {
        () if scope.contains_key("system") => Scope::System,
        () if scope.contains_key("domain") || scope.contains_key("OS-TRUST:trust") => Scope::Domain,
        () => Scope::Unscoped,
    })
}

/// `{"id": …}` or `{"name": …, "domain": {"id": …} or {"name": …}}`.
fn reference(thing: &Map<String, Value>, what: &str) -> Result<Reference, Refusal> {
    if let Some(id) = text(thing, "id")? {
        return Ok(Reference::Id(id.to_owned()));
    }
    let name = text(thing, "name")?
        .ok_or_else(|| Refusal::expecting("id or name", what))?
        .to_owned();
    let domain = thing
        .get("domain")
        .ok_or_else(|| Refusal::expecting("domain", what))?;
    let domain = object(Some(domain), "domain")?;
    let ours = match (text(domain, "id")?, text(domain, "name")?) {
        (Some(id), _) => id == DEFAULT_DOMAIN,
        // Case-insensitive, as MySQL compares for Keystone.
        (None, Some(name)) => name.eq_ignore_ascii_case(DEFAULT_DOMAIN_NAME),
        (None, None) => return Err(Refusal::expecting("id or name", "domain")),
    };
    Ok(if ours {
        Reference::Name(name)
    } else {
        Reference::Elsewhere(name)
    })
}

fn object<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a Map<String, Value>, Refusal> {
    match value {
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(wrong(name, "object")),
        None => Err(Refusal::bad_request(format!("'{name}' is a required property"))),
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name, "string")),
    }
}

/// The value itself is not repeated, as Keystone does: it may be a password in the wrong place.
fn wrong(name: &str, expected: &str) -> Refusal {
    Refusal::bad_request(format!(
        "Invalid input for field '{name}': it is not of type '{expected}'"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<Login, Refusal> {
        Login::parse(Some(&body))
    }

    fn with_scope(scope: Value) -> Result<Scope, Refusal> {
        parse(json!({"auth": {"identity": {"methods": ["token"], "token": {"id": "t"}}, "scope": scope}}))
            .map(|login| login.scope)
    }

    #[test]
    fn what_keystoneauth_sends_is_understood() {
        let login = parse(json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": {"name": "Default"}, "password": "p"}}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }}))
        .unwrap();
        let user = Reference::Name("admin".to_owned());
        assert_eq!(
            login.proofs,
            [Proof::Password {
                user: user.clone(),
                password: Secret::new("p")
            }]
        );
        assert_eq!(login.scope, Scope::Project(user));
    }

    #[test]
    fn each_scope_is_distinguished() {
        assert_eq!(with_scope(Value::Null), Ok(Scope::Default));
        assert_eq!(with_scope(json!("unscoped")), Ok(Scope::Unscoped));
        assert_eq!(with_scope(json!({"unscoped": {}})), Ok(Scope::Unscoped));
        assert_eq!(with_scope(json!({"system": {"all": true}})), Ok(Scope::System));
        assert_eq!(
            with_scope(json!({"domain": {"id": "default"}})),
            Ok(Scope::Domain)
        );
        assert_eq!(
            with_scope(json!({"project": {"id": "0a"}})),
            Ok(Scope::Project(Reference::Id("0a".into())))
        );
        let elsewhere = json!({"project": {"name": "p", "domain": {"name": "Other"}}});
        assert_eq!(
            with_scope(elsewhere),
            Ok(Scope::Project(Reference::Elsewhere("p".into())))
        );
        assert_eq!(
            with_scope(json!({"project": {"name": "p"}})).unwrap_err().status,
            400
        );
    }

    #[test]
    fn a_wrong_shape_is_a_400_that_repeats_no_secret() {
        for body in [
            json!(null),
            json!([]),
            json!({"auth": "hunter2"}),
            json!({"auth": {"identity": {"methods": []}}}),
            json!({"auth": {"identity": {"methods": ["password"]}}}),
            json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a",
                "domain": {"id": "default"}, "password": ["hunter2"]}}}}}),
            json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a",
                "password": "hunter2"}}}}}),
        ] {
            let refusal = parse(body.clone()).unwrap_err();
            assert_eq!(refusal.status, 400, "{body}");
            assert!(!refusal.message.contains("hunter2"), "{}", refusal.message);
        }
        assert_eq!(Login::parse(None).unwrap_err().status, 400);
        let magic = json!({"auth": {"identity": {"methods": ["magic"]}}});
        assert_eq!(parse(magic).unwrap_err().status, 401);
    }

    #[test]
    fn a_password_is_never_printed() {
        let login = parse(
            json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "id": "u", "password": "hunter2"}}}}}),
        )
        .unwrap();
        assert!(!format!("{login:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(text in r#"[\[\]{}":,a-z0-9]{0,60}"#) {
            if let Ok(body) = serde_json::from_str::<Value>(&text) {
                let _ = Login::parse(Some(&json!({"auth": body.clone()})));
                let _ = Login::parse(Some(&json!({"auth": {"identity": body.clone(), "scope": body}})));
            }
        }
    }
}
