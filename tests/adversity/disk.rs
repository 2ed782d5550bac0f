//! Disks that can be filled, broken and mended: mounted in a mount namespace of their own, which the program is brought into and
//! which ends with the test, whatever comes of it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Place;

/// Where machines that must run every test say so: what is left out elsewhere fails there.
const MUST_RUN_ALL: &str = "CI";

/// How a disk with a journal is mounted.
const MOUNT_IMAGE: &str = "mount -o loop,errors=remount-ro \"$0\"/image \"$0\"/disk";

pub struct Disk {
    /// Keeps the namespace; ends when its input does.
    keeper: Child,
    folder: tempfile::TempDir,
    enter: Vec<OsString>,
}

/// Leaves a test out, aloud, where the machine cannot run it.
#[expect(clippy::print_stdout, reason = "the person that runs the tests must see it")]
pub fn leave_out(test: &str, why: &anyhow::Error) -> Result<()> {
    if std::env::var_os(MUST_RUN_ALL).is_some() {
        bail!("{test} must run where {MUST_RUN_ALL} is set, but this machine cannot: {why:#}");
    }
    println!("LEFT OUT: {test}, for this machine cannot run it: {why:#}");
    Ok(())
}

impl Disk {
    /// A disk in memory.
    pub fn in_memory(mib: u32) -> Result<Self> {
        Self::mounted(&format!(
            "mount -t tmpfs -o size={mib}m,mode=700 disk \"$0\"/disk"
        ))
    }

    /// A disk with a journal, that turns read-only when it fails.
    pub fn with_journal(mib: u32) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a file system in a file can be mounted by root only"
        );
        Self::mounted(&format!(
            "truncate -s {mib}m \"$0\"/image && mkfs.ext4 -q -F \"$0\"/image && {MOUNT_IMAGE}"
        ))
    }

    fn mounted(mount: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("disk"))?;
        let by_root = rustix::process::geteuid().is_root();
        let as_user: &[&str] = match by_root {
            true => &[],
            false => &["--user", "--map-root-user"],
        };
        let mut keeper = Command::new("unshare")
            .args(as_user)
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(format!("{mount} && echo mounted && exec cat >/dev/null"))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("unshare")?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().context("no output")?).read_line(&mut line)?;
        if line != "mounted\n" {
            let output = keeper.wait_with_output()?;
            bail!(
                "no disk of its own: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let mut enter: Vec<OsString> = ["nsenter", "--mount", "--target"].map(OsString::from).to_vec();
        enter.push(keeper.id().to_string().into());
        if !by_root {
            enter.extend(["--user", "--preserve-credentials"].map(OsString::from));
        }
        enter.push("--".into());
        Ok(Self {
            keeper,
            folder,
            enter,
        })
    }

    /// Where the program runs so that its data are on this disk.
    pub fn place(&self) -> Place {
        Place {
            folder: self.folder.path().to_owned(),
            data: self.folder.path().join("disk/data"),
            enter: self.enter.clone(),
            config: "",
        }
    }

    /// A path on the disk, as it is reached from outside.
    fn reach(&self, name: &str) -> PathBuf {
        let inside = self.folder.path().join("disk").join(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(inside.strip_prefix("/").unwrap_or(&inside))
    }

    /// Fills it to the last byte.
    pub fn fill(&self) -> Result<()> {
        let mut filler = std::fs::File::create(self.reach("filler"))?;
        let mut chunk = vec![0xff; 1 << 20];
        while !chunk.is_empty() {
            match filler.write(&chunk) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                    chunk.truncate(chunk.len() / 2);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.reach("filler"))?)
    }

    /// Lets the file system fail as one whose journal cannot be written: nothing can be written any more.
    ///
    /// The file system is frozen at that moment: when ext4's journal is aborted while a file is synced, the sync can return 0 and
    /// the write be lost. On Linux 6.18, of 840 loops of `pwrite` and `fdatasync` without any program of ours 36 lost the last write
    /// so, and nothing that can be asked of the file system afterwards tells; of 330 on a frozen one, none did.
    pub fn break_down(&self) -> Result<()> {
        self.shell(
            "device=$(findmnt -n -o SOURCE \"$0\"/disk) && fsfreeze -f \"$0\"/disk && \
             echo broken >/sys/fs/ext4/${device##*/}/trigger_fs_error && fsfreeze -u \"$0\"/disk",
        )
    }

    /// What an operator does then: nobody may use it meanwhile.
    pub fn mend(&self) -> Result<()> {
        self.shell(&format!(
            "umount \"$0\"/disk && {{ e2fsck -p \"$0\"/image >/dev/null || test $? -le 1; }} && {MOUNT_IMAGE}"
        ))
    }

    fn shell(&self, words: &str) -> Result<()> {
        let (first, rest) = self.enter.split_first().context("nothing to enter by")?;
        let mut command = Command::new(first);
        command
            .args(rest)
            .args(["sh", "-c", words])
            .arg(self.folder.path());
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "{words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Copies a folder with all that is in it. Files without data, as volumes are, stay so.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let from = entry?.path();
        let to = to.join(from.file_name().context("no name")?);
        let kind = from.metadata()?;
        if kind.is_dir() {
            copy_folder(&from, &to)?;
        } else if kind.blocks() == 0 {
            std::fs::File::create(&to)?.set_len(kind.len())?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
