//! Where chance comes from: fresh ids, nonces, pauses. One place, so that a simulation can be replayed by its seed.
//!
//! Secrets are not drawn here: theirs is the operating system's, and stays so in a simulation.

use std::time::Duration;

use rand::distr::{Distribution, StandardUniform};
use rand::{Rng, RngExt};
use uuid::{Builder, Uuid};

/// An id that nothing else has.
pub fn id() -> Uuid {
    Builder::from_random_bytes(number()).into_uuid()
}

/// An id that nothing else has, and that sorts by its time.
pub fn id_by_time() -> Uuid {
    #[cfg(feature = "sim")]
    if let Some(id) = crate::sim::id_by_time() {
        return id;
    }
    Uuid::now_v7()
}

/// A number, or an array of them.
pub fn number<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    draw(|rng| rng.random())
}

/// A span from zero to this.
pub fn up_to(span: Duration) -> Duration {
    draw(|rng| rng.random_range(Duration::ZERO..=span))
}

fn draw<T>(how: impl FnOnce(&mut dyn Rng) -> T) -> T {
    #[cfg(feature = "sim")]
    if let Some(mut seeded) = crate::sim::seeded() {
        return how(&mut seeded);
    }
    how(&mut rand::rng())
}
