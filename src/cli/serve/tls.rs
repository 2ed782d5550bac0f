//! The certificate of HTTPS: read at the start, and again when it or its key has changed. Faulty files leave the former one in force.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::BoxError;
use super::watched_files::{LOOK, WatchedFiles};
use crate::config::Config;
use crate::web::tls::{Certificate, Tls};

/// The certificate of the configuration, if there is one.
///
/// # Errors
/// What is wrong with its files.
pub(super) fn open(config: &Config) -> Result<Option<Tls>, BoxError> {
    let web = &config.web;
    match web.has_tls() {
        true => open_and_look(&web.tls_certificate, &web.tls_key, LOOK).map(Some),
        false => Ok(None),
    }
}

fn open_and_look(certificate: &Path, key: &Path, look: Duration) -> Result<Tls, BoxError> {
    let watched = WatchedFiles::new([certificate, key]);
    let tls = Tls::new(Certificate::read(certificate, key)?);
    if std::fs::metadata(key)?.permissions().mode() & 0o007 != 0 {
        tracing::warn!(key = %key.display(), "every user of this machine can read the private key of HTTPS");
    }
    let (served, certificate, key) = (tls.clone(), certificate.to_owned(), key.to_owned());
    actix_rt::spawn(
        watched.watch(look, move || match Certificate::read(&certificate, &key) {
            Ok(read) => {
                served.replace(read);
                tracing::info!(certificate = %certificate.display(), "certificate of HTTPS read again");
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "the certificate of HTTPS is faulty; the former one stays in force"
                );
            }
        }),
    );
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn changed_files_are_read_again_and_faulty_ones_are_not_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let renew = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        };
        renew();
        let look = Duration::from_millis(2);
        let tls = open_and_look(&certificate, &key, look).unwrap();
        let changes_from = async |before: usize| {
            for _ in 0..5000 {
                if tls.in_force() != before {
                    return true;
                }
                tokio::time::sleep(look).await;
            }
            false
        };
        let first = tls.in_force();
        renew();
        assert!(changes_from(first).await);
        // The certificate and the key are written one after the other, and may have been read in between.
        for _ in 0..10 {
            tokio::time::sleep(look).await;
        }
        let second = tls.in_force();
        std::fs::write(&key, "no key at all").unwrap();
        for _ in 0..10 {
            tokio::time::sleep(look).await;
        }
        assert_eq!(tls.in_force(), second);
        renew();
        assert!(changes_from(second).await);
        assert!(open_and_look(&folder.path().join("none"), &key, look).is_err());
    }
}
