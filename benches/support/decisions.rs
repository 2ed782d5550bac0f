//! Decisions of the scheduler among many pools, beside a search of an array of their free space.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pumice::actors::scheduler::filters::Ask;
use pumice::actors::scheduler::pick::{Chain, pick};
use pumice::actors::scheduler::pools::{Look, Pools, Reservation};
use pumice::actors::scheduler::weighers::Multipliers;
use pumice::messages::scheduler::RequestSpec;
use pumice::model::service::{BackendStats, Capacity, OverSubscription, PoolStats};
use pumice::model::{BackendName, OperationId, Timestamp, VolumeId};

const DOWN: Duration = Duration::from_secs(3600);
const GIB: f64 = 1_000_000.0;

/// What the volumes of a run ask for.
#[derive(Clone, Copy)]
pub enum Asked {
    /// Room.
    Any,
    /// And a zone, in which half of the pools are.
    Zone,
    /// And a type with an extra spec.
    Type,
}

impl Asked {
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any volume",
            Self::Zone => "in a zone",
            Self::Type => "with a type",
        }
    }

    fn request(self) -> RequestSpec {
        let name = || ("volume_backend_name".to_owned(), "fake".to_owned());
        RequestSpec {
            volume_id: VolumeId::new(),
            size: 10,
            availability_zone: matches!(self, Self::Zone).then(|| "odd".to_owned()),
            extra_specs: matches!(self, Self::Type).then(name).into_iter().collect(),
            resource_backend: None,
            hints: None,
            tried: Vec::new(),
        }
    }
}

/// How long decisions took.
pub struct Taken {
    /// The median.
    pub p50: Duration,
    /// Of a hundred, one took longer.
    pub p99: Duration,
}

impl Taken {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        }
    }
}

fn pool(name: String) -> PoolStats {
    PoolStats {
        pool_name: name,
        total_capacity_gb: Capacity::Gib(GIB),
        free_capacity_gb: Capacity::Gib(GIB),
        allocated_capacity_gb: 0.0,
        provisioned_capacity_gb: 0.0,
        reserved_percentage: 0,
        max_over_subscription_ratio: OverSubscription::Ratio(20.0),
        thin_provisioning_support: true,
        thick_provisioning_support: false,
        multiattach: true,
        online_extend_support: true,
        total_volumes: 0,
        extra: BTreeMap::new(),
    }
}

fn reports(backends: usize, pools: usize) -> Pools {
    let (mut all, now) = (Pools::default(), tokio::time::Instant::now());
    for number in 0..backends {
        let stats = BackendStats {
            backend: BackendName::new(format!("volume-{number:04}"), "fake".to_owned()),
            volume_backend_name: "fake".into(),
            vendor_name: "Open Source".into(),
            driver_version: "1.0".into(),
            storage_protocol: "iSCSI".into(),
            availability_zone: if number % 2 == 0 { "even" } else { "odd" }.into(),
            up: true,
            reason: None,
            pools: (0..pools)
                .map(|pool_number| pool(format!("pool-{pool_number}")))
                .collect(),
            timestamp: Timestamp::now(),
        };
        all.accept(stats, now, DOWN, &[]);
    }
    all
}

/// Chooses a pool so many times, each time with what the earlier choices left.
pub fn choose((backends, pools): (usize, usize), times: usize, asked: Asked) -> Result<Taken> {
    let filters = ["AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter"];
    let chain = Chain::new(&filters, &["CapacityWeigher"], Multipliers::default())?;
    let mut known = reports(backends, pools);
    let request = asked.request();
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let (begun, now) = (Instant::now(), tokio::time::Instant::now());
        let ask = Ask::of(&request);
        let candidates = known.candidates(&Look::at(now, DOWN), &ask.class, chain.filters());
        let chosen = pick(&ask, &candidates, &chain).chosen;
        ensure!(chosen.is_some(), "there is room everywhere");
        if let Some(chosen) = chosen {
            known.take(
                Reservation::Create(OperationId::new()),
                &chosen,
                request.size,
                now,
            );
        }
        taken.push(begun.elapsed());
    }
    Ok(Taken::of(taken))
}

/// The same with an array of nothing but the free space.
pub fn search_of_an_array(pools: usize, times: usize) -> Taken {
    let mut free = vec![GIB; pools];
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        let all = black_box(&free).iter().enumerate();
        let most = all
            .filter(|(_, free)| **free >= 10.0)
            .max_by(|a, b| a.1.total_cmp(b.1));
        if let Some((at, _)) = most {
            free[at] -= 10.0;
        }
        taken.push(begun.elapsed());
    }
    Taken::of(taken)
}
