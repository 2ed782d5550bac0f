//! Where tasks are begun that any thread may run. One place, so that a simulated node ends them in a defined order when it crashes.

use tokio::task::JoinHandle;

/// Runs a task on this thread's runtime.
///
/// A runtime that is dropped drops its tasks in an order that depends on their ids, and those count up for the whole process. The tasks
/// of a `LocalSet`, which a simulated node is, are dropped in the order in which they were begun.
pub(crate) fn spawn<T>(task: T) -> JoinHandle<T::Output>
where
    T: Future<Output: Send> + Send + 'static,
{
    #[cfg(feature = "sim")]
    if crate::sim::is_running() {
        return tokio::task::spawn_local(task);
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    tokio::spawn(task)
}
