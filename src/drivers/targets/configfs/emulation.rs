//! A configfs in memory with the kernel's rules: `mkdir` creates attributes and groups, linked objects cannot be
//! removed, enabled objects cannot be changed. It can stop before any change, as if the process were killed there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{ConfigFs, Kind};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// `made`: by `mkdir`, so that it can be removed.
    Folder {
        made: bool,
    },
    File(String),
    Link(PathBuf),
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<PathBuf, Node>,
    /// The number of changes until everything fails; `None`: never.
    left: Option<usize>,
    /// The changes and attempted changes.
    changes: Vec<String>,
    /// A file that is removed after so many changes.
    lock: Option<(usize, PathBuf)>,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub(crate) struct Emulation {
    state: Arc<Mutex<State>>,
}

impl Emulation {
    /// A kernel with both targets loaded, and no objects.
    pub(crate) fn new() -> Self {
        let folders = [
            "",
            "target",
            "target/core",
            "nvmet",
            "nvmet/hosts",
            "nvmet/ports",
            "nvmet/subsystems",
        ];
        let state = State {
            nodes: folders
                .map(|path| (path.into(), Node::Folder { made: false }))
                .into(),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Makes everything fail after so many changes.
    pub(crate) fn stop_after(&self, changes: usize) {
        self.state().left = Some(changes);
    }

    /// Makes everything work again.
    pub(crate) fn go_on(&self) {
        self.state().left = None;
    }

    /// The number of changes and attempted changes.
    pub(crate) fn changes(&self) -> usize {
        self.state().changes.len()
    }

    /// The descriptions of these changes.
    pub(crate) fn changed(&self) -> Vec<String> {
        self.state().changes.clone()
    }

    /// Clears the recorded changes, and removes a file after so many further ones.
    pub(crate) fn lose_after(&self, changes: usize, lock: &Path) {
        let mut state = self.state();
        state.changes.clear();
        state.lock = Some((changes, lock.to_owned()));
    }

    /// The descriptions of all objects.
    pub(crate) fn shown(&self) -> Vec<String> {
        let show = |(path, node): (&PathBuf, &Node)| match node {
            Node::Folder { .. } => format!("{}/", path.display()),
            Node::File(text) => format!("{} = {text}", path.display()),
            Node::Link(object) => format!("{} -> {}", path.display(), object.display()),
        };
        self.state().nodes.iter().map(show).collect()
    }

    /// Whether the description of an object contains this text.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.shown().iter().any(|line| line.contains(text))
    }

    /// Clears everything, as another program might.
    pub(crate) fn clear(&self) {
        self.state().nodes = Self::new().state().nodes.clone();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn change<T>(
        &self,
        verb: &str,
        path: &Path,
        what: impl FnOnce(&mut State) -> Result<T, i32>,
    ) -> io::Result<T> {
        let mut state = self.state();
        match &mut state.left {
            Some(0) => return Err(io::Error::other("killed")),
            Some(left) => *left -= 1,
            None => {}
        }
        state.changes.push(format!("{verb} {}", path.display()));
        if let Some((changes, lock)) = &state.lock
            && state.changes.len() == *changes
        {
            std::fs::remove_file(lock).unwrap();
        }
        what(&mut state).map_err(io::Error::from_raw_os_error)
    }
}

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const ENODEV: i32 = 19;
const EACCES: i32 = 13;
const EPERM: i32 = 1;
const ENOTEMPTY: i32 = 39;

impl State {
    fn text(&self, path: impl AsRef<Path>) -> &str {
        match self.nodes.get(path.as_ref()) {
            Some(Node::File(text)) => text,
            _ => "",
        }
    }

    fn put(&mut self, path: PathBuf, text: String) {
        self.nodes.insert(path, Node::File(text));
    }

    fn under<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a Node)> {
        self.nodes
            .iter()
            .filter(move |(at, _)| at.as_path() != path && at.starts_with(path))
    }

    fn is_linked_to(&self, object: &Path) -> bool {
        self.nodes
            .values()
            .any(|node| matches!(node, Node::Link(to) if to == object))
    }

    fn has_links(&self, folder: &Path) -> bool {
        self.under(folder).any(|(_, node)| matches!(node, Node::Link(_)))
    }
}

/// What `mkdir` creates there: attributes (`name=value`) and groups (`name/`). `None`: it is not possible there.
fn made_with(words: &[&str]) -> Option<&'static [&'static str]> {
    match words {
        ["target", "core", adapter] if adapter.contains('_') => Some(&["hba_info="]),
        ["target", "core", _, _] => Some(&[
            "control=",
            "enable=0",
            "info=",
            "wwn/",
            "wwn/vpd_unit_serial=T10 VPD Unit Serial Number: ",
            "attrib/",
            "attrib/emulate_tpu=0",
        ]),
        ["target", "iscsi"] => Some(&["discovery_auth/"]),
        ["target", "iscsi", _] => Some(&["fabric_statistics/"]),
        ["target", "iscsi", _, group] if group.starts_with("tpgt_") => Some(&[
            "enable=0",
            "attrib/",
            "attrib/authentication=1",
            "attrib/generate_node_acls=0",
            "attrib/demo_mode_discovery=1",
            "attrib/demo_mode_write_protect=1",
            "auth/",
            "np/",
            "lun/",
            "acls/",
        ]),
        ["target", "iscsi", _, _, "np", _] => Some(&["iscsi=1"]),
        ["target", "iscsi", _, _, "lun", _] => Some(&["statistics/"]),
        ["target", "iscsi", _, _, "acls", _] => Some(&[
            "auth/",
            "auth/userid=",
            "auth/password=",
            "info=No active iSCSI Session",
        ]),
        ["target", "iscsi", _, _, "acls", _, _] => Some(&["write_protect=0"]),
        ["nvmet", "subsystems", _] => Some(&[
            "attr_allow_any_host=0",
            "attr_serial=0123456789abcdef0123",
            "attr_model=Linux",
            "allowed_hosts/",
            "namespaces/",
        ]),
        ["nvmet", "subsystems", _, "namespaces", _] => Some(&[
            "device_path=",
            "device_uuid=00000000-0000-0000-0000-000000000000",
            "device_nguid=00000000-0000-0000-0000-000000000000",
            "enable=0",
            "revalidate_size=",
        ]),
        ["nvmet", "ports", _] => Some(&[
            "addr_adrfam=",
            "addr_traddr=",
            "addr_trsvcid=",
            "addr_trtype=",
            "subsystems/",
        ]),
        ["nvmet", "hosts", _] => Some(&[]),
        _ => None,
    }
}

fn words(path: &Path) -> Vec<&str> {
    path.iter().filter_map(|word| word.to_str()).collect()
}

impl State {
    fn mkdir(&mut self, path: &Path) -> Result<(), i32> {
        if self.nodes.contains_key(path) {
            return Err(EEXIST);
        }
        if !path
            .parent()
            .is_some_and(|parent| self.nodes.contains_key(parent))
        {
            return Err(ENOENT);
        }
        let parts = made_with(&words(path)).ok_or(EPERM)?;
        self.nodes.insert(path.to_owned(), Node::Folder { made: true });
        for part in parts {
            match (part.strip_suffix('/'), part.split_once('=')) {
                (Some(group), _) => {
                    self.nodes.insert(path.join(group), Node::Folder { made: false });
                }
                (None, Some((name, value))) => self.put(path.join(name), value.to_owned()),
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn rmdir(&mut self, path: &Path) -> Result<(), i32> {
        match self.nodes.get(path) {
            Some(Node::Folder { made: true }) => {}
            Some(_) => return Err(EPERM),
            None => return Err(ENOENT),
        }
        if self.is_linked_to(path) {
            return Err(EBUSY);
        }
        let kept = |(_, node): (&PathBuf, &Node)| matches!(node, Node::Folder { made: true } | Node::Link(_));
        if self.under(path).any(kept) {
            return Err(ENOTEMPTY);
        }
        self.nodes.retain(|at, _| !at.starts_with(path));
        Ok(())
    }

    fn symlink(&mut self, object: &Path, path: &Path) -> Result<(), i32> {
        if self.nodes.contains_key(path) {
            return Err(EEXIST);
        }
        if !self.nodes.contains_key(object) || !path.parent().is_some_and(|at| self.nodes.contains_key(at)) {
            return Err(ENOENT);
        }
        match words(path).as_slice() {
            [_, "iscsi", _, _, "lun", ..] if self.text(object.join("enable")) != "1" => return Err(ENODEV),
            [_, "iscsi", _, _, "acls", ..] if !self.has_links(object) => return Err(EINVAL),
            ["nvmet", "ports", id, "subsystems", _] => {
                let port = Path::new("nvmet/ports").join(id);
                if self.text(port.join("addr_trtype")) != "tcp"
                    || self.text(port.join("addr_traddr")).is_empty()
                {
                    return Err(EINVAL);
                }
            }
            _ => {}
        }
        self.nodes.insert(path.to_owned(), Node::Link(object.to_owned()));
        Ok(())
    }

    fn write(&mut self, path: &Path, value: &str) -> Result<(), i32> {
        if !matches!(self.nodes.get(path), Some(Node::File(_))) {
            return Err(ENOENT);
        }
        let object = path.parent().unwrap_or(path).to_owned();
        let is_on = self.text(object.join("enable")) == "1";
        match words(path).as_slice() {
            ["target", "core", adapter, _, "control"] => {
                let file = adapter.starts_with("fileio");
                let option = |name: &str| {
                    value
                        .split(',')
                        .find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
                };
                if is_on && option("udev_path").or(option("fd_dev_name")).is_some() {
                    return Err(EEXIST);
                }
                let info = if file {
                    let old = self.text(object.join("info")).to_owned();
                    let name = option("fd_dev_name")
                        .or_else(|| Some(old.split_once("File: ")?.1.split_once("  ")?.0))
                        .unwrap_or_default()
                        .to_owned();
                    let size = option("fd_dev_size").unwrap_or("0");
                    format!("TCM FILEIO ID: 0        File: {name}  Size: {size}  Mode: Buffered-WCE")
                } else {
                    // Test devices are named by their numbers.
                    let path = option("udev_path").unwrap_or_default();
                    let minor = path.rsplit('-').next().unwrap_or_default();
                    format!(
                        "iBlock device: x  UDEV PATH: {path}  readonly: 0\n        Major: 254 Minor: {minor}  CLAIMED: IBLOCK"
                    )
                };
                self.put(object.join("info"), info);
                return Ok(());
            }
            ["target", "core", _, _, "enable"] => {
                if is_on || value != "1" {
                    return Err(EEXIST);
                }
                if self.text(object.join("info")).is_empty() {
                    return Err(EINVAL);
                }
            }
            ["target", "core", adapter, name, "wwn", "vpd_unit_serial"] => {
                if self.is_linked_to(&Path::new("target/core").join(adapter).join(name)) {
                    return Err(EINVAL);
                }
                self.put(path.to_owned(), format!("T10 VPD Unit Serial Number: {value}"));
                return Ok(());
            }
            ["target", "iscsi", _, _, "enable"] if is_on == (value == "1") => return Err(EINVAL),
            ["target", "iscsi", _, _, "acls", _, _, "write_protect"] if !self.has_links(&object) => {
                return Err(ENODEV);
            }
            ["nvmet", "ports", _, attribute] if attribute.starts_with("addr_") && self.has_links(&object) => {
                return Err(EACCES);
            }
            ["nvmet", "subsystems", _, "namespaces", _, attribute] => {
                if attribute.starts_with("device_") && is_on {
                    return Err(EBUSY);
                }
                if *attribute == "revalidate_size" {
                    return if is_on { Ok(()) } else { Err(EINVAL) };
                }
                if *attribute == "enable" && value == "1" && self.text(object.join("device_path")).is_empty()
                {
                    return Err(EINVAL);
                }
            }
            _ => {}
        }
        self.put(path.to_owned(), value.to_owned());
        Ok(())
    }
}

impl ConfigFs for Emulation {
    fn list(&self, path: &Path) -> io::Result<Vec<(String, Kind)>> {
        let state = self.state();
        if !state.nodes.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let own = |at: &&PathBuf| at.parent() == Some(path) && at.as_path() != path;
        Ok(state
            .nodes
            .iter()
            .filter(|(at, _)| own(at))
            .map(|(at, node)| {
                let kind = match node {
                    Node::Folder { .. } => Kind::Folder,
                    Node::File(_) => Kind::File,
                    Node::Link(_) => Kind::Link,
                };
                (at.file_name().unwrap().to_str().unwrap().to_owned(), kind)
            })
            .collect())
    }

    fn exists(&self, path: &Path) -> bool {
        self.state().nodes.contains_key(path)
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        match self.state().nodes.get(path) {
            Some(Node::File(text)) => Ok(format!("{text}\n")),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self.state().nodes.get(path) {
            Some(Node::Link(object)) => Ok(Path::new("../../..").join(object)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        self.change("mkdir", path, |state| state.mkdir(path))
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        self.change("rmdir", path, |state| state.rmdir(path))
    }

    fn symlink(&self, object: &Path, path: &Path) -> io::Result<()> {
        self.change("symlink", path, |state| state.symlink(object, path))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.change("unlink", path, |state| match state.nodes.get(path) {
            Some(Node::Link(_)) => {
                state.nodes.remove(path);
                Ok(())
            }
            _ => Err(ENOENT),
        })
    }

    fn write(&self, path: &Path, value: &str) -> io::Result<()> {
        self.change("write", path, |state| state.write(path, value))
    }
}
