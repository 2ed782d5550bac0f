//! A backend that exports by a `tgtd` of its own.

use std::path::Path;

use super::finding::Told;
use super::machine::locks;
use super::{portal, programs};
use crate::config::Backend;
use crate::drivers::Work;
use crate::drivers::command::Command;
use crate::drivers::targets::tgt;

/// Tells of its programs, its folder and its portals.
pub fn check(name: &str, backend: &Backend, data_dir: &Path, work: &Work, told: &Told) {
    let [tgtd, tgtadm, setpriv] = tgt::programs(&backend.tgtd, &backend.tgtadm);
    for (field, command) in [("tgtd", tgtd), ("tgtadm", tgtadm)] {
        let key = format!("backend.{name}.{field}");
        match command.find() {
            Ok(_) => version(field, &key, &command, work, told),
            Err(error) => programs::tell("tgt.programs", Some(&key), &error, told),
        }
    }
    programs::check("tgt.programs", &[setpriv], told);
    let folder = tgt::folder(data_dir, name);
    if !tgt::has_room_for_socket(&folder) {
        told.fault(
            "tgt.socket",
            format!("{} is too long a path for a socket", folder.display()),
            "set node.data_dir to a shorter path",
        );
    }
    let held = locks::held(&folder.join("lock"));
    portal::check(name, backend, told, &|_, _, owner| portal::of_tgtd(held, owner));
}

fn version(field: &str, key: &str, command: &Command, work: &Work, told: &Told) {
    match command.clone().arg("--version").run(work) {
        Ok(output) => {
            let version = output.stdout.text();
            let first = version.lines().next().unwrap_or_default();
            told.ok("tgt.programs", format!("{field} {first}"));
        }
        Err(error) => programs::tell("tgt.programs", Some(key), &error, told),
    }
}
