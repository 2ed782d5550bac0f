//! The first start: creates the user `admin` with a random password, and `clouds.yaml` with the login data.
//!
//! The plain password is in `clouds.yaml` only, which only its owner may read. The file is written before the user is
//! stored: a crash in between leaves a file that the next start overwrites, never a user with an unknown password.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::options::IdentityOptions;
use crate::model::volume::Secret;
use crate::private_files;
use crate::rng;

/// The name of the created user and project.
pub const ADMIN: &str = "admin";

/// The file's name: clients look for it by default.
pub const CLOUDS: &str = "clouds.yaml";

/// 24 letters and digits: 142 bits.
pub fn random_password() -> Secret {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut password = String::new();
    while password.len() < 24 {
        // Six bits at a time; values beyond the alphabet are discarded, so that all characters are equally likely.
        let value = usize::from(rng::number::<u8>() & 63);
        password.extend(ALPHABET.get(value).map(|letter| char::from(*letter)));
    }
    Secret::new(password)
}

/// The text of `clouds.yaml`, with a cloud named `pumice`.
pub fn clouds_yaml(options: &IdentityOptions, password: &Secret) -> String {
    // JSON strings are YAML strings.
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "# Written by pumice at its first start. The password is nowhere else: keep this file, and keep it to yourself.\n\
         #   export OS_CLIENT_CONFIG_FILE=<this file> OS_CLOUD=pumice\n\
         #   openstack volume list\n\
         clouds:\n\
         \x20 pumice:\n\
         \x20   auth:\n\
         \x20     auth_url: {url}\n\
         \x20     username: {ADMIN}\n\
         \x20     password: {password}\n\
         \x20     project_name: {ADMIN}\n\
         \x20     user_domain_name: Default\n\
         \x20     project_domain_name: Default\n\
         \x20   region_name: {region}\n\
         \x20   interface: public\n\
         \x20   identity_api_version: \"3\"\n\
         \x20   volume_api_version: \"3\"\n",
        url = quote(&auth_url(options)),
        password = quote(password.reveal()),
        region = quote(&options.region),
    )
}

/// Where clients log in.
pub fn auth_url(options: &IdentityOptions) -> String {
    format!("{}/identity/v3", options.url.trim_end_matches('/'))
}

/// The text with this `auth_url`; `None` if it has it already.
pub fn readdress(text: &str, auth_url: &str) -> Option<String> {
    let quoted = serde_json::Value::from(auth_url).to_string();
    let mut changed = false;
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let rest = line.trim_start();
            if !rest.starts_with("auth_url:") {
                return line.to_owned();
            }
            let now = format!("{}auth_url: {quoted}", &line[..line.len() - rest.len()]);
            changed |= now != line;
            now
        })
        .collect();
    changed.then(|| lines.join("\n") + "\n")
}

/// Writes a file that only its owner may read, atomically.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    private_files::create_dir(folder)?;
    let draft: PathBuf = path.with_extension(format!("draft-{}", rng::id()));
    let written = (|| {
        let mut file = private_files::options()
            .write(true)
            .create_new(true)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // The file may not exist; then there is nothing to clean up.
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (one, other) = (random_password(), random_password());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), 24);
        assert!(one.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn clouds_yaml_is_complete_private_and_replaced_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join(CLOUDS);
        let options = IdentityOptions::default();
        let text = clouds_yaml(&options, &Secret::new("s3cret"));
        write_private(&path, "old").unwrap();
        write_private(&path, &text).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no drafts are left"
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn another_address_changes_one_line_only() {
        let options = IdentityOptions::default();
        let text = clouds_yaml(&options, &Secret::new("s3cret"));
        assert_eq!(readdress(&text, &auth_url(&options)), None);
        let moved = IdentityOptions {
            url: "http://10.0.0.1:9000/".to_owned(),
            ..options
        };
        assert_eq!(
            readdress(&text, &auth_url(&moved)),
            Some(clouds_yaml(&moved, &Secret::new("s3cret")))
        );
    }
}
