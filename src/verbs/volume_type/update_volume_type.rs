//! Change a volume type: its name and description, its extra specs, its access (cinder: `volume/volume_types.py`,
//! `api/contrib/types_extra_specs.py`, `api/contrib/volume_type_access.py`).

use std::collections::BTreeMap;

use super::create_volume_type::{check_specs, exists};
use super::notifications::{notify_access, notify_extra_specs, notify_type};
use crate::model::bounds::{self, EXTRA_SPECS, TYPE_ACCESS};
use crate::model::{ProjectId, VolumeType, VolumeTypeId};
use crate::store::catalog::Changes;
use crate::verbs::prelude::*;

/// A change of a volume type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeTypeChange {
    /// Change the given ones of name, description and visibility.
    Update {
        /// New name.
        name: Option<String>,
        /// New description; `Some(None)` clears it.
        description: Option<Option<String>>,
        /// Whether it is public.
        is_public: Option<bool>,
    },
    /// Add or overwrite extra specs.
    SetExtraSpecs(BTreeMap<String, String>),
    /// Delete one extra spec; 404 if it does not exist.
    UnsetExtraSpec(String),
    /// Give a project access to a private type.
    AddProjectAccess(String),
    /// Remove a project's access.
    RemoveProjectAccess(String),
    /// Add or overwrite extra specs, and delete those that are `None`, whether or not they exist.
    ChangeExtraSpecs(BTreeMap<String, Option<String>>),
}

/// Change a volume type; the reply is the changed type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateVolumeType {
    /// Its id.
    pub id: VolumeTypeId,
    /// The change.
    pub change: VolumeTypeChange,
}
call!(UpdateVolumeType => ApiTopic, "update_volume_type", since 1, reply VolumeType);

impl Request for UpdateVolumeType {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<VolumeType>, Interrupt> {
        let was = at.control.volume_type(self.id).await?;
        let about_specs = matches!(
            self.change,
            VolumeTypeChange::SetExtraSpecs(_)
                | VolumeTypeChange::UnsetExtraSpec(_)
                | VolumeTypeChange::ChangeExtraSpecs(_)
        );
        if about_specs && at.control.catalog.type_in_use(was.id).await? {
            return Err(Error::bad_request("Volume Type is currently in use.").into());
        }
        let mut volume_type = was.record.clone();
        apply(&mut volume_type, &self.change)?;
        bounds::check_pairs(EXTRA_SPECS, &was.extra_specs, &volume_type.extra_specs)?;
        TYPE_ACCESS.check(
            bounds::projects(&was.projects),
            bounds::projects(&volume_type.projects),
        )?;
        if volume_type == was.record {
            return Ok(Began::Done(volume_type));
        }
        volume_type.updated_at = Some(Timestamp::now());
        let mut changes = at.control.catalog.change();
        changes.update(&was, &volume_type);
        if was.name != volume_type.name {
            // Cinder renames it, and then fails each create without a type.
            if was.name == at.control.options.default_volume_type {
                return Err(Error::bad_request(format!(
                    "The volume type {} is the default volume type and cannot be renamed.",
                    was.id
                ))
                .into());
            }
            let taken = at.control.catalog.volume_type_by_name(&volume_type.name).await?;
            if taken.is_some_and(|other| other.id != was.id) {
                return Err(exists(&volume_type.name).into());
            }
        }
        notify(at, &mut changes, &self.change, &was, &volume_type);
        changes.commit().await?;
        Ok(Began::Done(volume_type))
    }
}

/// Adds the events of a change of a type.
fn notify(
    at: &BeginContext<'_>,
    changes: &mut Changes,
    change: &VolumeTypeChange,
    was: &VolumeType,
    now: &VolumeType,
) {
    match change {
        VolumeTypeChange::Update { .. } => notify_type(at, changes, "update", now),
        VolumeTypeChange::AddProjectAccess(project) => notify_access(at, changes, "add", project, now),
        VolumeTypeChange::RemoveProjectAccess(project) => notify_access(at, changes, "remove", project, now),
        VolumeTypeChange::SetExtraSpecs(_)
        | VolumeTypeChange::UnsetExtraSpec(_)
        | VolumeTypeChange::ChangeExtraSpecs(_) => notify_extra_specs(at, changes, was, now),
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
