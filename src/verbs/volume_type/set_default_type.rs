//! Set the default type of a project (cinder: `api/v3/default_types.py` `create_update`).

use crate::model::bounds::check_length;
use crate::model::{ErrorKind, ProjectDefaultType, ProjectId};
use crate::verbs::prelude::*;

/// Set the type of a project's volumes whose request has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDefaultType {
    /// The project.
    pub project_id: ProjectId,
    /// The type, by name or id.
    pub volume_type: String,
}
call!(SetDefaultType => ApiTopic, "set_default_type", since 5, reply ProjectDefaultType);

impl Request for SetDefaultType {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<ProjectDefaultType>, Interrupt> {
        let control = at.control;
        check_length(self.project_id.as_str(), "The project's id")?;
        let found = control.find_volume_type(at.context, &self.volume_type).await;
        let volume_type = found.map_err(|error| match error.kind {
            ErrorKind::NotFound => Error::bad_request(error.client),
            _ => error,
        })?;
        let now = ProjectDefaultType {
            project_id: self.project_id.clone(),
            volume_type_id: volume_type.id,
        };
        let mut changes = control.catalog.change();
        match control.catalog.project_default_type(&self.project_id).await? {
            Some(was) => changes.update(&was, &now),
            None => changes.insert(&now),
        };
        // Written though nothing changes in it, so that a concurrent delete gets a conflict, and then sees that it is a default.
        changes.update(&volume_type, &volume_type.record);
        changes.commit().await?;
        Ok(Began::Done(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VolumeTypeId;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let message = SetDefaultType {
            project_id: "p".into(),
            volume_type: "fast".to_owned(),
        };
        let reply = ProjectDefaultType {
            project_id: "p".into(),
            volume_type_id: VolumeTypeId(uuid::Uuid::from_u128(1)),
        };
        crate::golden::message(&[("full", message)]);
        crate::golden::reply("api.set_default_type", &[("default", reply)]);
    }
}
