//! What is printed of a run.

use crate::sim_support::simulated_time;

/// With `RUST_LOG`, for the one seed that is looked at: under the simulated time.
pub fn tell_the_log() {
    struct Simulated;
    impl tracing_subscriber::fmt::time::FormatTime for Simulated {
        fn format_time(&self, to: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
            write!(to, "{:>9.3}", simulated_time().unwrap_or_default())
        }
    }
    let filter = tracing_subscriber::EnvFilter::builder().from_env_lossy();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Simulated)
        .try_init();
}

/// Drivers panic by the thousand here; each would print itself.
pub fn be_silent_about_scripted_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<&str>();
            if !text.is_some_and(|text| text.starts_with("scripted panic")) {
                print(panic);
            }
        }));
    });
}
