//! Unset the default type of a project (cinder: `api/v3/default_types.py` `delete`).

use crate::model::ProjectId;
use crate::verbs::prelude::*;

/// Let a project use the service's default type again. It need not have its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsetDefaultType {
    /// The project.
    pub project_id: ProjectId,
}
call!(UnsetDefaultType => ApiTopic, "unset_default_type", since 5, reply ());

impl Request for UnsetDefaultType {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        if let Some(was) = at.control.catalog.project_default_type(&self.project_id).await? {
            let mut changes = at.control.catalog.change();
            changes.delete(&was);
            changes.commit().await?;
        }
        Ok(Began::Done(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let project_id = "p".into();
        crate::golden::message(&[("full", UnsetDefaultType { project_id })]);
    }
}
