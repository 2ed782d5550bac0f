//! Who may log in: an ACL for each initiator, with the export's secret and a way to its LUN.
//!
//! The kernel makes an initiator's name lower-case when it logs in, and looks for an ACL of exactly that name. So that is what they are
//! called; those of another spelling let nobody in, and go when their initiator comes or leaves.

use std::path::Path;

use super::place::Place;
use crate::drivers::DriverResult;
use crate::drivers::targets::chap::Chap;
use crate::drivers::targets::configfs::{Editor, Tree};
use crate::drivers::targets::iscsi::{is_same_name, normalized};
use crate::model::volume::Secret;

/// The link from an initiator's LUN to the target's; any name would do.
const TO_LUN: &str = "lun";

/// Lets an initiator in. One that may write already stays so, unless the volume itself may only be read: two attachments of
/// one host have one ACL.
pub(super) fn let_in(
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
    // Last: with no secret that an initiator could prove to have, it stays out.
    match chap {
        Some(chap) => set_secret(tree, &acl, chap),
        None => Ok(()),
    }
}

/// Lets it in no longer. Its sessions end; what they were about to write is written, or waited for.
pub(super) fn shut_out(tree: &Editor<'_>, place: &Place, initiator: &str) -> DriverResult<()> {
    for name in spellings(tree, place, initiator)? {
        drop_acl(tree, &place.acl(&name))?;
    }
    Ok(())
}

pub(super) fn shut_out_all(tree: &Editor<'_>, place: &Place) -> DriverResult<()> {
    for initiator in tree.folders(&place.acls())? {
        drop_acl(tree, &place.acl(&initiator))?;
    }
    Ok(())
}

/// The ACLs that are this initiator's, however their names are spelled.
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

/// Gives all who are let in this secret.
pub(super) fn change_secret(tree: &Editor<'_>, place: &Place, chap: &Chap) -> DriverResult<()> {
    for initiator in tree.folders(&place.acls())? {
        let acl = place.acl(&initiator);
        if secret_of(tree, &acl).is_some() {
            set_secret(tree, &acl, chap)?;
        }
    }
    Ok(())
}

/// The secret of one of them: what an export was given by one who could not tell it any more.
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

/// The name comes last: without one, the kernel lets nobody prove anything.
fn set_secret(tree: &Editor<'_>, acl: &Path, chap: &Chap) -> DriverResult<()> {
    tree.set(&acl.join("auth/password"), chap.reveal_password())?;
    tree.set(&acl.join("auth/userid"), chap.name())
}
