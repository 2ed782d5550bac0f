//! The sink that is an AMQP 0-9-1 broker, used as oslo.messaging's driver for RabbitMQ uses it.
//!
//! - A topic exchange (`openstack`), and for each topic and priority a queue `notifications.info` that is bound by its own name: what
//!   is published before a consumer exists is kept. An exchange or queue that exists is used as it is, durable or not; oslo.messaging
//!   does not declare them durable unless `amqp_durable_queues` says so.
//! - Persistent messages with publisher confirms: a notification is accepted when the broker has confirmed it for each topic. One
//!   that the broker could not route is not accepted: the queue is declared again.
//! - One connection, made when there is something to publish; a failure closes it, and the next attempt makes a new one, to the next
//!   of the brokers. Heartbeats and a time limit for each confirm find a broker that has stopped. It is over TLS with `amqps://`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use rustls::ClientConfig;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::amqp_tls;
use super::message::envelope;
use super::sink::{Sink, SinkError};
use crate::model::volume::Secret;
use crate::model::{Notification, NotificationPriority};

/// The most messages that wait for their confirms.
const WIDTH: usize = 64;
/// The time limits of a new connection, with its declarations, and of a confirm.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);
/// How often both sides say that they are alive, in seconds.
const HEARTBEAT: u16 = 10;
/// The delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// The options of the sink.
#[derive(Clone, Debug)]
pub struct AmqpOptions {
    /// The brokers, which are tried in turn. They have passwords, so they are not logged.
    pub urls: Vec<Secret>,
    /// The exchange (oslo.messaging: `control_exchange`).
    pub exchange: String,
    /// The topics; each notification is published to all.
    pub topics: Vec<String>,
    /// Whether exchange and queues are declared durable, if they do not exist.
    pub durable: bool,
    /// The settings of TLS, for `amqps://`.
    pub tls: Option<Arc<ClientConfig>>,
}

/// The URL of a broker: `amqp://user:password@host:port/vhost`, or `amqps://…` for TLS; oslo.messaging's `rabbit://` is `amqp://`.
///
/// # Errors
/// Why it cannot be used, without the URL itself.
pub fn parse_url(url: &str) -> Result<AMQPUri, String> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let scheme = match scheme {
        "amqp" | "rabbit" => "amqp",
        "amqps" => "amqps",
        other => return Err(format!("its scheme is {other}, not amqp or amqps")),
    };
    // An empty path is the virtual host `/`, as for oslo.messaging.
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let mut uri: AMQPUri = format!("{scheme}://{rest}")
        .parse()
        .map_err(|_| "it is malformed".to_owned())?;
    if rest.is_empty() || uri.authority.host.is_empty() {
        return Err("it has no host".to_owned());
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(uri)
}

/// The URLs of the hosts that one URL names: oslo.messaging divides them by commas, and the virtual host follows the last.
pub fn hosts(url: &str) -> Vec<Secret> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![Secret::new(url)];
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let of = |host: &str| Secret::new(format!("{scheme}://{host}/{path}"));
    hosts.split(',').map(of).collect()
}

/// See the module.
pub(super) struct AmqpSink {
    options: AmqpOptions,
    /// Taken while a connection is made, so that all wait for the same one.
    connected: Mutex<Option<Rc<Connected>>>,
    /// When the last attempt to connect failed, and why: all that waited for it have failed with it.
    failed: RefCell<Option<(Instant, SinkError)>>,
    /// Which broker is tried next.
    next: Cell<usize>,
}

struct Connected {
    _connection: Connection,
    channel: Channel,
    has_failed: Cell<bool>,
}

impl AmqpSink {
    pub(super) fn new(options: AmqpOptions) -> Self {
        Self {
            options,
            connected: Mutex::new(None),
            failed: RefCell::default(),
            next: Cell::new(0),
        }
    }

    /// The open connection, or a new one.
    async fn connection(&self) -> Result<Rc<Connected>, SinkError> {
        let asked = Instant::now();
        let mut connected = self.connected.lock().await;
        if let Some(open) = connected.as_ref().filter(|open| open.is_open()) {
            return Ok(Rc::clone(open));
        }
        if let Some((_, error)) = self.failed.borrow().as_ref().filter(|(when, _)| *when >= asked) {
            return Err(error.clone());
        }
        *connected = None;
        let opened = self.connect().await;
        if let Err(error) = &opened {
            self.failed.replace(Some((Instant::now(), error.clone())));
        }
        let opened = Rc::new(opened?);
        *connected = Some(Rc::clone(&opened));
        Ok(opened)
    }

    /// Connects to the next broker.
    async fn connect(&self) -> Result<Connected, SinkError> {
        let index = self.next.get() % self.options.urls.len().max(1);
        self.next.set(index + 1);
        let url = self.options.urls.get(index).map_or("", Secret::reveal);
        let uri = parse_url(url).map_err(|why| SinkError::Unavailable(format!("URL {index}: {why}")))?;
        let place = format!("{}:{}", uri.authority.host, uri.authority.port);
        let failed = |why: String| SinkError::Unavailable(format!("broker {place}: {why}"));
        let opened = timeout(CONNECT_TIMEOUT, self.open(uri)).await;
        let opened = opened.map_err(|_| failed("not connected in time".to_owned()))?;
        opened.map_err(|error| failed(error.to_string()))
    }

    async fn open(&self, uri: AMQPUri) -> lapin::Result<Connected> {
        let properties = ConnectionProperties::default().with_connection_name("pumice notifications".into());
        let connection = match (&self.options.tls, &uri.scheme) {
            (Some(tls), AMQPScheme::AMQPS) => amqp_tls::connect(uri, properties, Arc::clone(tls)).await?,
            // Without the settings an encrypted connection fails: lapin has no TLS of its own here.
            _ => Connection::connect_uri(uri, properties).await?,
        };
        self.declare_exchange(&connection).await?;
        for topic in &self.options.topics {
            for priority in [NotificationPriority::Info, NotificationPriority::Error] {
                self.declare_queue(&connection, &routing_key(topic, priority))
                    .await?;
            }
        }
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Connected {
            _connection: connection,
            channel,
            has_failed: Cell::new(false),
        })
    }

    /// Uses the exchange as it is, or declares it. A refused declaration closes its channel, so each has its own.
    async fn declare_exchange(&self, connection: &Connection) -> lapin::Result<()> {
        for passive in [true, false] {
            let channel = connection.create_channel().await?;
            let options = ExchangeDeclareOptions {
                passive,
                durable: self.options.durable,
                ..ExchangeDeclareOptions::default()
            };
            let name = self.options.exchange.as_str().into();
            let declared =
                channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default());
            match declared.await {
                Err(_) if passive => {}
                declared => {
                    declared?;
                    break;
                }
            }
        }
        Ok(())
    }

    async fn declare_queue(&self, connection: &Connection, name: &str) -> lapin::Result<()> {
        for passive in [true, false] {
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions {
                passive,
                durable: self.options.durable,
                ..QueueDeclareOptions::default()
            };
            match channel
                .queue_declare(name.into(), options, FieldTable::default())
                .await
            {
                Err(_) if passive => continue,
                declared => declared?,
            };
            let exchange = self.options.exchange.as_str().into();
            let options = QueueBindOptions::default();
            channel
                .queue_bind(name.into(), exchange, name.into(), options, FieldTable::default())
                .await?;
            break;
        }
        Ok(())
    }

    async fn send(&self, connected: &Connected, key: &str, body: &[u8]) -> Result<(), String> {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(PERSISTENT)
            .with_priority(0);
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let exchange = self.options.exchange.as_str().into();
        let published = connected
            .channel
            .basic_publish(exchange, key.into(), options, body, properties);
        let confirm = published.await.map_err(|error| error.to_string())?;
        match confirm.await.map_err(|error| error.to_string())? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(format!("no queue is bound to {key}")),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err("not confirmed".to_owned()),
        }
    }
}

impl Connected {
    fn is_open(&self) -> bool {
        !self.has_failed.get() && self.channel.status().connected()
    }
}

#[async_trait(?Send)]
impl Sink for AmqpSink {
    fn width(&self) -> usize {
        WIDTH
    }

    async fn publish(&self, notification: &Notification) -> Result<(), SinkError> {
        let connected = self.connection().await?;
        let body = envelope(notification);
        for topic in &self.options.topics {
            let key = routing_key(topic, notification.priority);
            let sent = timeout(CONFIRM_TIMEOUT, self.send(&connected, &key, body.as_bytes())).await;
            if let Err(why) = sent.unwrap_or_else(|_| Err("not confirmed in time".to_owned())) {
                // Closed when the last message on its way has let go of it.
                connected.has_failed.set(true);
                return Err(SinkError::Unavailable(why));
            }
        }
        Ok(())
    }
}

/// `notifications.info`.
fn routing_key(topic: &str, priority: NotificationPriority) -> String {
    format!("{topic}.{}", priority.as_str().to_lowercase())
}
