//! Access of initiators: an ACL for each, with the export's secret and a mapping to its LUN.
//!
//! At login the kernel converts an initiator's name to lower case, and looks for an ACL with exactly that name. So ACLs
//! have lower-case names; those with other spellings have no effect, and are removed when access of their initiator is
//! granted or revoked.

use std::path::Path;

use super::place::Place;
use crate::drivers::DriverResult;
use crate::drivers::targets::chap::Chap;
use crate::drivers::targets::configfs::{Editor, Tree};
use crate::drivers::targets::iscsi::{is_same_name, normalized};
use crate::model::volume::Secret;

/// The link from an initiator's LUN to the target's; any name would do.
const TO_LUN: &str = "lun";

/// Grants an initiator access. Existing write access is kept, unless the volume itself is read-only: two attachments of
/// one host share an ACL.
pub(super) fn grant(
    tree: &Editor<'_>,
    place: &Place,
    initiator: &str,
    chap: Option<&Chap>,
    readonly: bool,
    readonly_volume: bool,
) -> DriverResult<()> {
    let initiator = normalized(initiator);
    for other in spellings(tree, place, &initiator)? {
        if other != initiator {
            drop_acl(tree, &place.acl(&other))?;
        }
    }
    let acl = place.acl(&initiator);
    let lun = acl.join("lun_0");
    let protect = lun.join("write_protect");
    tree.make(&acl)?;
    tree.make(&lun)?;
    let is_mapped = tree.leads_to(&lun.join(TO_LUN), Path::new("lun/lun_0"));
    let may_write = is_mapped && tree.read(&protect).as_deref() == Some("0");
    tree.connect(&place.lun(), &lun.join(TO_LUN))?;
    let protected = readonly && (readonly_volume || !may_write);
    tree.set(&protect, if protected { "1" } else { "0" })?;
    // Last: without a secret the initiator cannot log in.
    match chap {
        Some(chap) => set_secret(tree, &acl, chap),
        None => Ok(()),
    }
}

/// Revokes access. Its sessions end after their pending writes.
pub(super) fn revoke(tree: &Editor<'_>, place: &Place, initiator: &str) -> DriverResult<()> {
    for name in spellings(tree, place, initiator)? {
        drop_acl(tree, &place.acl(&name))?;
    }
    Ok(())
}

pub(super) fn revoke_all(tree: &Editor<'_>, place: &Place) -> DriverResult<()> {
    for initiator in tree.folders(&place.acls())? {
        drop_acl(tree, &place.acl(&initiator))?;
    }
    Ok(())
}

/// The ACLs of this initiator, in any spelling.
fn spellings(tree: &Tree, place: &Place, initiator: &str) -> DriverResult<Vec<String>> {
    let mut names = tree.folders(&place.acls())?;
    names.retain(|name| is_same_name(name, initiator));
    Ok(names)
}

pub(super) fn drop_acl(tree: &Editor<'_>, acl: &Path) -> DriverResult<()> {
    for name in tree.folders(acl)? {
        if name.starts_with("lun_") {
            tree.disconnect_all(&acl.join(&name))?;
            tree.remove(&acl.join(name))?;
        }
    }
    tree.remove(acl)
}

/// Sets this secret for all initiators with access.
pub(super) fn change_secret(tree: &Editor<'_>, place: &Place, chap: &Chap) -> DriverResult<()> {
    for initiator in tree.folders(&place.acls())? {
        let acl = place.acl(&initiator);
        if secret_of(tree, &acl).is_some() {
            set_secret(tree, &acl, chap)?;
        }
    }
    Ok(())
}

/// The secret of any ACL: that of an export whose creator could not report it.
pub(super) fn some_secret(tree: &Tree, place: &Place) -> DriverResult<Option<Chap>> {
    let acls = tree.folders(&place.acls())?;
    Ok(acls
        .iter()
        .find_map(|initiator| secret_of(tree, &place.acl(initiator))))
}

fn secret_of(tree: &Tree, acl: &Path) -> Option<Chap> {
    let read = |name: &str| tree.read(&acl.join("auth").join(name));
    Chap::parse(&Secret::new(format!(
        "CHAP {} {}",
        read("userid")?,
        read("password")?
    )))
}

/// The name is set last: without one, the kernel accepts no login.
fn set_secret(tree: &Editor<'_>, acl: &Path, chap: &Chap) -> DriverResult<()> {
    tree.set(&acl.join("auth/password"), chap.reveal_password())?;
    tree.set(&acl.join("auth/userid"), chap.name())
}
