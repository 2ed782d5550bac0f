//! A backend that exports with its own `tgtd`.

use std::path::Path;

use super::finding::Reporter;
use super::machine::locks;
use super::{portal, programs};
use crate::config::Backend;
use crate::drivers::Work;
use crate::drivers::command::Command;
use crate::drivers::targets::tgt;

/// Checks its programs, its folder and its portals.
pub fn check(name: &str, backend: &Backend, data_dir: &Path, work: &Work, reporter: &Reporter) {
    let [tgtd, tgtadm, setpriv] = tgt::programs(&backend.tgtd, &backend.tgtadm);
    for (field, command) in [("tgtd", tgtd), ("tgtadm", tgtadm)] {
        let key = format!("backend.{name}.{field}");
        match command.find() {
            Ok(_) => version(field, &key, &command, work, reporter),
            Err(error) => programs::report("tgt.programs", Some(&key), &error, reporter),
        }
    }
    programs::check("tgt.programs", &[setpriv], reporter);
    let folder = tgt::folder(data_dir, name);
    if !tgt::has_room_for_socket(&folder) {
        reporter.fault(
            "tgt.socket",
            format!("{} is too long a path for a socket", folder.display()),
            "set node.data_dir to a shorter path",
        );
    }
    let held = locks::held(&folder.join("lock"));
    portal::check(name, backend, reporter, &|_, _, owner| {
        portal::of_tgtd(held, owner)
    });
}

fn version(field: &str, key: &str, command: &Command, work: &Work, reporter: &Reporter) {
    match command.clone().arg("--version").run(work) {
        Ok(output) => {
            let version = output.stdout.text();
            let first = version.lines().next().unwrap_or_default();
            reporter.ok("tgt.programs", format!("{field} {first}"));
        }
        Err(error) => programs::report("tgt.programs", Some(key), &error, reporter),
    }
}
