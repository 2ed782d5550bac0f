//! No authentication, as Cinder has it (cinder: `api/middleware/auth.py`, `NoAuthMiddleware`).

use actix_web::{HttpRequest, HttpResponse};

use super::{Principal, Scope};
use crate::model::{Error, bounds};

/// A token is `user:project`; without a colon the text is both. Nothing else bounds their length, and both
/// become part of records.
///
/// # Errors
/// 400 if one is longer than a record can hold.
pub(super) fn principal(token: &str) -> Result<Principal, Error> {
    let (user, project) = token.split_once(':').unwrap_or((token, ""));
    let project = if project.is_empty() { user } else { project };
    bounds::check_length(user, "user_id")?;
    bounds::check_length(project, "project_id")?;
    Ok(Principal {
        user_id: user.into(),
        project_id: project.into(),
        roles: Vec::new(),
        is_admin: true,
        scope: Scope::Project,
    })
}

/// Answers a request without a token with one: 204 with `X-Auth-Token`.
///
/// # Errors
/// As [`principal`], for a token that would be refused.
pub(super) fn hand_out(request: &HttpRequest, base_url: &str) -> Result<HttpResponse, Error> {
    let wish = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("admin")
    };
    let token = format!("{}:{}", wish("x-auth-user"), wish("x-auth-project-id"));
    principal(&token)?;
    Ok(HttpResponse::NoContent()
        .insert_header(("X-Auth-Token", token))
        .insert_header((
            "X-Server-Management-Url",
            format!("{base_url}{}", request.path().trim_end_matches('/')),
        ))
        .content_type("text/plain; charset=UTF-8")
        .finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_user_and_project() {
        let who = |token| {
            let principal = principal(token).unwrap();
            (principal.user_id.0, principal.project_id.0)
        };
        assert_eq!(who("u:p"), ("u".to_owned(), "p".to_owned()));
        assert_eq!(who("u"), ("u".to_owned(), "u".to_owned()));
        assert_eq!(who("u:"), ("u".to_owned(), "u".to_owned()));
        assert_eq!(who("u:p:q"), ("u".to_owned(), "p:q".to_owned()));
        assert!(principal("u").unwrap().is_admin);
    }
}
