//! The lists of volumes that Cinder has, by every sort key and filter, each beside the page without any.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::http::{Client, request};
use super::server::Server;

/// The largest ratio of a list to the page without filters and sort.
pub const TARGET: f64 = 3.0;

/// How often a list is measured; the median counts.
const TIMES: usize = 7;

/// The sort keys of volumes.
const SORT_KEYS: [&str; 22] = [
    "id",
    "name",
    "description",
    "status",
    "size",
    "bootable",
    "migration_status",
    "attach_status",
    "availability_zone",
    "volume_type_id",
    "host",
    "user_id",
    "project_id",
    "snapshot_id",
    "source_volid",
    "multiattach",
    "replication_status",
    "created_at",
    "updated_at",
    "scheduled_at",
    "launched_at",
    "consistencygroup_id",
];

/// Filters: some that many volumes match, some that few match, and some that none does.
const FILTERS: [&str; 48] = [
    "name=bench-000007",
    "name=none",
    "name~=bench",
    "name~=00042",
    "name~=none",
    "status=available",
    "status=error",
    "status=deleting",
    "status=['error','reserved']",
    "status~=err",
    "metadata={'run':'bench'}",
    "metadata={'shelf':'17'}",
    "metadata={'serial':'4711'}",
    "metadata={'run':'none'}",
    "metadata={'run':'bench','shelf':'17'}",
    "glance_metadata={'os':'none'}",
    "bootable=true",
    "bootable=false",
    "migration_status=success",
    "migration_status=error",
    "availability_zone=zone-1",
    "availability_zone=none",
    "group_id=00000000-0000-0000-0000-0000000001f4",
    "group_id=none",
    "size=7",
    "size=999",
    "size~=99",
    "created_at=gte:2020-01-01T00:00:00",
    "created_at=lt:2020-01-01T00:00:00",
    "updated_at=gt:2020-01-01T00:00:00",
    "updated_at=lt:2020-01-01T00:00:00",
    "updated_at=gt:2020-01-01T00:00:00,lt:2020-01-02T00:00:00",
    "consumes_quota=true",
    "consumes_quota=false",
    "attach_status=reserved",
    "description=description 4711",
    "description~=tion 471",
    "description~=none",
    "host=node-7",
    "host=none",
    "user_id=user-7",
    "multiattach=true",
    "replication_status=error",
    "snapshot_id=none",
    "id~=none",
    "id~=4e7",
    "bootable=true&availability_zone=zone-1&size=7",
    "status=available&bootable=true&sort=updated_at:asc",
];

/// Orders of more than one key, and orders of filtered lists.
const COMBINED: [&str; 6] = [
    "sort=name:asc,size:desc",
    "sort=availability_zone:desc,host:asc,name:desc",
    "sort=status:asc,created_at:desc",
    "name~=00042&sort=host:asc",
    "status=available&sort=size:desc",
    "bootable=false&sort=description:asc",
];

/// Lists that are also measured without tables.
pub const WALKED: [&str; 5] = [
    "sort=host",
    "name~=none",
    "metadata={'serial':'4711'}",
    "group_id=none",
    "sort=name",
];

/// A list: queries of which the slowest counts.
pub struct List {
    pub name: String,
    queries: Vec<String>,
    /// Whether it is also asked for behind markers in the middle and near the end.
    in_places: bool,
}

/// A page: its size, and whether of whole volumes or of their names.
#[derive(Clone, Copy)]
pub struct Kind {
    limit: usize,
    path: &'static str,
}

impl Kind {
    pub fn name(self) -> String {
        let detail = if self.path.is_empty() { "brief" } else { "detail" };
        format!("{detail} {}", self.limit)
    }
}

/// The pages that are measured.
pub const KINDS: [Kind; 4] = [
    Kind { limit: 50, path: "" },
    Kind {
        limit: 50,
        path: "/detail",
    },
    Kind {
        limit: 1000,
        path: "",
    },
    Kind {
        limit: 1000,
        path: "/detail",
    },
];

/// All lists that are measured.
pub fn every_list() -> Vec<List> {
    let sorts = SORT_KEYS.iter().map(|key| List {
        name: format!("sort={key}"),
        queries: ["asc", "desc"]
            .map(|direction| format!("sort={key}:{direction}"))
            .into(),
        in_places: true,
    });
    let filters = FILTERS.iter().chain(&COMBINED).map(|filter| List {
        name: (*filter).to_owned(),
        queries: vec![filter.replace(' ', "%20").replace('\'', "%27")],
        in_places: filter.starts_with("sort"),
    });
    let counts = [
        "bootable=true",
        "name~=00042",
        "status=available",
        "metadata={'shelf':'17'}",
    ];
    let counted = counts.iter().map(|filter| List {
        name: format!("{filter}&with_count=true"),
        queries: vec![format!("{}&with_count=true", filter.replace('\'', "%27"))],
        in_places: false,
    });
    sorts.chain(filters).chain(counted).collect()
}

/// A client that measures lists.
pub struct Lists<'s> {
    server: &'s Server,
    client: Client,
    /// The medians of the page without filters, of each kind.
    bases: [Vec<f64>; KINDS.len()],
}

impl<'s> Lists<'s> {
    pub async fn connect(server: &'s Server) -> Result<Self> {
        Ok(Self {
            server,
            client: Client::connect(server.address).await?,
            bases: Default::default(),
        })
    }

    fn request(&self, kind: Kind, query: &str) -> Vec<u8> {
        let Kind { limit, path } = kind;
        let project = &self.server.project;
        let path = format!("/v3/{project}/volumes{path}?limit={limit}&{query}");
        request("GET", &path, &self.server.token, "")
    }

    async fn time(&mut self, ask: &[u8]) -> Result<f64> {
        let sent = Instant::now();
        let answer = self.client.send(ask).await?;
        let taken = sent.elapsed().as_secs_f64() * 1e3;
        let asked = String::from_utf8_lossy(ask);
        ensure!(
            answer.status == 200,
            "{} for {}: {}",
            answer.status,
            asked.lines().next().unwrap_or_default(),
            String::from_utf8_lossy(&answer.body)
        );
        Ok(taken)
    }

    /// The first list in an order that no index has, in ms.
    pub async fn first(&mut self) -> Result<f64> {
        let ask = self.request(KINDS[0], "sort=host:asc");
        self.time(&ask).await
    }

    /// The ids in the middle and near the end of a list.
    async fn places(&mut self, query: &str) -> Result<Vec<String>> {
        let mut places = Vec::new();
        for offset in [50_000, 98_500] {
            let query = format!("{query}&offset={offset}");
            let ask = self.request(Kind { limit: 1, path: "" }, &query);
            let answer = self.client.send(&ask).await?;
            let page: serde_json::Value = serde_json::from_slice(&answer.body)?;
            let id = page["volumes"][0]["id"].as_str().context("no volume there")?;
            places.push(id.to_owned());
        }
        Ok(places)
    }

    /// The ratio of the first page of a list to that without filters, of each kind, measured once.
    pub async fn first_page(&mut self, list: &List) -> Result<[f64; KINDS.len()]> {
        let mut ratios = [0.0; KINDS.len()];
        for (ratio, kind) in ratios.iter_mut().zip(KINDS) {
            let base = self.request(kind, "");
            let ask = self.request(kind, &list.queries[0]);
            let mut bases = Vec::new();
            for _ in 0..TIMES {
                bases.push(self.time(&base).await?);
            }
            *ratio = self.time(&ask).await? / median(bases);
        }
        Ok(ratios)
    }

    /// The ratio of a list to the page without filters, of each kind.
    pub async fn ratios(&mut self, list: &List) -> Result<[f64; KINDS.len()]> {
        let mut queries = list.queries.clone();
        if list.in_places {
            for query in &list.queries {
                let places = self.places(query).await?;
                queries.extend(places.iter().map(|id| format!("{query}&marker={id}")));
            }
        }
        let mut ratios = [0.0_f64; KINDS.len()];
        for (at, kind) in KINDS.into_iter().enumerate() {
            let base = self.request(kind, "");
            // A table remembers the rows of its last filters: others are asked for in between.
            let others = self.request(KINDS[0], "user_id=none");
            for query in &queries {
                let ask = self.request(kind, query);
                let first = self.time(&ask).await?;
                let (mut bases, mut taken) = (vec![self.time(&base).await?], vec![first]);
                // One that is far off needs no median.
                let times = if first > 20.0 * TARGET * bases[0] {
                    0
                } else {
                    TIMES
                };
                taken.truncate(usize::from(times == 0));
                for _ in 0..times {
                    bases.push(self.time(&base).await?);
                    self.time(&others).await?;
                    taken.push(self.time(&ask).await?);
                }
                let base = median(bases);
                self.bases[at].push(base);
                ratios[at] = ratios[at].max(median(taken) / base);
            }
        }
        Ok(ratios)
    }

    /// The pages without filters, in text.
    pub fn bases(&self) -> String {
        let bases = KINDS.iter().zip(&self.bases);
        let texts = bases.map(|(kind, taken)| format!("{} {:.2} ms", kind.name(), median(taken.clone())));
        format!(
            "medians without filters and sort: {}",
            texts.collect::<Vec<_>>().join(", ")
        )
    }
}

fn median(mut taken: Vec<f64>) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken.get(taken.len() / 2).copied().unwrap_or_default()
}
