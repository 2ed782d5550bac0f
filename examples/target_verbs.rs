//! Tries a target helper against the real thing: one verb for each call, so that a script can log in, write and look between
//! them. Each verb is done twice and must say the same both times.
//!
//! ```text
//! target_verbs HELPER VERB ID [key=value …]
//!     HELPER  lio, nvmet or tgt (tgt lives as long as its process: `hold` keeps it)
//!     VERB    export store=PATH                   prints the export as JSON
//!             attach store=PATH name=INITIATOR    … and what the initiator is told (`mode=ro`)
//!             resized | shut-out [name=…] | remove | list
//!             life store=PATH name=…              all of them, with their times
//!             hold store=PATH name=…              attach, and stay until standard input ends
//!     ID      the volume's id
//!     keys    portals=IP:PORT,… prefix=… chap=no discard=yes auth="CHAP name password" readonly=yes
//! ```
//!
//! `tests/guest/nvmet` runs it in a guest whose kernel has the targets.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pumice::drivers::Work;
use pumice::drivers::targets::lio::{LioOptions, LioTarget};
use pumice::drivers::targets::nvmet::{InfoVersion, NvmetOptions, NvmetTarget};
use pumice::drivers::targets::tgt::{TgtOptions, TgtTarget};
use pumice::drivers::targets::{Export, TargetDriver};
use pumice::model::spec::VolumeSource;
use pumice::model::volume::Secret;
use pumice::model::{AttachMode, BackendName, Connector, ProjectId, VolumeSpec};
use serde_json::{Map, json};

/// The words of the command line.
struct Told {
    helper: String,
    verb: String,
    volume: VolumeSpec,
    keys: BTreeMap<String, String>,
}

impl Told {
    fn read() -> anyhow::Result<Self> {
        let mut words = std::env::args().skip(1);
        let mut next = |what: &str| words.next().with_context(|| format!("which {what}?"));
        let (helper, verb, id) = (next("helper")?, next("verb")?, next("volume id")?);
        let keys: BTreeMap<String, String> = words
            .map(|word| {
                let (key, value) = word.split_once('=').unwrap_or((&word, "yes"));
                (key.to_owned(), value.to_owned())
            })
            .collect();
        let volume = VolumeSpec {
            id: id.parse().ok().context("the id is no UUID")?,
            project_id: ProjectId::from("p"),
            size: 1,
            pool: BackendName::new("guest", "verbs").pool("verbs"),
            multiattach: true,
            readonly: keys.contains_key("readonly"),
            encrypted: false,
            extra_specs: BTreeMap::new(),
            source: VolumeSource::Raw,
            provider_location: None,
            provider_auth: keys.get("auth").map(|auth| Secret::new(auth.as_str())),
        };
        Ok(Self {
            helper,
            verb,
            volume,
            keys,
        })
    }

    fn key(&self, name: &str) -> anyhow::Result<&str> {
        self.keys
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("{name}=… is missing"))
    }

    fn store(&self) -> anyhow::Result<PathBuf> {
        Ok(self.key("store")?.into())
    }

    fn connector(&self) -> anyhow::Result<Connector> {
        let name = self.key("name")?;
        let mut object = Map::new();
        object.insert("initiator".to_owned(), json!(name));
        object.insert("nqn".to_owned(), json!(name));
        object.insert("host".to_owned(), json!("guest"));
        object.insert("multipath".to_owned(), json!(self.keys.contains_key("multipath")));
        Ok(Connector::from_json(&object))
    }

    fn mode(&self) -> AttachMode {
        match self.keys.get("mode").map(String::as_str) {
            Some("ro") => AttachMode::Ro,
            _ => AttachMode::Rw,
        }
    }

    fn target(&self) -> anyhow::Result<Box<dyn TargetDriver>> {
        let default = if self.helper == "nvmet" {
            "127.0.0.1:4420"
        } else {
            "127.0.0.1:3260"
        };
        let told = self.keys.get("portals").map_or(default, String::as_str);
        let portals: Vec<_> = told.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let portal = *portals.first().context("no portal")?;
        let prefix = self.keys.get("prefix").cloned();
        let prefix = prefix.unwrap_or_else(|| "iqn.2010-10.org.openstack:".to_owned());
        let chap = self.keys.get("chap").is_none_or(|chap| chap != "no");
        let discard = self.keys.contains_key("discard");
        Ok(match self.helper.as_str() {
            "lio" => Box::new(LioTarget::new(LioOptions {
                portals,
                target_prefix: prefix,
                chap,
                discard,
                ..LioOptions::new("guest@verbs", portal)
            })),
            "nvmet" => Box::new(NvmetTarget::new(NvmetOptions {
                info_version: if portals.len() > 1 {
                    InfoVersion::Two
                } else {
                    InfoVersion::One
                },
                portals,
                target_prefix: prefix,
                discard,
                ..NvmetOptions::new("guest@verbs", portal)
            })),
            "tgt" => Box::new(TgtTarget::new(TgtOptions {
                portals,
                target_prefix: prefix,
                chap,
                discard,
                ..TgtOptions::new("/run/target_verbs", portal)
            })),
            other => bail!("no helper is called {other}"),
        })
    }
}

fn work() -> Work {
    Work::within(Duration::from_secs(60))
}

/// Does it twice, says how long each took, and wants the same answer.
fn twice<T: PartialEq + std::fmt::Debug>(
    what: &str,
    verb: impl Fn() -> pumice::drivers::DriverResult<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    let first = verb().with_context(|| what.to_owned())?;
    let (once, begun) = (begun.elapsed(), Instant::now());
    let second = verb().with_context(|| format!("{what}, the second time"))?;
    println!(
        "# {what}: {:.1} ms, again {:.1} ms",
        once.as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64() * 1e3
    );
    anyhow::ensure!(first == second, "{what} answers {first:?} and then {second:?}");
    Ok(first)
}

fn export(told: &Told, target: &dyn TargetDriver, store: &Path) -> anyhow::Result<Export> {
    twice("ensure_export", || {
        target.ensure_export(&work(), &told.volume, store)
    })
}

fn attach(told: &Told, target: &dyn TargetDriver) -> anyhow::Result<()> {
    let export = export(told, target, &told.store()?)?;
    let connector = told.connector()?;
    let info = twice("grant_access", || {
        target.grant_access(&work(), &told.volume, &export, &connector, told.mode())
    })?;
    let data = serde_json::Value::Object(info.data());
    println!(
        "{}",
        json!({ "driver_volume_type": info.driver_volume_type, "data": data, "provider_location": export.provider_location })
    );
    Ok(())
}

fn shut_out(told: &Told, target: &dyn TargetDriver) -> anyhow::Result<()> {
    let connector = told
        .keys
        .contains_key("name")
        .then(|| told.connector())
        .transpose()?;
    twice("revoke_access", || {
        target.revoke_access(&work(), &told.volume, connector.as_ref())
    })
}

fn resized(told: &Told, target: &dyn TargetDriver) -> anyhow::Result<()> {
    twice("resized", || target.resized(&work(), &told.volume))
}

fn remove(told: &Told, target: &dyn TargetDriver) -> anyhow::Result<()> {
    twice("remove_export", || target.remove_export(&work(), &told.volume))
}

fn list(target: &dyn TargetDriver) -> anyhow::Result<Vec<String>> {
    twice("list_exports", || target.list_exports(&work()))
}

fn main() -> anyhow::Result<()> {
    let told = Told::read()?;
    let target = told.target()?;
    let target = target.as_ref();
    twice("setup", || target.setup(&work()))?;
    let done = match told.verb.as_str() {
        "export" => {
            export(&told, target, &told.store()?).map(|export| println!("{}", export.provider_location))
        }
        "attach" => attach(&told, target),
        "shut-out" => shut_out(&told, target),
        "resized" => resized(&told, target),
        "remove" => remove(&told, target),
        "list" => list(target).map(|names| names.iter().for_each(|name| println!("{name}"))),
        "life" => (|| {
            attach(&told, target)?;
            resized(&told, target)?;
            anyhow::ensure!(
                list(target)?.contains(&told.volume.storage_name()),
                "it is not listed"
            );
            shut_out(&told, target)?;
            remove(&told, target)?;
            anyhow::ensure!(
                !list(target)?.contains(&told.volume.storage_name()),
                "it is still listed"
            );
            Ok(())
        })(),
        // Until its standard input ends, and then without a word to the target: as one that is killed.
        "hold" => attach(&told, target).and_then(|()| {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
                .map(drop)
                .map_err(Into::into)
        }),
        other => bail!("no verb is called {other}"),
    };
    target.shutdown();
    done
}
