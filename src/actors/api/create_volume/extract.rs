//! The first step of the create flow: find what the request names, and check it, in Cinder's order
//! (cinder: `api/v3/volumes.py` `create`, `volume/api.py` `create`, `ExtractVolumeRequestTask`).
//!
//! Snapshots, groups, images and backups do not exist yet: each is answered as Cinder answers for one that is not there,
//! at its place in the order. So no request comes by with two sources.

use std::collections::{BTreeMap, BTreeSet};

use crate::actors::api::ApiActor;
use crate::actors::api::lookup::{check_type_size, store_failed};
use crate::messages::api::CreateVolume;
use crate::model::quota::{Deltas, volume_deltas};
use crate::model::transitions::{Verb, decide};
use crate::model::{
    AttachStatus, Context, Error, Operation, OperationKind, Result, Timestamp, Volume, VolumeId,
    VolumeStatus, VolumeType,
};
use crate::store::catalog::Stored;

/// The extra spec that says in which zones a type is offered.
const TYPE_ZONES: &str = "RESKEY:availability_zones";

/// What was found and made of a request; nothing of it is stored yet.
pub(super) struct Extracted {
    /// The record to be.
    pub(super) volume: Volume,
    /// The operation to be.
    pub(super) operation: Operation,
    /// The volume's type.
    pub(super) volume_type: Stored<VolumeType>,
    /// The volume it is cloned from.
    pub(super) source: Option<Stored<Volume>>,
    /// What it counts for.
    pub(super) deltas: Deltas,
}

impl ApiActor {
    pub(super) async fn extract(&self, context: &Context, request: &CreateVolume) -> Result<Extracted> {
        let asked_type = match &request.volume_type {
            Some(name) => Some(self.find_volume_type(context, name).await?),
            None => None,
        };
        if let Some(id) = request.snapshot_id {
            return Err(Error::not_found(format!("Snapshot {id} could not be found.")));
        }
        let source = match request.source_volid {
            Some(id) => Some(self.find_volume(context, &id.to_string()).await?),
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
        let size = size(request.size, source.as_deref())?;
        let volume_type = self.type_to_use(asked_type, source.as_deref()).await?;
        check_type_size(&volume_type, size)?;
        if let Some(source) = source.as_deref() {
            self.check_source(source, &volume_type, size).await?;
        }
        let availability_zone = self.zone(request, &volume_type, source.as_deref()).await?;
        let (volume, operation) = self.new_records(
            context,
            request,
            &volume_type,
            source.as_deref(),
            size,
            availability_zone,
        );
        let deltas = volume_deltas(size, Some(&volume_type.name));
        Ok(Extracted {
            volume,
            operation,
            volume_type,
            source,
            deltas,
        })
    }

    /// The type asked for, else the source's, else the default.
    async fn type_to_use(
        &self,
        asked: Option<Stored<VolumeType>>,
        source: Option<&Volume>,
    ) -> Result<Stored<VolumeType>> {
        match (asked, source.and_then(|source| source.volume_type_id)) {
            (Some(asked), _) => Ok(asked),
            (None, Some(id)) => self.volume_type(id).await,
            (None, None) => self.default_volume_type().await,
        }
    }

    async fn check_source(&self, source: &Volume, volume_type: &VolumeType, size: u32) -> Result<()> {
        if source.volume_type_id != Some(volume_type.id)
            && !self.retype_is_possible(source, volume_type).await?
        {
            return Err(Error::invalid_input(format!(
                "Invalid volume_type provided: {} (requested type is not compatible; either match source volume, or \
                 omit type argument).",
                volume_type.id
            )));
        }
        decide(source, &[], Verb::CloneFrom)?;
        if size < source.size {
            return Err(Error::invalid_input(format!(
                "Volume size '{size}'GB cannot be smaller than original volume size  {}GB. They must be >= original \
                 volume size.",
                source.size
            )));
        }
        Ok(())
    }

    /// Whether a copy may have this type: there is one backend only, or both types name the same one.
    async fn retype_is_possible(&self, source: &Volume, volume_type: &VolumeType) -> Result<bool> {
        let services = self
            .deps
            .catalog
            .services()
            .await
            .map_err(|error| store_failed(&error))?;
        if services
            .iter()
            .filter(|service| service.binary == "cinder-volume")
            .count()
            == 1
        {
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
        source: Option<&Volume>,
    ) -> Result<String> {
        let asked = request
            .availability_zone
            .as_deref()
            .or(source.map(|s| s.availability_zone.as_str()));
        let of_type = type_zones(volume_type);
        let default = self.options.default_zone();
        // Most requests: no need to ask who is there.
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
        match source {
            Some(source)
                if self.options.cloned_volume_same_az
                    && !zone.is_empty()
                    && source.availability_zone != zone =>
            {
                Err(Error::invalid_input(
                    "Volume must be in the same availability zone as the source volume",
                ))
            }
            _ => Ok(zone),
        }
    }

    /// The zones that backends were ever seen in, and the one that always exists.
    async fn known_zones(&self) -> Result<BTreeSet<String>> {
        let services = self
            .deps
            .catalog
            .services()
            .await
            .map_err(|error| store_failed(&error))?;
        let mut zones: BTreeSet<String> = services
            .iter()
            .filter(|service| service.binary == "cinder-volume")
            .map(|service| service.availability_zone.clone())
            .collect();
        zones.insert(self.options.storage_availability_zone.clone());
        Ok(zones)
    }

    fn new_records(
        &self,
        context: &Context,
        request: &CreateVolume,
        volume_type: &VolumeType,
        source: Option<&Volume>,
        size: u32,
        availability_zone: String,
    ) -> (Volume, Operation) {
        let mut volume = Volume {
            id: VolumeId::new(),
            project_id: context.project_id.clone(),
            user_id: context.user_id.clone(),
            name: request.name.clone(),
            description: request.description.clone(),
            size,
            status: VolumeStatus::Creating,
            previous_status: None,
            attach_status: AttachStatus::Detached,
            migration_status: None,
            volume_type_id: Some(volume_type.id),
            availability_zone,
            host: None,
            placed: false,
            metadata: request.metadata.clone(),
            admin_metadata: BTreeMap::new(),
            image_metadata: source
                .map(|source| source.image_metadata.clone())
                .unwrap_or_default(),
            snapshot_id: None,
            source_volid: source.map(|source| source.id),
            group_id: None,
            bootable: source.is_some_and(|source| source.bootable),
            multiattach: volume_type.is_multiattach(),
            encryption_key_id: None,
            replication_status: None,
            consumes_quota: true,
            provider_location: None,
            provider_auth: None,
            provider_id: None,
            service_uuid: None,
            // Cinder's word until the backend has made it (cinder: `db` default).
            shared_targets: Some(true),
            operation: None,
            created_at: Timestamp::now(),
            updated_at: None,
            scheduled_at: None,
            launched_at: None,
        };
        let kind = OperationKind::CreateVolume {
            hints: request.hints.clone(),
        };
        let operation = self.new_operation(context, kind, &volume, None);
        volume.operation = Some(operation.id);
        (volume, operation)
    }
}

fn size(asked: Option<u32>, source: Option<&Volume>) -> Result<u32> {
    match asked.or(source.map(|source| source.size)) {
        Some(0) => Err(Error::invalid_input(
            "Invalid volume size provided for create request: 0 (size argument must be an integer (or string \
             representation of an integer) and greater than zero).",
        )),
        Some(size) => Ok(size),
        None => Err(Error::invalid_input(
            "Volume size 'None' must be an integer and greater than 0",
        )),
    }
}

/// The zones that a type is offered in; `None` if it does not say.
fn type_zones(volume_type: &VolumeType) -> Option<Vec<String>> {
    let spec = volume_type.extra_specs.get(TYPE_ZONES)?;
    Some(
        spec.split(',')
            .filter(|zone| !zone.is_empty())
            .map(|zone| zone.trim().to_owned())
            .collect(),
    )
}

/// The zone of a new volume (cinder: `_extract_availability_zones`). Empty if the type leaves several open: then it is
/// that of the host which is found.
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
