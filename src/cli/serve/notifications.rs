//! The outbox of notifications and its publishers, as configured.

use std::sync::Arc;

use actix_rt::Arbiter;

use super::BoxError;
use crate::actors::notifier::amqp::hosts;
use crate::actors::notifier::{self, AmqpOptions, PublisherOptions, SinkOptions, WebhookOptions};
use crate::config::Config;
use crate::control::ControlNodes;
use crate::model::volume::Secret;
use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::tls_client::{self, TlsError};
use crate::transport::Router;

/// The catalog with the outbox of the configured sinks.
pub(super) async fn outbox(config: &Config, catalog: Catalog) -> Result<Catalog, StoreError> {
    let sinks: Vec<&str> = config.notifications.sinks.iter().map(String::as_str).collect();
    catalog.with_outbox(&config.node.host, &sinks).await
}

/// What is wrong with the file that is named for the sinks, if they use it.
pub(in crate::cli) fn fault(config: &Config) -> Option<String> {
    let error = sinks(config).err()?;
    Some(format!("notifications: {error}"))
}

/// Starts the publisher of each sink on a thread of their own; without a sink there is none.
///
/// # Errors
/// If there are no certificates to check those of a sink with.
pub(super) fn start(
    config: &Config,
    catalog: &Catalog,
    nodes: &ControlNodes,
    router: &Router,
) -> Result<Option<Arbiter>, BoxError> {
    let Some(outbox) = catalog.outbox() else {
        return Ok(None);
    };
    let sinks = sinks(config).map_err(|error| format!("notifications: {error}"))?;
    let options = PublisherOptions {
        max_pending: config.notifications.max_pending,
        refusals: config.notifications.webhook_refusals,
        ..PublisherOptions::default()
    };
    let arbiter = Arbiter::new();
    for sink in sinks {
        let queue = outbox.queues().iter().find(|queue| queue.sink() == sink.name());
        if let Some(queue) = queue {
            let endpoint = notifier::endpoint(catalog.clone(), nodes, Arc::clone(queue), sink, options);
            router.register(endpoint.start_on(&arbiter.handle()));
        }
    }
    Ok(Some(arbiter))
}

fn sinks(config: &Config) -> Result<Vec<SinkOptions>, TlsError> {
    let of = &config.notifications;
    let cafile = Some(of.cafile.as_path()).filter(|path| !path.as_os_str().is_empty());
    let tls = |url: &Secret| tls_client::tls(url.reveal(), cafile);
    let sink = |name: &String| match name.as_str() {
        "log" => Ok(Some(SinkOptions::Log)),
        "webhook" => Ok(Some(SinkOptions::Webhook(WebhookOptions {
            tls: tls(&of.webhook_url)?,
            url: of.webhook_url.clone(),
            secret: Some(of.webhook_secret.clone()).filter(|secret| !secret.reveal().is_empty()),
            timeout: of.webhook_timeout.get(),
        }))),
        "amqp" => Ok(Some(SinkOptions::Amqp(AmqpOptions {
            tls: tls(&of.amqp_url)?,
            urls: hosts(of.amqp_url.reveal()),
            exchange: of.amqp_exchange.clone(),
            topics: of.amqp_topics.clone(),
            durable: of.amqp_durable,
        }))),
        // Refused when the configuration is checked.
        _ => Ok(None),
    };
    of.sinks
        .iter()
        .filter_map(|name| sink(name).transpose())
        .collect()
}
