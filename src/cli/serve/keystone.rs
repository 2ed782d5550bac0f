//! The Keystone whose tokens are accepted, as configured.

use std::sync::Arc;

use actix_rt::Arbiter;

use super::BoxError;
use crate::config::Config;
use crate::config::auth::Strategy;
use crate::web::auth::keystone::{Keystone, KeystoneOptions, Password, http};

/// What is wrong with the files that are named for Keystone. Empty for other strategies.
pub(in crate::cli) fn faults(config: &Config) -> Vec<String> {
    if config.auth.strategy != Strategy::Keystone {
        return Vec::new();
    }
    let options = options(config);
    let mut faults = Vec::new();
    if let Err(error) = http::tls(&options.url, options.cafile.as_deref()) {
        faults.push(format!("auth.keystone: {error}"));
    }
    if let Password::File(path) = &options.password
        && let Err(error) = Password::read(path)
    {
        faults.push(format!(
            "auth.keystone.password_file: {}: {error}",
            path.display()
        ));
    }
    faults
}

/// Starts asking Keystone, and logs whether it answers.
///
/// # Errors
/// If the certificates or the password cannot be read.
pub(super) fn start(config: &Config) -> Result<Arc<Keystone>, BoxError> {
    let faults = faults(config);
    if !faults.is_empty() {
        return Err(faults.join("; ").into());
    }
    let keystone = Keystone::start(options(config), &Arbiter::current())?;
    let keystone = Arc::new(keystone);
    let checked = Arc::clone(&keystone);
    actix_rt::spawn(async move {
        match checked.check().await {
            Ok(()) => tracing::info!("Keystone validates tokens"),
            Err(error) => {
                tracing::error!(%error, "requests are answered with 503 until Keystone validates tokens")
            }
        }
    });
    Ok(keystone)
}

pub(in crate::cli) fn options(config: &Config) -> KeystoneOptions {
    let keystone = config.keystone.clone();
    KeystoneOptions {
        url: keystone.url,
        www_authenticate_uri: keystone.www_authenticate_uri,
        username: keystone.username,
        password: match keystone.password_file {
            path if path.as_os_str().is_empty() => Password::Text(keystone.password),
            path => Password::File(path),
        },
        user_domain_name: keystone.user_domain_name,
        project_name: keystone.project_name,
        project_domain_name: keystone.project_domain_name,
        cafile: Some(keystone.cafile).filter(|path| !path.as_os_str().is_empty()),
        timeout: keystone.timeout.get(),
        cache_time: keystone.token_cache_time.get(),
        cache_size: keystone.token_cache_size,
        service_token_roles: keystone.service_token_roles,
        service_token_roles_required: keystone.service_token_roles_required,
        service_type: keystone.service_type,
    }
}
