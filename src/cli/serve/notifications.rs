//! The outbox of notifications and its publishers, as configured.

use std::sync::Arc;

use actix_rt::Arbiter;

use crate::actors::notifier::amqp::hosts;
use crate::actors::notifier::{self, AmqpOptions, PublisherOptions, SinkOptions, WebhookOptions};
use crate::config::Config;
use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::transport::Router;

/// The catalog with the outbox of the configured sinks.
pub(super) async fn outbox(config: &Config, catalog: Catalog) -> Result<Catalog, StoreError> {
    let sinks: Vec<&str> = sinks(config).iter().map(SinkOptions::name).collect();
    catalog.with_outbox(&config.node.host, &sinks).await
}

/// Starts the publisher of each sink on a thread of their own; without a sink there is none.
pub(super) fn start(config: &Config, catalog: &Catalog, router: &Router) -> Option<Arbiter> {
    let outbox = catalog.outbox()?;
    let options = PublisherOptions {
        max_pending: config.notifications.max_pending,
        refusals: config.notifications.webhook_refusals,
        ..PublisherOptions::default()
    };
    let arbiter = Arbiter::new();
    for sink in sinks(config) {
        let queue = outbox.queues().iter().find(|queue| queue.sink() == sink.name());
        if let Some(queue) = queue {
            let endpoint = notifier::endpoint(catalog.clone(), Arc::clone(queue), sink, options);
            router.register(endpoint.start_on(&arbiter.handle()));
        }
    }
    Some(arbiter)
}

fn sinks(config: &Config) -> Vec<SinkOptions> {
    let of = &config.notifications;
    let sink = |name: &String| match name.as_str() {
        "log" => Some(SinkOptions::Log),
        "webhook" => Some(SinkOptions::Webhook(WebhookOptions {
            url: of.webhook_url.clone(),
            secret: Some(of.webhook_secret.clone()).filter(|secret| !secret.reveal().is_empty()),
            timeout: of.webhook_timeout.get(),
        })),
        "amqp" => Some(SinkOptions::Amqp(AmqpOptions {
            urls: hosts(of.amqp_url.reveal()),
            exchange: of.amqp_exchange.clone(),
            topics: of.amqp_topics.clone(),
            durable: of.amqp_durable,
        })),
        // Refused when the configuration is checked.
        _ => None,
    };
    of.sinks.iter().filter_map(sink).collect()
}
