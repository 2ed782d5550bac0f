//! Change a volume type: its face, its extra specs, who may use it (cinder: `volume/volume_types.py`,
//! `api/contrib/types_extra_specs.py`, `api/contrib/volume_type_access.py`).

use std::rc::Rc;

use super::ApiActor;
use super::create_volume_type::{check_specs, exists};
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::{UpdateVolumeType, VolumeTypeChange};
use crate::model::bounds::{self, EXTRA_SPECS, TYPE_ACCESS};
use crate::model::{Context, Error, ProjectId, Result, Timestamp, VolumeType};

impl ApiActor {
    /// Serves [`UpdateVolumeType`]: the reply is the type then.
    pub(super) async fn update_volume_type(
        self: Rc<Self>,
        _context: Context,
        request: UpdateVolumeType,
    ) -> Result<VolumeType> {
        until_not_overtaken!(self.try_to_update_type(&request).await)
    }

    async fn try_to_update_type(&self, request: &UpdateVolumeType) -> Result<VolumeType, Unchanged> {
        let was = self.volume_type(request.id).await?;
        let about_specs = matches!(
            request.change,
            VolumeTypeChange::SetExtraSpecs(_)
                | VolumeTypeChange::UnsetExtraSpec(_)
                | VolumeTypeChange::ChangeExtraSpecs(_)
        );
        if about_specs && self.deps.catalog.type_in_use(was.id).await? {
            return Err(Error::bad_request("Volume Type is currently in use.").into());
        }
        let mut volume_type = was.record.clone();
        apply(&mut volume_type, &request.change)?;
        bounds::check_pairs(EXTRA_SPECS, &was.extra_specs, &volume_type.extra_specs)?;
        TYPE_ACCESS.check(
            bounds::projects(&was.projects),
            bounds::projects(&volume_type.projects),
        )?;
        if volume_type == was.record {
            return Ok(volume_type);
        }
        volume_type.updated_at = Some(Timestamp::now());
        let mut changes = self.deps.catalog.change();
        changes.update_volume_type(&was, &volume_type);
        if was.name != volume_type.name {
            let taken = self.deps.catalog.volume_type_by_name(&volume_type.name).await?;
            if taken.is_some_and(|other| other.id != was.id) {
                return Err(exists(&volume_type.name).into());
            }
        }
        changes.commit().await?;
        Ok(volume_type)
    }
}

fn apply(volume_type: &mut VolumeType, change: &VolumeTypeChange) -> Result<()> {
    match change {
        VolumeTypeChange::Update {
            name,
            description,
            is_public,
        } => {
            if let Some(name) = name {
                volume_type.name.clone_from(name);
            }
            if let Some(description) = description {
                volume_type.description.clone_from(description);
            }
            if let Some(is_public) = is_public {
                volume_type.is_public = *is_public;
            }
        }
        VolumeTypeChange::SetExtraSpecs(specs) => {
            volume_type.extra_specs.extend(specs.clone());
            check_specs(&volume_type.extra_specs)?;
        }
        VolumeTypeChange::ChangeExtraSpecs(specs) => {
            for (key, value) in specs {
                match value {
                    Some(value) => volume_type.extra_specs.insert(key.clone(), value.clone()),
                    None => volume_type.extra_specs.remove(key),
                };
            }
            check_specs(&volume_type.extra_specs)?;
        }
        VolumeTypeChange::UnsetExtraSpec(key) => {
            if volume_type.extra_specs.remove(key).is_none() {
                return Err(Error::not_found(format!(
                    "Volume Type {} has no extra specs with key {key}.",
                    volume_type.id
                )));
            }
        }
        VolumeTypeChange::AddProjectAccess(project) => {
            must_be_private(volume_type)?;
            if !volume_type.projects.insert(ProjectId::from(project.as_str())) {
                return Err(Error::conflict(format!(
                    "Volume type access for {} / {project} combination already exists.",
                    volume_type.id
                )));
            }
        }
        VolumeTypeChange::RemoveProjectAccess(project) => {
            must_be_private(volume_type)?;
            if !volume_type.projects.remove(&ProjectId::from(project.as_str())) {
                return Err(Error::not_found(format!(
                    "Volume type access not found for {} / {project} combination.",
                    volume_type.id
                )));
            }
        }
    }
    Ok(())
}

fn must_be_private(volume_type: &VolumeType) -> Result<()> {
    if volume_type.is_public {
        return Err(Error::bad_request(
            "Invalid volume type: Type access modification is not applicable to public volume type.",
        ));
    }
    Ok(())
}
