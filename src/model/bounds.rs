//! Bounds of user input: one limit for each part of each record, and the space that is reserved in addition.
//!
//! A record has a largest size ([`RECORD`]), but Cinder bounds neither the number of metadata nor the size of a connector. A
//! record that its owner filled could not be changed any more: not placed, not attached, not deleted. So each part that
//! users fill has a separate bound, checked when the request is decided, and the bounds of a record's parts together with
//! the later additions of the service ([`PLACEMENT`], failed attempts, …) fit into the record. The sums are checked when
//! this file is compiled.
//!
//! Records of earlier versions may exceed these bounds ([`EARLIER_RECORD`] was the only one). All transitions are still
//! possible for them: [`RECORD`] has enough space for what transitions add to the largest of them. The user's parts may become
//! smaller, but not larger, until they are within the bound.
//!
//! Sizes are those of the stored encoding: 8 bytes of length before each text.

use std::collections::{BTreeMap, BTreeSet};

use super::{Connector, Error, PoolName, ProjectId, Result};

const KIB: usize = 1024;

/// The largest record, in bytes. The store would write a value larger than 128 KiB to a separate file (`store`).
pub const RECORD: usize = 120 * KIB;

/// The largest record of versions that had no bound on parts.
pub const EARLIER_RECORD: usize = 96 * KIB;

/// The most bytes that one commit may change: the limit of the store's engines (etcd: 1.5 MiB per request), less space
/// for keys and conditions.
pub const COMMIT: usize = KIB * KIB;

/// The most records that one commit changes if users determine their number: more are changed in several commits.
/// (etcd: 128 operations in a transaction.)
pub const RECORDS_IN_A_COMMIT: usize = 8;

/// The most characters of a name or an id (cinder: `String(255)`).
pub const CHARACTERS: usize = 255;

/// A text of so many characters of 4 bytes.
pub const TEXT: usize = 8 + CHARACTERS * 4;

/// A part of a record that users fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in answers.
    pub name: &'static str,
    /// Its largest size, in bytes.
    pub bytes: usize,
}

/// Metadata of a snapshot; of a volume, with its image metadata. A value of 65,535 bytes, the longest that Cinder accepts
/// from an image, fits in addition to others.
pub const METADATA: Part = part("metadata", 100 * KIB);
/// Connectors of the old API (`os-initialize_connection`), stored in the volume.
pub const OLD_CONNECTORS: Part = part("connectors of the volume", 9 * KIB);
/// One connector.
pub const CONNECTOR: Part = part("connector", 8 * KIB);
/// Connectors of all attachments of one volume: they are sent to the volume's backend in one message.
pub const CONNECTORS_OF_VOLUME: Part = part("connectors of the volume's attachments", 384 * KIB);
/// Scheduler hints of a request.
pub const HINTS: Part = part("scheduler_hints", 16 * KIB);
/// The reference to existing storage that is to be adopted.
pub const REFERENCE: Part = part("ref", 4 * KIB);
/// Extra specs of a type.
pub const EXTRA_SPECS: Part = part("extra_specs", 32 * KIB);
/// Limits of QoS specs: as JSON, which may be six times as long, they are part of the connection data.
pub const QOS_SPECS: Part = part("qos_specs", 4 * KIB);
/// Projects that may use a private type.
pub const TYPE_ACCESS: Part = part("access list of the volume type", 64 * KIB);

/// Description, tags and further attributes of a user, project or role.
pub const IDENTITY_ATTRIBUTES: Part = part("attributes", 16 * KIB);

/// The most users that are created over the API.
pub const USERS: usize = 10_000;
/// The most such projects.
pub const PROJECTS: usize = 10_000;
/// The most such roles.
pub const ROLES: usize = 256;
/// The most application credentials of one user.
pub const APPLICATION_CREDENTIALS: usize = 100;

/// The most attachments of one volume.
pub const ATTACHMENTS: usize = 512;
/// The most snapshots of one volume: a cascading delete lists them all in one message.
pub const SNAPSHOTS: usize = 1000;
/// The most pools that are tried for one volume, whatever the configuration says.
pub const ATTEMPTS: u32 = 16;
/// The most steps in a journal entry.
pub const STEPS: usize = 48;

/// The stored cause of a failure; the rest is truncated.
pub const CAUSE: usize = KIB;
/// The stored name or outcome of a step.
pub const STEP_TEXT: usize = 256;
/// The most bytes of `host@backend#pool` (cinder: column `volumes.host`). The configuration and the reports of other nodes
/// and drivers are checked for it.
pub const PLACE: usize = 255;
/// The three parts of a place, as stored.
pub const HOST: usize = KIB;
/// The backend's data of an export: `provider_location` and `provider_auth`.
pub const EXPORT: usize = 2 * KIB;
/// The driver's id of the volume.
pub const PROVIDER_ID: usize = KIB / 2;
/// The connection data that the backend reports.
pub const CONNECTION_INFO: usize = 32 * KIB;

/// Numbers, states, times and ids of any record.
const FIXED: usize = KIB / 2;

/// What transitions add to a volume that is not placed yet.
pub const PLACEMENT: usize = HOST + EXPORT + PROVIDER_ID + FIXED;

/// What one failed attempt adds to a journal entry.
const ATTEMPT: usize = HOST + CAUSE + 64;

const VOLUME: usize = METADATA.bytes + OLD_CONNECTORS.bytes + 5 * TEXT + PLACEMENT + FIXED;
const SNAPSHOT: usize = METADATA.bytes + 4 * TEXT + PROVIDER_ID + FIXED;
const ATTACHMENT: usize = 3 * CONNECTOR.bytes + CONNECTION_INFO + 3 * TEXT + FIXED;
const VOLUME_TYPE: usize = EXTRA_SPECS.bytes + TYPE_ACCESS.bytes + 2 * TEXT + FIXED;
const OPERATION: usize = HINTS.bytes
    + ATTEMPT * ATTEMPTS as usize
    + STEPS * (2 * STEP_TEXT + 64)
    + 3 * TEXT
    + HOST
    + 8 * 64
    + FIXED;
const MESSAGE: usize = CAUSE + 4 * TEXT + FIXED;
const SERVICE: usize = PLACE + 3 * TEXT + FIXED;
/// An id of a role, as stored.
const ROLE_ID: usize = 8 + 64;
const IDENTITY: usize = IDENTITY_ATTRIBUTES.bytes + (ROLES + 64) * ROLE_ID + 6 * TEXT + FIXED;

const _: () = {
    // Each of the three has a length prefix.
    assert!(PLACE + 3 * 8 <= HOST);
    assert!(VOLUME <= RECORD && SNAPSHOT <= RECORD && ATTACHMENT <= RECORD);
    assert!(QOS_SPECS.bytes + TEXT + FIXED <= RECORD);
    assert!(IDENTITY <= RECORD);
    assert!(VOLUME_TYPE <= RECORD && OPERATION <= RECORD && MESSAGE <= RECORD && SERVICE <= RECORD);
    // The key of a connector in the volume is its name, or a hash of it.
    assert!(CONNECTOR.bytes + 8 + 16 + 255 <= OLD_CONNECTORS.bytes);
    assert!(CONNECTOR.bytes <= HINTS.bytes && REFERENCE.bytes <= HINTS.bytes);
    assert!(EARLIER_RECORD + OLD_CONNECTORS.bytes + PLACEMENT <= RECORD);
    // A volume with its operation and a few of its attachments or snapshots.
    assert!(RECORD * RECORDS_IN_A_COMMIT <= COMMIT);
};

const fn part(name: &'static str, bytes: usize) -> Part {
    Part { name, bytes }
}

impl Part {
    /// Refuses a part that would exceed its bound, unless it does not become larger than before.
    ///
    /// # Errors
    /// 413 that names the part and its bound.
    pub fn check(self, was: usize, now: usize) -> Result<()> {
        if now <= self.bytes || now <= was {
            return Ok(());
        }
        Err(Error::too_large(format!(
            "Invalid {} size: {now} bytes, more than {}.",
            self.name, self.bytes
        )))
    }
}

/// The size of a text.
pub fn text(text: &str) -> usize {
    8 + text.len()
}

/// The size of pairs.
pub fn pairs(pairs: &BTreeMap<String, String>) -> usize {
    pairs.iter().map(|(key, value)| text(key) + text(value)).sum()
}

/// The size of pairs whose value may be missing.
pub fn optional_pairs(pairs: &BTreeMap<String, Option<String>>) -> usize {
    let size = |value: &Option<String>| 1 + value.as_deref().map_or(0, text);
    pairs.iter().map(|(key, value)| text(key) + size(value)).sum()
}

/// The size of a list of projects.
pub fn projects(projects: &BTreeSet<ProjectId>) -> usize {
    projects.iter().map(|project| text(project.as_str())).sum()
}

/// Refuses pairs that would exceed the bound of their part.
///
/// # Errors
/// Those of [`Part::check`].
pub fn check_pairs(part: Part, was: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Result<()> {
    part.check(pairs(was), pairs(now))
}

/// Refuses a connector that is too large.
///
/// # Errors
/// Those of [`Part::check`].
pub fn check_connector(connector: &Connector) -> Result<()> {
    CONNECTOR.check(0, connector.weight())
}

/// Refuses a name or an id that is too long for a record.
///
/// # Errors
/// 400 that names it, its length and the bound.
pub fn check_length(name: &str, what: &str) -> Result<()> {
    let length = name.chars().count();
    if length <= CHARACTERS {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "{what} has {length} characters, more than {CHARACTERS}."
    )))
}

/// Whether a reported place can be stored, and parsed again.
pub fn is_place(place: &PoolName) -> bool {
    let text = place.to_string();
    text.len() <= PLACE && text.parse().as_ref() == Ok(place)
}

/// Refuses one more if the volume has `most` already.
///
/// # Errors
/// 413 that names the bound.
pub fn check_count(what: &str, count: usize, most: usize) -> Result<()> {
    if count < most {
        return Ok(());
    }
    Err(Error::too_large(format!(
        "Invalid number of {what}: the volume has {count}, and may have {most}."
    )))
}

/// Truncates a text to at most so many bytes, with a mark.
pub fn cut(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_its_bound_may_become_smaller_and_not_larger() {
        let most = METADATA.bytes;
        assert!(METADATA.check(0, most).is_ok());
        assert!(METADATA.check(most + 9, most + 9).is_ok());
        assert!(METADATA.check(most + 9, most + 8).is_ok());
        let error = METADATA.check(most, most + 1).unwrap_err();
        assert_eq!(
            error.client,
            "Invalid metadata size: 102401 bytes, more than 102400."
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcdef", 5), "ab…");
        assert_eq!(cut("😀😀😀", 8), "😀…");
        assert_eq!(cut("😀😀😀", 2), "…");
    }

    #[test]
    fn the_page_for_users_has_each_bound() {
        let page = include_str!("../../docs/reference/bounds.md");
        let has = |what: &str, bound: String| {
            let line = format!("| {what}");
            let found = page.lines().find(|candidate| candidate.starts_with(&line));
            assert!(found.is_some_and(|line| line.contains(&bound)), "{what}: {bound}");
        };
        for (what, part) in [
            (
                "metadata of a snapshot; metadata and image metadata of a volume",
                METADATA,
            ),
            ("scheduler hints", HINTS),
            ("a connector", CONNECTOR),
            ("connectors of one volume, the old way", OLD_CONNECTORS),
            (
                "connectors of all attachments of one volume",
                CONNECTORS_OF_VOLUME,
            ),
            ("`ref` of something to be adopted", REFERENCE),
            ("extra specs of a type", EXTRA_SPECS),
            ("access list of a private type", TYPE_ACCESS),
            (
                "description, tags and attributes of a user, project or role",
                IDENTITY_ATTRIBUTES,
            ),
        ] {
            has(what, format!("| {} KiB", part.bytes / KIB));
        }
        has(
            "application credentials of one user",
            format!("| {APPLICATION_CREDENTIALS} |"),
        );
        has("attachments of one volume", format!("| {ATTACHMENTS} |"));
        has("snapshots of one volume", format!("| {SNAPSHOTS} |"));
        has("pools that are tried for one volume", format!("| {ATTEMPTS} |"));
    }
}
