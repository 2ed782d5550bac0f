//! Change a user, project or role (keystone: `update_user`, `change_password`, `update_project`, `update_role`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the record is the new one; tokens of a user or for a project that was disabled are revoked, for good | nothing has changed |
//!
//! A token contains a fingerprint of its user's password: a new password ends those of the old one without a further change.

use super::create_identity_record::check_size;
use super::{commit, find};
use crate::model::{IdentityRecord, TokenGeneration, User};
use crate::store::catalog::{Catalog, Changes, IdentityKind};
use crate::verbs::prelude::*;

/// Replace a record of the embedded identity by another with the same id. The reply is whether it was done: not if the
/// record was changed since it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateIdentityRecord {
    /// The record that was read.
    pub was: IdentityRecord,
    /// The new one.
    pub now: IdentityRecord,
}
call!(UpdateIdentityRecord => ApiTopic, "update_identity_record", since 6, reply bool);

impl Request for UpdateIdentityRecord {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<bool>, Interrupt> {
        let catalog = &at.control.catalog;
        check_size(Some(&self.was), &self.now)?;
        let mut changes = catalog.change();
        let is_done = match (&self.was, &self.now) {
            (IdentityRecord::User(was), IdentityRecord::User(now)) => {
                if was.enabled && !now.enabled {
                    revoke(catalog, &mut changes, now).await?;
                }
                replace(catalog, &mut changes, &self.was, was, now).await?
            }
            (IdentityRecord::Project(was), IdentityRecord::Project(now)) => {
                let mut now = now.clone();
                let is_disabled = was.enabled && !now.enabled;
                now.token_generation = was.token_generation + u64::from(is_disabled);
                replace(catalog, &mut changes, &self.was, was, &now).await?
            }
            (IdentityRecord::Role(was), IdentityRecord::Role(now)) => {
                replace(catalog, &mut changes, &self.was, was, now).await?
            }
            _ => return Err(Error::internal("a record cannot become one of another kind").into()),
        };
        if is_done {
            commit(catalog, changes, &self.now).await?;
            let key = self.was.key();
            let (kind, id) = key.parts();
            tracing::info!(kind, id, by = %at.context.user_id, "identity record changed");
        }
        Ok(Began::Done(is_done))
    }
}

/// Adds the replacement, if the record is still what was read.
async fn replace<R: IdentityKind + PartialEq>(
    catalog: &Catalog,
    changes: &mut Changes,
    record: &IdentityRecord,
    was: &R,
    now: &R,
) -> Result<bool, Interrupt> {
    let stored = find::<R>(catalog, &record.key()).await?;
    if stored.record != *was {
        return Ok(false);
    }
    changes.update(&stored, now);
    Ok(true)
}

/// Adds the revocation of all tokens of a user.
async fn revoke(catalog: &Catalog, changes: &mut Changes, user: &User) -> Result<(), Interrupt> {
    let stored = catalog.token_generation(&user.id).await?;
    let generation = stored.as_ref().map_or(0, |stored| stored.generation);
    let next = TokenGeneration {
        user_id: user.id.clone(),
        generation: generation + 1,
    };
    changes.put_token_generation(&next, stored.as_ref());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::identity::samples;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let (was, now) = (
            samples::user(),
            User {
                enabled: false,
                ..samples::user()
            },
        );
        let update = UpdateIdentityRecord {
            was: IdentityRecord::User(was),
            now: IdentityRecord::User(now),
        };
        crate::golden::message(&[("user", update)]);
        crate::golden::reply(
            "api.update_identity_record",
            &[("done", true), ("changed", false)],
        );
    }
}
