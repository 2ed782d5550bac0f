//! Spawning of tasks that any thread may run. In one place, so that a simulated node drops them in a defined order when it crashes.

use tokio::task::JoinHandle;

/// Runs a task on this thread's runtime.
///
/// A dropped runtime drops its tasks in an order that depends on their ids, which are counted per process. The tasks of a
/// `LocalSet`, which a simulated node is, are dropped in the order in which they were spawned.
pub(crate) fn spawn<T>(task: T) -> JoinHandle<T::Output>
where
    T: Future<Output: Send> + Send + 'static,
{
    #[cfg(feature = "sim")]
    if crate::sim::is_running() {
        return tokio::task::spawn_local(task);
    }
    #[expect(clippy::disallowed_methods, reason = "this is the only place")]
    tokio::spawn(task)
}
