//! A thread for each verb: hanging verbs must not use up the shared threads of the runtime.

use std::future::Future;
use std::pin::Pin;

/// What a verb's thread returns; `Err` if no thread could be started.
type Answer<T> = Pin<Box<dyn Future<Output = Result<T, String>>>>;

/// Runs a function that blocks.
#[cfg(not(feature = "sim"))]
pub(super) fn run_in_thread<T: Send + 'static>(verb: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let begun = std::thread::Builder::new()
        .name("driver-verb".to_owned())
        .spawn(move || {
            // The caller may have stopped waiting.
            let _ = sender.send(verb());
        });
    Box::pin(async move {
        begun.map_err(|error| format!("no thread for a driver verb: {error}"))?;
        receiver
            .await
            .map_err(|_| "the thread of a driver verb ended without an answer".to_owned())
    })
}

/// The same on the simulated node.
#[cfg(feature = "sim")]
pub(super) fn run_in_thread<T: Send + 'static>(verb: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    let thread = crate::sim::in_thread(verb);
    Box::pin(async move { thread.await.map_err(|error| error.to_string()) })
}
