//! The source of random values: new ids, nonces, pauses. One place, so that a simulation can be replayed by its seed.
//!
//! Secrets are from the operating system; only in a simulation they are from the seed.

use std::time::Duration;

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::{SysError, SysRng};
use rand::{Rng, RngExt, TryRng};
use uuid::{Builder, Uuid};

/// A unique id.
pub fn id() -> Uuid {
    Builder::from_random_bytes(number()).into_uuid()
}

/// A unique id that sorts by its time.
pub fn id_by_time() -> Uuid {
    #[cfg(feature = "sim")]
    if let Some(id) = crate::sim::id_by_time() {
        return id;
    }
    #[expect(clippy::disallowed_methods, reason = "this is the only place")]
    Uuid::now_v7()
}

/// A number, or an array of them.
pub fn number<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    draw(|rng| rng.random())
}

/// Secret random bytes.
///
/// # Errors
/// If the operating system provides no random numbers.
pub fn secret<const LENGTH: usize>() -> Result<[u8; LENGTH], SysError> {
    let mut bytes = [0; LENGTH];
    #[cfg(feature = "sim")]
    if let Some(mut seeded) = crate::sim::seeded() {
        seeded.fill(&mut bytes);
        return Ok(bytes);
    }
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// A random duration from zero to this.
pub fn up_to(span: Duration) -> Duration {
    draw(|rng| rng.random_range(Duration::ZERO..=span))
}

fn draw<T>(how: impl FnOnce(&mut dyn Rng) -> T) -> T {
    #[cfg(feature = "sim")]
    if let Some(mut seeded) = crate::sim::seeded() {
        return how(&mut seeded);
    }
    #[expect(clippy::disallowed_methods, reason = "this is the only place")]
    how(&mut rand::rng())
}
