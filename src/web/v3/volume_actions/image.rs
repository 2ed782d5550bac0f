//! Actions about images: image metadata of a volume, and copies to and from images.

use super::OnVolume;
use crate::verbs::volume::VolumeChange;
use crate::web::policy::admin;
use crate::web::schema::prelude::*;
use crate::web::v3::prelude::*;

/// `os-show_image_metadata`
pub(in crate::web::v3) async fn show_metadata(on: OnVolume) -> HandlerResult {
    ok(&Named("metadata", &on.subject.image_metadata))
}

pub(in crate::web::v3) const SET_METADATA: Schema =
    object!([("metadata", IMAGE_METADATA)], Required(&["metadata"]));

/// `os-set_image_metadata`
pub(in crate::web::v3) async fn set_metadata(on: OnVolume) -> HandlerResult {
    let metadata = text_map(&on.arguments, "metadata").unwrap_or_default();
    let changed = on.change(VolumeChange::SetImageMetadata(metadata)).await?;
    ok(&Named("metadata", &changed.image_metadata))
}

pub(in crate::web::v3) const UNSET_METADATA: Schema = object!([("key", STRING_255)], Required(&["key"]));

/// `os-unset_image_metadata`
pub(in crate::web::v3) async fn unset_metadata(on: OnVolume) -> HandlerResult {
    let key = text(&on.arguments, "key").unwrap_or_default();
    if !on.subject.image_metadata.contains_key(key) {
        return Err(Fault::not_found(format!(
            "Glance metadata for volume/snapshot {} cannot be found.",
            on.volume_id()
        )));
    }
    on.change(VolumeChange::UnsetImageMetadata(key.to_owned()))
        .await?;
    Ok(HttpResponse::Ok().finish())
}

const DISK_FORMAT: Schema = Schema(&[
    Type(&[Kind::String]),
    Enum(&["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"]),
]);

macro_rules! upload {
    ($($later:expr),*) => {
        object!(
            [
                ("image_name", STRING_255),
                ("force", BOOLEAN),
                ("disk_format", DISK_FORMAT),
                ("container_format", DESCRIPTION),
                $($later),*
            ],
            Required(&["image_name"]),
        )
    };
}
pub(in crate::web::v3) const UPLOAD: Schema = upload!();
pub(in crate::web::v3) const UPLOAD_V31: Schema = upload!(
    (
        "visibility",
        Schema(&[
            Type(&[Kind::String]),
            Enum(&["community", "public", "private", "shared"])
        ])
    ),
    ("protected", BOOLEAN)
);

/// `os-volume_upload_image`: not implemented. A public image (3.1) requires another rule than a private one.
pub(in crate::web::v3) async fn upload(on: OnVolume) -> HandlerResult {
    if text(&on.arguments, "visibility") == Some("public") {
        on.caller
            .may(admin("volume_extension:volume_actions:upload_public"))?;
    }
    Err(Fault::not_implemented(
        "Uploading a volume to an image is not implemented.",
    ))
}

pub(in crate::web::v3) const REIMAGE: Schema = object!(
    [("image_id", UUID), ("reimage_reserved", BOOLEAN)],
    Required(&["image_id"])
);
