//! tgtadm, one function for each used command.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CONTROL_PORT;
use super::control::{self, ControlError};
use super::show::{self, ShownConnection, ShownTarget};
use crate::drivers::command::{Command, CommandError, Output};
use crate::drivers::ownership::Ownership;
use crate::drivers::targets::chap::Chap;
use crate::drivers::targets::iscsi::LUN;
use crate::drivers::{DriverError, DriverResult, Work};

/// The largest answer: `target show` has some 1.3 KiB for each target.
const LONGEST_SHOW: usize = 64 << 20;

/// Controls one tgtd.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    pub(super) tgtadm: OsString,
    /// Without the control port that tgt appends.
    pub(super) socket: PathBuf,
    /// How long one call may take; tgtd answers within a millisecond unless it is stuck.
    pub(super) limit: Duration,
    /// The ownership of the folder: in another process's folder, another process's daemon answers.
    pub(super) folder: Ownership,
}

impl Admin {
    pub(super) fn command(&self) -> Command {
        Command::new(self.tgtadm.clone(), "tgt")
            .env("TGT_IPC_SOCKET", self.socket.clone())
            .limit(self.limit)
            .args(["-C", CONTROL_PORT, "--lld", "iscsi"])
    }

    /// The socket's path in tgtd.
    pub(super) fn socket_path(&self) -> PathBuf {
        let mut path = self.socket.clone().into_os_string();
        path.push(".");
        path.push(CONTROL_PORT);
        path.into()
    }

    fn call(&self, work: &Work, mode: &str, op: &str, args: &[&str]) -> Result<String, CommandError> {
        let command = self
            .command()
            .args(["--mode", mode, "--op", op])
            .args(args.iter().copied())
            .keep(LONGEST_SHOW);
        let output = self.run(work, &command)?;
        Ok(output.stdout.text())
    }

    /// A call about one target.
    fn of_target(
        &self,
        work: &Work,
        mode: &str,
        op: &str,
        tid: u32,
        args: &[&str],
    ) -> Result<String, CommandError> {
        self.call(work, mode, op, &[&["--tid", &tid.to_string()], args].concat())
    }

    /// Runs a command, as long as this process owns the work's storage and the daemon's folder.
    fn run(&self, work: &Work, command: &Command) -> Result<Output, CommandError> {
        command.run(&work.and_on(&self.folder))
    }

    pub(super) fn portals(&self, work: &Work) -> DriverResult<Vec<std::net::SocketAddr>> {
        Ok(show::portals(&self.call(work, "portal", "show", &[])?))
    }

    pub(super) fn targets(&self, work: &Work) -> DriverResult<Vec<ShownTarget>> {
        Ok(show::targets(&self.call(work, "target", "show", &[])?))
    }

    pub(super) fn connections(&self, work: &Work, tid: u32) -> DriverResult<Vec<ShownConnection>> {
        match self.of_target(work, "conn", "show", tid, &[]) {
            Err(error) if says(&error, "can't find the target") => Ok(Vec::new()),
            answer => Ok(show::connections(&answer?)),
        }
    }

    pub(super) fn new_target(&self, work: &Work, tid: u32, iqn: &str) -> DriverResult<()> {
        self.of_target(work, "target", "new", tid, &["--targetname", iqn])?;
        Ok(())
    }

    pub(super) fn new_lun(&self, work: &Work, tid: u32, backing_store: &Path) -> DriverResult<()> {
        let (tid, lun) = (tid.to_string(), LUN.to_string());
        let command = self
            .command()
            .args(["--mode", "logicalunit", "--op", "new"])
            .args(["--tid", &tid, "--lun", &lun])
            .args(["--bstype", "rdwr", "--backing-store"])
            .arg(backing_store);
        self.run(work, &command)?;
        Ok(())
    }

    /// Sets parameters of the LUN; they are applied in order, in one request.
    pub(super) fn update_lun(&self, work: &Work, tid: u32, params: &str) -> DriverResult<()> {
        let args = ["--lun", &LUN.to_string(), "--params", params];
        self.of_target(work, "logicalunit", "update", tid, &args)?;
        Ok(())
    }

    /// Removes a target without sessions, or with closing ones. False while one of its commands is in progress.
    pub(super) fn delete_target(&self, work: &Work, tid: u32) -> DriverResult<bool> {
        match self.of_target(work, "target", "delete", tid, &["--force"]) {
            Err(error) if says(&error, "is still active") => Ok(false),
            deleted => accepting(deleted, &["can't find the target"]).map(|()| true),
        }
    }

    /// Creates an account; `direct` if the daemon supports the control socket. An existing one is replaced, since its
    /// password is unknown.
    pub(super) fn new_account(&self, work: &Work, chap: &Chap, direct: bool) -> DriverResult<()> {
        if direct {
            let socket = self.socket_path();
            let tell = || {
                work.check()?;
                work.and_on(&self.folder).check_owner()?;
                Ok::<_, DriverError>(control::new_account(&socket, chap))
            };
            let made = match tell()? {
                // Most likely a killed process left an account with that name.
                Err(ControlError::Refused(_)) => {
                    self.delete_account(work, chap.name())?;
                    tell()?
                }
                made => made,
            };
            return made.map_err(|error| {
                DriverError::backend_failed(format!("tgtd would not take a CHAP account: {error}"))
            });
        }
        self.delete_account(work, chap.name())?;
        let command = self
            .command()
            .args(["--mode", "account", "--op", "new"])
            .args(["--user", chap.name(), "--password"])
            .secret_arg(chap.reveal_password());
        self.run(work, &command)?;
        Ok(())
    }

    pub(super) fn bind_account(&self, work: &Work, tid: u32, name: &str) -> DriverResult<()> {
        self.of_target(work, "account", "bind", tid, &["--user", name])?;
        Ok(())
    }

    /// Removes an account, which unbinds it. An account must never be unbound in another way: tgtd then has an invalid
    /// entry in its list, and crashes at the next `target show`.
    pub(super) fn delete_account(&self, work: &Work, name: &str) -> DriverResult<()> {
        let deleted = self.call(work, "account", "delete", &["--user", name]);
        accepting(deleted, &["can't find the account"])
    }

    pub(super) fn bind_initiator(&self, work: &Work, tid: u32, initiator: &str) -> DriverResult<()> {
        let args = ["--initiator-name", initiator];
        let bound = self.of_target(work, "target", "bind", tid, &args);
        accepting(bound, &["rule already exists"])
    }

    pub(super) fn unbind_initiator(&self, work: &Work, tid: u32, initiator: &str) -> DriverResult<()> {
        self.unbind_as(work, tid, "--initiator-name", initiator)
    }

    /// Removes an ACL entry that may be a name or an address, which `target show` does not distinguish.
    pub(super) fn unbind(&self, work: &Work, tid: u32, entry: &str) -> DriverResult<()> {
        self.unbind_initiator(work, tid, entry)?;
        self.unbind_as(work, tid, "--initiator-address", entry)
    }

    fn unbind_as(&self, work: &Work, tid: u32, option: &str, entry: &str) -> DriverResult<()> {
        let unbound = self.of_target(work, "target", "unbind", tid, &[option, entry]);
        accepting(unbound, &["rule does not exist", "can't find the target"])
    }

    pub(super) fn close_connection(&self, work: &Work, tid: u32, open: &ShownConnection) -> DriverResult<()> {
        let args = ["--sid", &open.sid.to_string(), "--cid", &open.cid.to_string()];
        accepting(
            self.of_target(work, "conn", "delete", tid, &args),
            &["can't find the"],
        )
    }

    /// Asks the daemon to end; it does, if it has no targets.
    pub(super) fn end(&self, work: &Work) -> DriverResult<()> {
        self.call(work, "system", "delete", &[])?;
        Ok(())
    }
}

/// The result of a call, which also counts as done if tgtadm reported one of these errors.
fn accepting(called: Result<String, CommandError>, reasons: &[&str]) -> DriverResult<()> {
    match called {
        Err(error) if !reasons.iter().any(|reason| says(&error, reason)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whether tgtadm reported this error (tgt: `usr/tgtadm.c: tgtadm_strerror`).
fn says(error: &CommandError, reason: &str) -> bool {
    matches!(error, CommandError::Exit { stderr, .. } if stderr.contains(reason))
}
