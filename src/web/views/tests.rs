//! What clients see of a volume and its kin, at several versions.

use super::*;
use crate::model::{Context, ProjectId};
use crate::web::microversion::Microversion;

/// Somebody who asks in version 3.`minor`.
pub(crate) fn caller(minor: u16, is_admin: bool) -> Caller {
    Caller {
        context: Context {
            project_id: ProjectId::from("0123456789abcdef0123456789abcdef"),
            user_id: "admin".into(),
            roles: vec![if is_admin { "admin" } else { "member" }.to_owned()],
            is_admin,
            ..Context::internal("test")
        },
        version: Microversion(minor),
        base_url: "http://localhost".to_owned(),
        path_project: Some("0123456789abcdef0123456789abcdef".to_owned()),
    }
}
