//! The first step of the create flow: find what the request names, and check it, in Cinder's order
//! (cinder: `api/v3/volumes.py` `create`, `volume/api.py` `create`, `ExtractVolumeRequestTask`).
//!
//! Groups, images and backups do not exist yet: each is answered like a missing one in Cinder, at its place in the
//! order. A volume is created from a volume or a snapshot; both are an [`Origin`].

use std::collections::{BTreeMap, BTreeSet};

use super::{CreateVolume, CreateVolumeEntry};
use crate::control::bounds::check_new_volume;
use crate::control::lookup::{check_type_size, snapshot_not_found};
use crate::model::bounds::{HINTS, text};
use crate::model::quota::{Deltas, volume_deltas};
use crate::model::spec::VolumeSource;
use crate::model::transitions::{Verb, snapshots};
use crate::model::{VolumeType, VolumeTypeId};
use crate::store::catalog::{Changes, Stored};
use crate::verbs::prelude::*;

/// The extra spec with the zones of a type.
const TYPE_ZONES: &str = "RESKEY:availability_zones";

/// The result of the first step; nothing of it is stored yet.
pub(super) struct Extracted {
    pub(super) volume: Volume,
    pub(super) operation: Operation,
    pub(super) volume_type: Stored<VolumeType>,
    /// The source of its content.
    pub(super) origin: Option<Origin>,
    /// Its usage.
    pub(super) deltas: Deltas,
}

impl Extracted {
    /// Requires in the commit that the source has not changed since it was read: a later delete of the source finds the
    /// copy in the journal, and waits for it.
    pub(super) fn require_origin(&self, changes: &mut Changes) {
        let Some(origin) = &self.origin else { return };
        match &origin.snapshot {
            Some(snapshot) => changes.require(snapshot),
            None => changes.require(&origin.volume),
        };
    }
}

/// The source of a new volume.
pub(super) struct Origin {
    /// The source volume, or the volume of the source snapshot.
    pub(super) volume: Stored<Volume>,
    /// The snapshot, if it is one.
    snapshot: Option<Stored<Snapshot>>,
}

impl Origin {
    /// The least size of the new volume, in GiB.
    fn size(&self) -> u32 {
        self.snapshot
            .as_ref()
            .map_or(self.volume.size, |snapshot| snapshot.volume_size)
    }

    fn volume_type_id(&self) -> Option<VolumeTypeId> {
        match &self.snapshot {
            Some(snapshot) => snapshot.volume_type_id,
            None => self.volume.volume_type_id,
        }
    }

    /// The source, as stored in the operation.
    fn source(&self) -> VolumeSource {
        match &self.snapshot {
            Some(snapshot) => VolumeSource::Snapshot {
                id: snapshot.id,
                volume_id: snapshot.volume_id,
                size: snapshot.volume_size,
            },
            None => VolumeSource::Volume {
                id: self.volume.id,
                size: self.volume.size,
            },
        }
    }

    /// Checks its status, and that a volume of that size is large enough.
    fn check(&self, size: u32) -> Result<()> {
        // The double space is Cinder's.
        let (source, original) = match &self.snapshot {
            Some(snapshot) => {
                snapshots::create_volume_from(snapshot)?;
                ("the snapshot size ", "snapshot")
            }
            None => {
                decide(&self.volume, &[], Verb::CloneFrom)?;
                ("original volume size  ", "volume")
            }
        };
        let least = self.size();
        if size < least {
            return Err(Error::invalid_input(format!(
                "Volume size '{size}'GB cannot be smaller than {source}{least}GB. They must be >= original {original} size."
            )));
        }
        Ok(())
    }
}

pub(super) async fn extract(at: &BeginContext<'_>, request: &CreateVolume) -> Result<Extracted> {
    let BeginContext { control, context, .. } = at;
    HINTS.check(0, request.hints.as_deref().map_or(0, text))?;
    let asked_type = match &request.volume_type {
        Some(name) => Some(control.find_volume_type(context, name).await?),
        None => None,
    };
    let snapshot = match request.snapshot_id {
        Some(id) => Some(control.find_snapshot(context, &id.to_string()).await?),
        None => None,
    };
    let source = match request.source_volid {
        Some(id) => Some(control.find_volume(context, &id.to_string()).await?),
        None => None,
    };
    if let Some(id) = request.group_id {
        return Err(Error::not_found(format!("Group {id} could not be found.")));
    }
    if request.image.is_some() {
        return Err(Error::bad_request(
            "Invalid image identifier or unable to access requested image.",
        ));
    }
    if let Some(id) = request.backup_id {
        return Err(Error::not_found(format!("Backup {id} could not be found.")));
    }
    let origin = control.origin(snapshot, source).await?;
    let size = size(request.size, origin.as_ref())?;
    let volume_type = control.type_to_use(context, asked_type, origin.as_ref()).await?;
    check_type_size(&volume_type, size)?;
    control.check_key_manager(&volume_type).await?;
    if let Some(origin) = &origin {
        control.check_type(origin, &volume_type).await?;
        origin.check(size)?;
    }
    let availability_zone = control.zone(request, &volume_type, origin.as_ref()).await?;
    let (volume, operation) = new_records(
        at,
        request,
        &volume_type,
        origin.as_ref(),
        size,
        availability_zone,
    )?;
    check_new_volume(&volume)?;
    let deltas = volume_deltas(size, Some(volume_type.id));
    Ok(Extracted {
        volume,
        operation,
        volume_type,
        origin,
        deltas,
    })
}

impl Control {
    async fn origin(
        &self,
        snapshot: Option<Stored<Snapshot>>,
        source: Option<Stored<Volume>>,
    ) -> Result<Option<Origin>> {
        match (snapshot, source) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Error::invalid_input(
                "May specify only one of backup, imageRef, snapshot, source volume",
            )),
            (None, Some(volume)) => Ok(Some(Origin {
                volume,
                snapshot: None,
            })),
            (Some(snapshot), None) => {
                let volume = self.catalog.volume(snapshot.volume_id).await?;
                // It and its volume may have been deleted meanwhile.
                let volume = volume.ok_or_else(|| snapshot_not_found(snapshot.id))?;
                Ok(Some(Origin {
                    volume,
                    snapshot: Some(snapshot),
                }))
            }
        }
    }

    /// The requested type, else the origin's, else the default.
    async fn type_to_use(
        &self,
        context: &crate::model::Context,
        asked: Option<Stored<VolumeType>>,
        origin: Option<&Origin>,
    ) -> Result<Stored<VolumeType>> {
        match (asked, origin.and_then(Origin::volume_type_id)) {
            (Some(asked), _) => Ok(asked),
            (None, Some(id)) => self.volume_type(id).await,
            (None, None) => self.default_volume_type_for(context).await,
        }
    }

    async fn check_type(&self, origin: &Origin, volume_type: &VolumeType) -> Result<()> {
        if origin.volume_type_id() == Some(volume_type.id)
            || self.retype_is_possible(&origin.volume, volume_type).await?
        {
            return Ok(());
        }
        let advice = match origin.snapshot {
            Some(_) => "recommend omitting the type argument",
            None => "either match source volume, or omit type argument",
        };
        Err(Error::invalid_input(format!(
            "Invalid volume_type provided: {} (requested type is not compatible; {advice}).",
            volume_type.id
        )))
    }

    /// Whether a copy may have this type: if there is only one backend, or both types select the same one.
    async fn retype_is_possible(&self, source: &Volume, volume_type: &VolumeType) -> Result<bool> {
        let services = self.catalog.services().await?;
        let backends = services
            .iter()
            .filter(|service| service.binary == "cinder-volume");
        if backends.count() == 1 {
            return Ok(true);
        }
        let name = |specs: &BTreeMap<String, String>| specs.get("volume_backend_name").cloned();
        let of_source = self
            .type_of(source)
            .await?
            .and_then(|found| name(&found.extra_specs));
        Ok(of_source.is_some() && of_source == name(&volume_type.extra_specs))
    }

    async fn zone(
        &self,
        request: &CreateVolume,
        volume_type: &VolumeType,
        origin: Option<&Origin>,
    ) -> Result<String> {
        let asked = request
            .availability_zone
            .as_deref()
            .or(origin.map(|origin| origin.volume.availability_zone.as_str()));
        let of_type = type_zones(volume_type);
        let default = self.options.default_zone();
        // For most requests the known zones are not needed.
        let known = match (&of_type, asked) {
            (None, None) => return Ok(default.to_owned()),
            (None, Some(asked)) if asked == self.options.storage_availability_zone => {
                BTreeSet::from([asked.to_owned()])
            }
            _ => self.known_zones().await?,
        };
        let zone = choose_zone(
            &known,
            of_type.as_deref(),
            asked,
            default,
            self.options.allow_availability_zone_fallback,
        )?;
        match origin {
            Some(origin)
                if self.options.cloned_volume_same_az
                    && !zone.is_empty()
                    && origin.volume.availability_zone != zone =>
            {
                let what = if origin.snapshot.is_some() {
                    "snapshot"
                } else {
                    "source volume"
                };
                Err(Error::invalid_input(format!(
                    "Volume must be in the same availability zone as the {what}"
                )))
            }
            _ => Ok(zone),
        }
    }

    /// The zones of all known backends, and the one that always exists.
    async fn known_zones(&self) -> Result<BTreeSet<String>> {
        let services = self.catalog.services().await?;
        let mut zones: BTreeSet<String> = services
            .iter()
            .filter(|service| service.binary == "cinder-volume")
            .map(|service| service.availability_zone.clone())
            .collect();
        zones.insert(self.options.storage_availability_zone.clone());
        Ok(zones)
    }
}

fn new_records(
    at: &BeginContext<'_>,
    request: &CreateVolume,
    volume_type: &VolumeType,
    origin: Option<&Origin>,
    size: u32,
    availability_zone: String,
) -> Result<(Volume, Operation)> {
    let mut volume = Volume {
        name: request.name.clone(),
        description: request.description.clone(),
        volume_type_id: Some(volume_type.id),
        metadata: request.metadata.clone(),
        image_metadata: origin
            .map(|origin| origin.volume.image_metadata.clone())
            .unwrap_or_default(),
        snapshot_id: origin.and_then(|origin| origin.snapshot.as_ref().map(|snapshot| snapshot.id)),
        source_volid: origin
            .filter(|origin| origin.snapshot.is_none())
            .map(|origin| origin.volume.id),
        bootable: origin.is_some_and(|origin| origin.volume.bootable),
        multiattach: volume_type.is_multiattach(),
        ..Volume::new(
            at.context.own_project()?.clone(),
            at.context.user_id.clone(),
            size,
            VolumeStatus::Creating,
            availability_zone,
            Timestamp::now(),
        )
    };
    let entry = CreateVolumeEntry {
        hints: request.hints.clone(),
        source: origin.map_or(VolumeSource::Raw, Origin::source),
    };
    let mut operation = at.operation(&entry, Subject::Volume(volume.id), &volume)?;
    operation.copied_from = entry.source.id();
    volume.operation = Some(operation.id);
    Ok((volume, operation))
}

fn size(asked: Option<u32>, origin: Option<&Origin>) -> Result<u32> {
    match asked.or(origin.map(Origin::size)) {
        Some(0) => Err(Error::invalid_input(
            "Invalid volume size provided for create request: 0 (size argument must be an integer (or string \
             representation of an integer) and greater than zero).",
        )),
        Some(size) => Ok(size),
        None => Err(Error::invalid_input(
            "Volume size must be an integer and greater than 0",
        )),
    }
}

/// The zones of a type; `None` if it has none.
fn type_zones(volume_type: &VolumeType) -> Option<Vec<String>> {
    let spec = volume_type.extra_specs.get(TYPE_ZONES)?;
    Some(
        spec.split(',')
            .filter(|zone| !zone.is_empty())
            .map(|zone| zone.trim().to_owned())
            .collect(),
    )
}

/// The zone of a new volume (cinder: `_extract_availability_zones`). Empty if the type allows several: then it is that
/// of the chosen host.
fn choose_zone(
    known: &BTreeSet<String>,
    of_type: Option<&[String]>,
    asked: Option<&str>,
    default: &str,
    fallback: bool,
) -> Result<String> {
    let safe: BTreeSet<&str> = match of_type {
        Some(zones) => zones
            .iter()
            .map(String::as_str)
            .filter(|zone| known.contains(*zone))
            .collect(),
        None => known.iter().map(String::as_str).collect(),
    };
    if let Some(zones) = of_type.filter(|_| safe.is_empty()) {
        let listed = zones
            .iter()
            .map(|zone| format!("'{zone}'"))
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Error::bad_request(format!(
            "Volume type is only supported in these availability zones: [{listed}]"
        )));
    }
    match asked.or(of_type.is_none().then_some(default)) {
        Some(zone) if safe.contains(zone) => Ok(zone.to_owned()),
        Some(_) if fallback => Ok(default.to_owned()),
        Some(zone) => Err(Error::bad_request(format!(
            "Availability zone '{zone}' is invalid."
        ))),
        None if safe.len() == 1 => Ok(safe.into_iter().collect()),
        None => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::choose_zone;

    fn choose(of_type: Option<&[&str]>, asked: Option<&str>, fallback: bool) -> Result<String, String> {
        let known = BTreeSet::from(["nova".to_owned(), "mars".to_owned()]);
        let of_type: Option<Vec<String>> =
            of_type.map(|zones| zones.iter().map(|z| (*z).to_owned()).collect());
        choose_zone(&known, of_type.as_deref(), asked, "nova", fallback).map_err(|error| error.client)
    }

    #[test]
    fn the_zone_is_the_one_asked_for_or_the_default_and_a_type_narrows_it() {
        assert_eq!(choose(None, None, false), Ok("nova".into()));
        assert_eq!(choose(None, Some("mars"), false), Ok("mars".into()));
        assert_eq!(
            choose(None, Some("x"), false),
            Err("Availability zone 'x' is invalid.".into())
        );
        assert_eq!(choose(None, Some("x"), true), Ok("nova".into()));
        assert_eq!(choose(Some(&["mars"]), None, false), Ok("mars".into()));
        assert_eq!(choose(Some(&["mars", "nova"]), None, false), Ok(String::new()));
        assert_eq!(
            choose(Some(&["mars"]), Some("nova"), false),
            Err("Availability zone 'nova' is invalid.".into())
        );
        assert_eq!(
            choose(Some(&["x", "y"]), None, false),
            Err("Volume type is only supported in these availability zones: ['x', 'y']".into())
        );
    }
}
