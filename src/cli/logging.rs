//! Sets up the output and format of the log.
//!
//! Lines are written to standard error: as text if it is a terminal, else as JSON, unless configured otherwise. The lines
//! of a request are in a span with its `request_id`, which is created for the request and by each actor that handles a
//! message of it, so each line has the id. Secrets have types that print as stars, so the log does not have to hide them.

use std::io::IsTerminal;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::config::Log;
use crate::config::log::Format;
use crate::log_levels;

/// Logging cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `log.filter` is invalid.
    #[error(
        "log.filter: '{filter}' is no filter: write a level, and exceptions as in \"info,pumice::web=debug\""
    )]
    Filter {
        /// The configured filter.
        filter: String,
        /// The cause.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was already set up.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets logging up for this process.
///
/// # Errors
/// If the filter is invalid, or logging is already set up.
pub fn start(log: &Log) -> Result<(), LoggingError> {
    let json = match log.format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !std::io::stderr().is_terminal(),
    };
    let (subscriber, apply) = subscriber(&log.filter, json, std::io::stderr)?;
    subscriber.try_init().map_err(LoggingError::Twice)?;
    log_levels::install(&log.filter, apply);
    Ok(())
}

/// Makes a subscriber use another filter.
type Apply = Box<dyn Fn(EnvFilter) + Send>;

/// A subscriber that writes to `writer`, and what changes its filter.
fn subscriber<W>(
    filter: &str,
    json: bool,
    writer: W,
) -> Result<(Box<dyn tracing::Subscriber + Send + Sync>, Apply), LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).map_err(|source| LoggingError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = if json {
        let lines = lines.json().flatten_event(true);
        lines.with_current_span(false).with_span_list(true).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    // It fails only if the subscriber is gone, and with it the log.
    let apply = move |filter| drop(handle.reload(filter));
    Ok((Box::new(subscriber), Box::new(apply)))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use std::io::Write;
    use std::sync::Arc;

    use super::{LoggingError, subscriber};
    use crate::model::volume::Secret;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, apply) = subscriber("info", json, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _inside = tracing::info_span!("request", request_id = "req-1").entered();
            tracing::info!(size = 3, secret = ?Secret::new("hunter2"), "volume created");
            tracing::debug!("not to be seen");
            apply("debug".parse().unwrap());
            tracing::debug!("to be seen");
        });
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_carries_its_request_and_no_secret() {
        let text = logged(false);
        assert!(
            text.contains("req-1") && text.contains("volume created") && text.contains("size=3"),
            "{text}"
        );
        assert!(
            !text.contains("hunter2") && !text.contains("not to be seen") && text.contains("to be seen"),
            "{text}"
        );
        let line: serde_json::Value = serde_json::from_str(logged(true).lines().next().unwrap()).unwrap();
        assert_eq!(line["message"], "volume created");
        assert_eq!(line["spans"][0]["request_id"], "req-1");
        assert!(!line.to_string().contains("hunter2"));
    }

    #[test]
    fn a_bad_filter_is_reported() {
        let error = subscriber("pumice=loud", false, std::io::sink).err().unwrap();
        assert!(matches!(error, LoggingError::Filter { .. }), "{error}");
    }
}
