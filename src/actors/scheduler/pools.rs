//! The known pools of all hosts: their last reports, less the reservations since.
//!
//! A choice reserves capacity on its pool at once (Cinder's `consume_from_volume`), so that the next choice takes it into
//! account. Reservations are kept apart from the report: a new report replaces the previous one, but a reservation is kept until
//! its operation is known to have ended, since only then the backend's own numbers certainly include it. (Cinder drops its
//! reservations at each report, and can reserve the same capacity twice for creates that wait in a queue.)
//!
//! Plain data; it is behind a mutex outside of the actor, so that it survives a panic.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use tokio::time::Instant;

use super::filters::{Class, Filter};
use super::pick::Candidates;
use super::pool_state::PoolState;
pub use super::reservations::Reservation;
use super::reservations::{Reservations, Taken};
use super::verdicts::{Classes, Verdicts};
use crate::messages::scheduler::{Among, PoolView};
use crate::model::bounds::{self, PLACE};
use crate::model::service::BackendStats;
use crate::model::{BackendName, PoolName};

#[derive(Clone, Debug)]
struct Backend {
    stats: BackendStats,
    received_at: Instant,
    pools: Vec<PoolState>,
    verdicts: Verdicts,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    backends: BTreeMap<BackendName, Backend>,
    reservations: Reservations,
    /// Unreachable backends, and until when they are not used.
    unreachable: BTreeMap<BackendName, Instant>,
    classes: Classes,
}

/// Whether an operator excluded a backend's service: `Some` is the reason.
pub type Standing<'a> = &'a dyn Fn(&BackendName) -> Option<String>;

/// When, and among which pools, one is chosen.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The time.
    pub now: Instant,
    /// The age of a report above which its backend is not used.
    pub down_time: Duration,
    /// Whether an operator excluded a backend.
    pub standing: Standing<'a>,
    /// Which pools.
    pub among: &'a Among,
}

impl Look<'_> {
    /// Among all pools, none of which is excluded.
    pub fn at(now: Instant, down_time: Duration) -> Self {
        Self {
            now,
            down_time,
            standing: &|_| None,
            among: &Among::All,
        }
    }
}

impl Pools {
    /// Whether any backend has ever reported.
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty()
    }

    /// Whether this backend has ever reported.
    pub fn knows(&self, backend: &BackendName) -> bool {
        self.backends.contains_key(backend)
    }

    /// Whether this report is a repetition of the known one: the storage was not examined since, so it settles no reservations;
    /// but its sender is alive.
    pub fn hear_again(&mut self, stats: &BackendStats, now: Instant) -> bool {
        let known = self
            .backends
            .get_mut(&stats.backend)
            .filter(|known| stats.up && known.stats.up && stats.timestamp == known.stats.timestamp);
        if let Some(known) = known {
            known.received_at = now;
            self.unreachable.remove(&stats.backend);
            return true;
        }
        false
    }

    /// Stores a report; `settled` are reservations whose operations have ended, which the report therefore includes.
    /// `false` if the report is older than the known one, and dropped. The report of a backend that was silent for
    /// `down_time` is accepted whatever its time: its clock may have been set back. A pool whose name is too long for a
    /// record is ignored.
    pub fn accept(
        &mut self,
        mut stats: BackendStats,
        now: Instant,
        down_time: Duration,
        settled: &[Reservation],
    ) -> bool {
        let known = self.backends.get(&stats.backend);
        if let Some(known) = known
            && stats.timestamp < known.stats.timestamp
            && now.duration_since(known.received_at) <= down_time
        {
            return false;
        }
        // A backend that reports is reachable.
        self.unreachable.remove(&stats.backend);
        for reservation in settled {
            self.reservations.remove(reservation);
        }
        let backend = &stats.backend;
        stats.pools.retain(|pool| {
            let place = backend.pool(&pool.pool_name);
            let fits = bounds::is_place(&place);
            if !fits {
                let length = place.to_string().len();
                tracing::warn!(
                    backend = bounds::cut(&backend.to_string(), PLACE),
                    pool = bounds::cut(&pool.pool_name, PLACE),
                    "a pool is ignored: its host@backend#pool has {length} bytes and may have {PLACE}, or is not of that form"
                );
            }
            fits
        });
        let pools = stats.pools.iter().map(|pool| PoolState::new(&stats, pool));
        let mut pools: Vec<PoolState> = pools.collect();
        // A failed driver reports no pools; the known ones still explain why none was chosen.
        if pools.is_empty()
            && !stats.up
            && let Some(known) = known
        {
            pools.clone_from(&known.pools);
        }
        for pool in &mut pools {
            let on = self.reservations.on(&stats.backend);
            let on = on.filter(|(_, taken)| taken.pool == *pool.name());
            pool.set_taken(on.map(|(_, taken)| u64::from(taken.gib)).sum());
        }
        let backend = Backend {
            received_at: now,
            pools,
            stats,
            verdicts: Verdicts::default(),
        };
        self.backends.insert(backend.stats.backend.clone(), backend);
        true
    }

    /// The reservations on a backend's pools, and since when: the caller determines which of them its next report settles.
    pub fn reservations_on(&self, backend: &BackendName) -> Vec<(Reservation, Instant)> {
        let on = self.reservations.on(backend);
        on.map(|(reservation, taken)| (reservation, taken.at)).collect()
    }

    /// Reserves capacity on a pool. A reservation is on one pool: its previous capacity is released first, so the call is
    /// idempotent.
    pub fn take(&mut self, reservation: Reservation, pool: &PoolName, gib: u32, now: Instant) {
        self.give_back(&reservation);
        if let Some(state) = self.pool_mut(pool) {
            state.take(gib);
        }
        let pool = pool.clone();
        self.reservations
            .insert(reservation, Taken { pool, gib, at: now });
    }

    /// Whether a reservation holds anything.
    pub fn has(&self, reservation: &Reservation) -> bool {
        self.reservations.has(reservation)
    }

    /// Excludes an unreachable backend until then, or until it reports.
    pub fn leave_out(&mut self, backend: &BackendName, until: Instant) {
        self.unreachable.insert(backend.clone(), until);
    }

    /// Whether any backend is excluded now because it is unreachable.
    pub fn leaves_any_out(&self, now: Instant) -> bool {
        self.unreachable.values().any(|until| now < *until)
    }

    /// Releases a reservation, if it exists.
    pub fn give_back(&mut self, reservation: &Reservation) {
        let Some(taken) = self.reservations.remove(reservation) else {
            return;
        };
        if let Some(state) = self.pool_mut(&taken.pool) {
            state.give_back(taken.gib);
        }
    }

    fn pool_mut(&mut self, name: &PoolName) -> Option<&mut PoolState> {
        let backend = self.backends.get_mut(&name.backend)?;
        let at = backend.place_of(name)?;
        backend.pools.get_mut(at)
    }

    /// The known pools among which one is chosen, ordered by name; whether they may be used now, and what those of the filters that read only
    /// reports say of them. It is remembered by class, so all calls must be with the filters of one chain.
    pub fn candidates(
        &mut self,
        look: &Look<'_>,
        class: &Class<'_>,
        filters: &[Filter],
    ) -> Vec<Candidates<'_>> {
        let id = self.classes.id(class);
        let within = match look.among.backend() {
            None => (Bound::Unbounded, Bound::Unbounded),
            Some(one) => (Bound::Included(one), Bound::Included(one)),
        };
        for (_, backend) in self.backends.range_mut::<BackendName, _>(within) {
            backend.verdicts.make(id, class, &backend.pools, filters);
        }
        let backends = self.backends.range::<BackendName, _>(within);
        backends
            .map(|(name, backend)| {
                let all = 0..backend.pools.len();
                let pools = match look.among {
                    Among::Pool(one) => backend.place_of(one).map_or(0..0, |at| at..at + 1),
                    Among::All | Among::Backend(_) => all,
                };
                let unusable = backend.unusable(look);
                Candidates {
                    pools: &backend.pools[pools.clone()],
                    verdicts: &backend.verdicts.of(id)[pools],
                    unusable: unusable.or_else(|| self.unreachable(name, look.now)),
                }
            })
            .collect()
    }

    fn unreachable(&self, backend: &BackendName, now: Instant) -> Option<String> {
        let until = self.unreachable.get(backend)?;
        (now < *until).then(|| "its host could not be reached a moment ago".to_owned())
    }

    /// Every known pool, less the reservations since its report, for inspection.
    pub fn views(&self, look: &Look<'_>) -> Vec<PoolView> {
        let mut views = Vec::new();
        for backend in self.backends.values() {
            let usable = backend.unusable(look).is_none();
            let mut stats = backend.stats.clone();
            stats.pools = backend.pools.iter().map(PoolState::adjusted).collect();
            views.extend((0_u32..).zip(&backend.pools).map(|(index, pool)| PoolView {
                name: pool.name().clone(),
                usable,
                backend: stats.clone(),
                index,
            }));
        }
        views
    }
}

impl Backend {
    fn place_of(&self, name: &PoolName) -> Option<usize> {
        self.pools.iter().position(|pool| pool.name() == name)
    }

    fn unusable(&self, look: &Look<'_>) -> Option<String> {
        let age = look.now.duration_since(self.received_at);
        if age > look.down_time {
            return Some(format!("its last report is {} s old", age.as_secs()));
        }
        if !self.stats.up {
            let reason = self.stats.reason.as_deref().unwrap_or("no reason given");
            return Some(format!("its driver does not work: {reason}"));
        }
        (look.standing)(&self.stats.backend)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Candidates, Class, Look, PLACE, Pools, Reservation};
    use crate::actors::scheduler::testing;
    use crate::model::service::{BackendStats, Capacity};
    use crate::model::{OperationId, Timestamp};

    const DOWN: Duration = Duration::from_secs(60);

    /// Pools with the report of one backend, and that report.
    fn with_backend(now: Instant) -> (Pools, BackendStats) {
        let (mut pools, stats) = (Pools::default(), testing::backend("h", "lvm", &["p"]));
        assert!(pools.accept(stats.clone(), now, DOWN, &[]));
        (pools, stats)
    }

    fn of_one(pools: &mut Pools, at: Instant) -> Candidates<'_> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let mut candidates = pools.candidates(&Look::at(at, DOWN), &Class::of(&NONE), &[]);
        candidates.remove(0)
    }

    fn free(pools: &mut Pools) -> f64 {
        match of_one(pools, Instant::now()).pools[0].free() {
            Capacity::Gib(free) => free,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_promised_stays_promised_over_reports_until_its_operation_ends() {
        let now = Instant::now();
        let (mut pools, stats) = with_backend(now);
        let pool = stats.backend.pool("p");
        let reservation = Reservation::Create(OperationId::new());
        pools.take(reservation, &pool, 30, now);
        pools.take(reservation, &pool, 30, now);
        assert_eq!(free(&mut pools), 70.0, "it is idempotent");
        assert!(pools.accept(stats.clone(), now, DOWN, &[]));
        assert_eq!(free(&mut pools), 70.0);
        assert_eq!(pools.reservations_on(&stats.backend), [(reservation, now)]);
        assert!(pools.accept(stats.clone(), now, DOWN, &[reservation]));
        assert_eq!(free(&mut pools), 100.0);
        pools.give_back(&reservation);
        assert_eq!(free(&mut pools), 100.0);
    }

    #[test]
    fn a_repeated_report_shows_liveness_and_settles_nothing() {
        let (mut pools, now) = (Pools::default(), Instant::now());
        let stats = testing::backend("h", "lvm", &["p"]);
        let reservation = Reservation::Create(OperationId::new());
        assert!(!pools.hear_again(&stats, now), "there is no report yet");
        pools.accept(stats.clone(), now, DOWN, &[]);
        pools.take(reservation, &stats.backend.pool("p"), 30, now);
        pools.leave_out(&stats.backend, now + DOWN);
        let later = now + DOWN;
        assert!(pools.hear_again(&stats, later));
        assert!(!pools.leaves_any_out(now));
        assert_eq!(free(&mut pools), 70.0);
        let late_look = later + Duration::from_secs(1);
        assert!(pools.views(&Look::at(late_look, DOWN))[0].usable);
        let mut down = stats.clone();
        down.up = false;
        assert!(!pools.hear_again(&down, later), "it has changed");
    }

    #[test]
    fn a_failed_attempt_gives_its_room_back() {
        let now = Instant::now();
        let (mut pools, stats) = with_backend(now);
        let reservation = Reservation::Create(OperationId::new());
        pools.take(reservation, &stats.backend.pool("p"), 30, now);
        pools.give_back(&reservation);
        assert_eq!(free(&mut pools), 100.0);
    }

    #[test]
    fn an_older_report_is_dropped_unless_the_backend_was_silent_for_long() {
        let now = Instant::now();
        let (mut pools, mut older) = with_backend(now);
        older.timestamp.0 -= 1;
        assert!(!pools.accept(older.clone(), now, DOWN, &[]));
        assert!(pools.accept(older, now + DOWN + Duration::from_secs(1), DOWN, &[]));
    }

    #[test]
    fn a_pool_whose_name_cannot_be_recorded_is_not_taken_in() {
        let (mut pools, now) = (Pools::default(), Instant::now());
        let fits = "p".repeat(PLACE - "h@lvm#".len());
        let mut stats = testing::backend("h", "lvm", &["", &fits, &format!("{fits}p"), "p"]);
        assert!(pools.accept(stats.clone(), now, DOWN, &[]));
        let views = pools.views(&Look::at(now, DOWN));
        let known: Vec<_> = views.iter().map(|view| view.name.pool.as_str()).collect();
        assert_eq!(known, [fits.as_str(), "p"]);
        for view in &views {
            assert_eq!(view.backend.pools[view.index as usize].pool_name, view.name.pool);
        }
        stats.backend.host = "h".repeat(PLACE);
        stats.timestamp = Timestamp(stats.timestamp.0 + 1);
        pools.accept(stats, now, DOWN, &[]);
        assert_eq!(pools.views(&Look::at(now, DOWN)).len(), 2);
    }

    #[test]
    fn a_backend_that_cannot_be_reached_is_left_out_until_it_reports() {
        let now = Instant::now();
        let (mut pools, stats) = with_backend(now);
        pools.leave_out(&stats.backend, now + DOWN / 2);
        let usable = |pools: &mut Pools, at| of_one(pools, at).unusable.is_none();
        assert!(!usable(&mut pools, now) && pools.leaves_any_out(now));
        assert!(usable(&mut pools, now + DOWN / 2) && !pools.leaves_any_out(now + DOWN / 2));
        pools.accept(stats, now, DOWN, &[]);
        assert!(usable(&mut pools, now));
    }

    #[test]
    fn a_backend_that_is_silent_or_broken_or_out_of_service_says_why() {
        let now = Instant::now();
        let (mut pools, mut stats) = with_backend(now);
        let why = |pools: &mut Pools, later| of_one(pools, now + later).unusable;
        assert_eq!(why(&mut pools, DOWN), None);
        assert_eq!(
            &*why(&mut pools, DOWN * 2).unwrap(),
            "its last report is 120 s old"
        );
        let disabled = Look {
            standing: &|_| Some("its service is disabled".to_owned()),
            ..Look::at(now, DOWN)
        };
        let none = BTreeMap::new();
        assert!(
            pools.candidates(&disabled, &Class::of(&none), &[])[0]
                .unusable
                .is_some()
        );
        assert!(!pools.views(&disabled)[0].usable);
        stats.up = false;
        stats.reason = Some("no such folder".into());
        stats.pools.clear();
        pools.accept(stats, now, DOWN, &[]);
        let why = why(&mut pools, Duration::ZERO).unwrap();
        assert_eq!(&*why, "its driver does not work: no such folder");
    }
}
