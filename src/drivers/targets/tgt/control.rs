//! Direct requests to tgtd's control socket: for CHAP passwords, which tgtadm accepts on its command line only, where
//! every user of the machine can read them in `/proc`.
//!
//! The protocol is that of tgtadm (tgt: `usr/tgtadm.h`), unchanged for more than ten years, but internal to tgt. So it
//! is tested with a harmless request first ([`speaks`]); a daemon that does not answer as expected gets its passwords
//! through tgtadm.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::drivers::targets::chap::Chap;

/// `struct tgtadm_req`: mode, op, driver's name (64), length, tid, sid, lun, cid, host, device type, direction, pack, force.
const HEADER: usize = 120;

const DRIVER_AT: usize = 8;
const LENGTH_AT: usize = 72;

const MODE_SYSTEM: u32 = 0;
const MODE_ACCOUNT: u32 = 7;
const OP_NEW: u32 = 0;
const OP_SHOW: u32 = 2;

/// The longest answer: that of [`speaks`] has some hundred bytes.
const LONGEST: u32 = 64 << 10;

/// The time limit of a request.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// It was refused; most likely the account exists.
    #[error("tgtd refused with its error {0}")]
    Refused(u32),
    /// The socket failed.
    #[error("cannot talk to tgtd")]
    Io(#[from] io::Error),
}

/// Whether the daemon supports this protocol.
pub(super) fn speaks(socket: &Path) -> bool {
    ask(socket, MODE_SYSTEM, OP_SHOW, &[]).is_ok_and(|answer| answer.starts_with(b"System:\n"))
}

/// Creates an unbound account.
pub(super) fn new_account(socket: &Path, chap: &Chap) -> Result<(), ControlError> {
    let text = format!("user={},password={}\0", chap.name(), chap.reveal_password());
    ask(socket, MODE_ACCOUNT, OP_NEW, text.as_bytes()).map(drop)
}

fn request(mode: u32, op: u32, text: &[u8]) -> Vec<u8> {
    let mut request = vec![0; HEADER];
    request[..4].copy_from_slice(&mode.to_ne_bytes());
    request[4..8].copy_from_slice(&op.to_ne_bytes());
    request[DRIVER_AT..DRIVER_AT + 5].copy_from_slice(b"iscsi");
    let length = u32::try_from(HEADER + text.len()).unwrap_or(u32::MAX);
    request[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(text);
    request
}

fn ask(socket: &Path, mode: u32, op: u32, text: &[u8]) -> Result<Vec<u8>, ControlError> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(&request(mode, op, text))?;
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let [error, length] =
        [0, 4].map(|at| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    if error != 0 {
        return Err(ControlError::Refused(error));
    }
    let mut answer = Vec::new();
    stream
        .take(u64::from(length.saturating_sub(8).min(LONGEST)))
        .read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::{HEADER, MODE_ACCOUNT, OP_NEW, request};

    #[test]
    fn a_request_has_tgts_form() {
        let request = request(MODE_ACCOUNT, OP_NEW, b"user=u,password=p\0");
        assert_eq!(request.len(), HEADER + 18);
        assert_eq!(&request[..16], b"\x07\0\0\0\0\0\0\0iscsi\0\0\0");
        assert_eq!(&request[72..76], &138_u32.to_ne_bytes());
        assert!(request.ends_with(b"user=u,password=p\0"));
    }

    #[test]
    fn no_socket_is_no_daemon() {
        assert!(!super::speaks(std::path::Path::new("/nonexistent/socket")));
    }
}
