//! The LVM driver's own conformance run: every verb on a real volume group, each twice, with the contents checked, copies that are
//! killed in their middle, a full group and a full thin pool. It prints each verb's time beside the bare command's.
//!
//!     cargo build --bin pumice --example lvm_verbs
//!     lvm_verbs VG thick|thin PUMICE [PART]     as root; PUMICE is the `pumice` program that copies
//!
//! The group must be there and **is emptied of nothing**: what the run makes it removes, but it fills the group's free space
//! meanwhile, so give it one of its own. Thick: about 6 GiB. Thin: the pool `<VG>-pool` of some 700 MiB, which it fills up
//! (`lvcreate -T -L 700m VG/VG-pool; lvchange --errorwhenfull y VG/VG-pool`); without a pool it is made of the whole group, and the
//! run is long. PART is one of life, manage, commands (killed), copies (killed; thick), full; without it, all. Exits with 0 when everything held; the first thing that did not ends it.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a run that people and scripts read; it may panic"
)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pumice::drivers::command::Command;
use pumice::drivers::copy::process::CopyOptions;
use pumice::drivers::lvm::{LvmDriver, LvmOptions, LvmType, VolumeClear};
use pumice::drivers::{DriverError, DriverResult, VolumeDriver, Work};
use pumice::model::spec::VolumeSource;
use pumice::model::{BackendName, ProjectId, Reference, SnapshotId, StorageName, VolumeId, VolumeSpec};

const MIB: u64 = 1 << 20;
/// Where the specimens of data lie in a volume of 1 GiB: its beginning, its middle, its end.
const PLACES: [u64; 4] = [0, 5 * MIB, 700 * MIB, 1023 * MIB];

struct Run {
    group: String,
    thin: bool,
    pumice: PathBuf,
    driver: LvmDriver,
    figures: Vec<(String, Duration)>,
}

fn work() -> Work {
    Work::within(Duration::from_secs(600))
}

fn volume(size: u32) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId::new(),
        project_id: ProjectId::from("p"),
        size,
        pool: BackendName::new("h", "lvm").pool("lvm"),
        multiattach: false,
        readonly: false,
        encrypted: false,
        extra_specs: BTreeMap::new(),
        source: VolumeSource::Raw,
        provider_location: None,
        provider_auth: None,
    }
}

fn options(group: &str, thin: bool, pumice: &Path) -> LvmOptions {
    LvmOptions {
        lvm_type: if thin { LvmType::Thin } else { LvmType::Thick },
        volume_clear: VolumeClear::Zero,
        volume_clear_size: 16,
        copy: CopyOptions {
            pumice: Some(pumice.to_owned()),
            ..CopyOptions::default()
        },
        ..LvmOptions::new(group, "lvm")
    }
}

fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // What `killed_with_its_parent` starts, to kill it.
        ["clone", group, kind, pumice, source, new] => {
            let driver = LvmDriver::new(options(group, kind == "thin", Path::new(pumice)));
            let new = VolumeSpec {
                id: new.parse()?,
                ..volume(1)
            };
            driver.create_cloned_volume(&work(), &new, source.parse()?)?;
            Ok(())
        }
        [group, kind, pumice, ref part @ ..] => {
            let thin = kind == "thin";
            let pumice = PathBuf::from(pumice);
            Run {
                driver: LvmDriver::new(options(group, thin, &pumice)),
                group: group.to_owned(),
                thin,
                pumice,
                figures: Vec::new(),
            }
            .all(part.first().copied())
        }
        _ => bail!("usage: lvm_verbs VG thick|thin PUMICE [PART]"),
    }
}

impl Run {
    fn all(&mut self, part: Option<&str>) -> Result<()> {
        self.driver.setup(&work())?;
        self.driver.setup(&work())?;
        let before = self.names()?;
        let wants = |name: &str| part.is_none_or(|part| part == name);
        if wants("life") {
            self.bare_commands()?;
            self.a_life()?;
        }
        if wants("manage") {
            self.manage()?;
        }
        if wants("commands") {
            self.killed_commands()?;
        }
        if wants("copies") && !self.thin {
            self.killed_copy()?;
            self.killed_with_its_parent()?;
        }
        if wants("full") {
            self.full()?;
        }
        ensure!(self.names()? == before, "something is left: {:?}", self.names()?);
        println!(
            "\n{} volumes: everything held",
            if self.thin { "thin" } else { "thick" }
        );
        for (what, took) in &self.figures {
            println!("{:>8} ms  {what}", took.as_millis());
        }
        Ok(())
    }

    /// A verb, twice: the second time finds it done. The time is the first one's.
    fn twice<T>(&mut self, what: &str, verb: impl Fn(&LvmDriver) -> DriverResult<T>) -> Result<T> {
        let begun = Instant::now();
        verb(&self.driver).with_context(|| what.to_owned())?;
        self.figures.push((what.to_owned(), begun.elapsed()));
        println!("{what}: {:?}", begun.elapsed());
        verb(&self.driver).with_context(|| format!("{what}, again"))
    }

    fn bare_commands(&mut self) -> Result<()> {
        let group = self.group.clone();
        let path = format!("{group}/bare");
        let pool = format!("{group}/{group}-pool");
        let create: Vec<&str> = if self.thin {
            vec!["lvcreate", "-y", "-T", &pool, "-V", "1g", "-n", "bare"]
        } else {
            vec!["lvcreate", "-y", "-Wy", "-Zy", "-n", "bare", "-L", "1g", &group]
        };
        let (snapshot, snapshot_path) = ("bare-snapshot", format!("{group}/bare-snapshot"));
        let take = if self.thin {
            vec!["lvcreate", "-y", "-s", "-n", snapshot, &path]
        } else {
            vec!["lvcreate", "-y", "-s", "-l", "100%ORIGIN", "-n", snapshot, &path]
        };
        for (what, args) in [
            ("create", create),
            ("snapshot", take),
            ("list", vec!["lvs", &group]),
            ("remove snapshot", vec!["lvremove", "-f", &snapshot_path]),
            ("extend", vec!["lvextend", "-L", "2g", &path]),
            ("remove", vec!["lvremove", "-f", &path]),
        ] {
            let begun = Instant::now();
            Command::new(args[0], "lvm2").args(&args[1..]).run(&work())?;
            self.figures
                .push((format!("bare {what} ({})", args[0]), begun.elapsed()));
        }
        Ok(())
    }

    /// Create, write, snapshot, overwrite, restore, clone, extend, revert, delete.
    fn a_life(&mut self) -> Result<()> {
        let (one, restored, cloned) = (volume(1), volume(1), volume(2));
        let snapshot = SnapshotId::new();
        self.twice("create_volume", |driver| driver.create_volume(&work(), &one))?;
        self.write(&one, 1)?;
        self.twice("create_snapshot", |driver| {
            driver.create_snapshot(&work(), &one, snapshot)
        })?;
        self.write(&one, 2)?;
        self.twice("create_volume_from_snapshot", |driver| {
            driver.create_volume_from_snapshot(&work(), &restored, snapshot)
        })?;
        self.read(&restored, 1)?;
        self.read(&one, 2)?;
        self.write(&restored, 3)?;
        self.twice("delete_volume (restored)", |driver| {
            driver.delete_volume(&work(), &restored)
        })?;
        self.twice("create_cloned_volume, larger", |driver| {
            driver.create_cloned_volume(&work(), &cloned, one.id)
        })?;
        self.read(&cloned, 2)?;
        ensure!(
            self.bytes(&cloned)? == 2 << 30,
            "the clone is as large as it should be"
        );
        self.twice("delete_volume (clone)", |driver| {
            driver.delete_volume(&work(), &cloned)
        })?;
        self.twice("extend_volume with a snapshot", |driver| {
            driver.extend_volume(&work(), &one, 2)
        })?;
        self.read(&one, 2)?;
        ensure!(self.bytes(&one)? == 2 << 30, "the volume has grown");
        let shrunk = self.driver.extend_volume(&work(), &one, 1);
        ensure!(matches!(shrunk, Err(DriverError::Refused { .. })), "{shrunk:?}");
        self.held_open(&one, snapshot)?;
        self.twice("revert_to_snapshot, smaller", |driver| {
            driver.revert_to_snapshot(&work(), &one, snapshot)
        })?;
        self.read(&one, 1)?;
        ensure!(self.bytes(&one)? == 1 << 30, "the volume has the snapshot's size");
        self.write(&one, 4)?;
        self.twice("revert_to_snapshot", |driver| {
            driver.revert_to_snapshot(&work(), &one, snapshot)
        })?;
        self.read(&one, 1)?;
        let image = std::env::temp_dir().join("lvm_verbs.image");
        self.twice("copy_volume_to_file", |driver| {
            driver.copy_volume_to_file(&work(), &one, &image)
        })?;
        self.write(&one, 5)?;
        self.twice("copy_file_to_volume", |driver| {
            driver.copy_file_to_volume(&work(), &image, &one)
        })?;
        self.read(&one, 1)?;
        std::fs::remove_file(&image)?;
        let stats = self.twice("stats", |driver| driver.stats(&work()))?;
        println!("{stats:?}");
        if !self.thin {
            let busy = self.driver.delete_volume(&work(), &one);
            ensure!(matches!(busy, Err(DriverError::Busy { .. })), "{busy:?}");
            self.read(&one, 1)?;
        }
        self.twice("delete_snapshot", |driver| {
            driver.delete_snapshot(&work(), &one, snapshot)
        })?;
        self.twice("extend_volume", |driver| driver.extend_volume(&work(), &one, 2))?;
        self.twice("activate", |driver| driver.activate(&work(), &one))?;
        self.twice("delete_volume", |driver| driver.delete_volume(&work(), &one))?;
        Ok(())
    }

    /// What is open is not touched.
    fn held_open(&self, volume: &VolumeSpec, snapshot: SnapshotId) -> Result<()> {
        let holder = File::open(self.device(&volume.storage_name()))?;
        for (what, result) in [
            ("delete", self.driver.delete_volume(&work(), volume)),
            (
                "revert",
                self.driver.revert_to_snapshot(&work(), volume, snapshot),
            ),
        ] {
            ensure!(
                matches!(result, Err(DriverError::Busy { .. })),
                "{what}: {result:?}"
            );
        }
        let grown = self.driver.extend_volume(&work(), volume, 3);
        if self.thin {
            ensure!(grown.is_ok(), "{grown:?}");
        } else {
            ensure!(matches!(grown, Err(DriverError::Busy { .. })), "{grown:?}");
        }
        drop(holder);
        self.read(volume, 2)
    }

    fn manage(&mut self) -> Result<()> {
        let group = self.group.clone();
        let path = format!("{group}/stranger");
        let pool = format!("{group}/{group}-pool");
        let args: Vec<&str> = if self.thin {
            vec!["-y", "-T", &pool, "-V", "1028m", "-n", "stranger"]
        } else {
            vec!["-y", "-L", "1028m", "-n", "stranger", &group]
        };
        Command::new("lvcreate", "lvm2").args(args).run(&work())?;
        let snap: Vec<&str> = if self.thin {
            vec!["-y", "-s", "-n", "older", &path]
        } else {
            vec!["-y", "-s", "-L", "100m", "-n", "older", &path]
        };
        Command::new("lvcreate", "lvm2").args(snap).run(&work())?;
        let holder = File::open(self.device("stranger"))?;
        let listed = self.driver.list_existing(&work())?;
        let stranger = listed
            .iter()
            .find(|one| one.name == "stranger")
            .context("listed")?;
        ensure!(stranger.in_use && stranger.gib() == 2, "{stranger:?}");
        let older = listed.iter().find(|one| one.name == "older").context("listed")?;
        ensure!(
            !older.in_use && older.gib() == 2 && older.origin.as_deref() == Some("stranger"),
            "{older:?}"
        );
        ensure!(!listed.iter().any(|one| one.name.contains("pool")), "{listed:?}");
        drop(holder);
        let (adopted, snapshot) = (volume(2), SnapshotId::new());
        for bad in ["no-such", "", "a b", &format!("{group}-pool")] {
            let refused = self
                .driver
                .manage_volume(&work(), &adopted, &Reference::named(bad));
            ensure!(
                matches!(refused, Err(DriverError::Refused { .. })),
                "{bad}: {refused:?}"
            );
        }
        let managed = self.twice("manage_volume", |driver| {
            driver.manage_volume(&work(), &adopted, &Reference::named("stranger"))
        })?;
        ensure!(managed.size == 2, "{managed:?}");
        let managed = self.twice("manage_snapshot", |driver| {
            driver.manage_snapshot(&work(), &adopted, snapshot, &Reference::named("older"))
        })?;
        ensure!(managed.size == 2, "{managed:?}");
        self.twice("list_existing", |driver| driver.list_existing(&work()))?;
        self.twice("delete_snapshot (managed)", |driver| {
            driver.delete_snapshot(&work(), &adopted, snapshot)
        })?;
        self.twice("delete_volume (managed)", |driver| {
            driver.delete_volume(&work(), &adopted)
        })?;
        Ok(())
    }

    /// LVM's own command is killed at some instant: the verb, or the verb again, does it all the same, and the volume answers.
    fn killed_commands(&mut self) -> Result<()> {
        let one = volume(1);
        self.driver.create_volume(&work(), &one)?;
        for delay in [0, 30, 80, 150, 300, 600, 1000] {
            self.write(&one, 10)?;
            let snapshot = SnapshotId::new();
            let killed = kill_in_its_middle(("lvcreate", "-s"), delay, || {
                self.driver.create_snapshot(&work(), &one, snapshot)
            })?;
            println!("lvcreate after {delay} ms: {killed}");
            self.driver.create_snapshot(&work(), &one, snapshot)?;
            self.driver.activate(&work(), &one)?;
            self.write(&one, 11)?;
            self.read(&one, 11)?;
            self.driver.revert_to_snapshot(&work(), &one, snapshot)?;
            self.read(&one, 10)?;
            let killed = kill_in_its_middle(("lvremove", "-f"), delay, || {
                self.driver.delete_snapshot(&work(), &one, snapshot)
            })?;
            println!("lvremove after {delay} ms: {killed}");
            self.driver.delete_snapshot(&work(), &one, snapshot)?;
            self.read(&one, 10)?;
        }
        self.driver.delete_volume(&work(), &one)?;
        Ok(())
    }

    /// The copy is killed in its middle: what it left is no volume, and the next attempt makes it whole.
    fn killed_copy(&mut self) -> Result<()> {
        let (source, new) = (volume(1), volume(1));
        self.driver.create_volume(&work(), &source)?;
        self.write(&source, 6)?;
        let work_of_it = work();
        let failed = std::thread::scope(|scope| {
            let copying = scope.spawn(|| self.driver.create_cloned_volume(&work_of_it, &new, source.id));
            until("the copy is under way", || work_of_it.progress().0 > 0)?;
            kill(&copier(&new)?);
            copying.join().map_err(|_| anyhow::anyhow!("it panicked"))
        })
        .and_then(|result| match result {
            Err(error) => Ok(error),
            Ok(_) => bail!("the copy was done before it could be killed"),
        })?;
        println!("killed copy: {failed}");
        self.is_no_volume(&new)?;
        self.write(&source, 7)?;
        self.twice("create_cloned_volume after a kill", |driver| {
            driver.create_cloned_volume(&work(), &new, source.id)
        })?;
        // The point in time is that of the first attempt.
        self.read(&new, 6)?;
        self.driver.delete_volume(&work(), &new)?;
        self.driver.delete_volume(&work(), &source)?;
        Ok(())
    }

    /// The whole process is killed in a copy's middle: its copy ends with it, and the next process begins again.
    fn killed_with_its_parent(&mut self) -> Result<()> {
        let (source, new) = (volume(1), volume(1));
        self.driver.create_volume(&work(), &source)?;
        self.write(&source, 8)?;
        let ourselves = std::env::current_exe()?;
        let command = Command::new(&ourselves, "pumice")
            .args(["clone", &self.group, "thick"])
            .arg(&self.pumice)
            .args([source.id.to_string(), new.id.to_string()]);
        std::thread::scope(|scope| -> Result<()> {
            let child = scope.spawn(|| command.run(&work()));
            until("the copy is under way", || copier(&new).is_ok())?;
            let copier = copier(&new)?;
            let parent = std::fs::read_to_string(format!("/proc/{copier}/stat"))?;
            let parent = parent.split_whitespace().nth(3).context("a parent")?.to_owned();
            kill(&parent);
            until("the copy has ended with its parent", || {
                !Path::new(&format!("/proc/{copier}/mem")).exists()
            })?;
            ensure!(child.join().unwrap().is_err(), "it was killed");
            Ok(())
        })?;
        self.is_no_volume(&new)?;
        self.driver.create_cloned_volume(&work(), &new, source.id)?;
        self.read(&new, 8)?;
        // The other end: what is half-made can be deleted.
        self.driver.delete_volume(&work(), &new)?;
        self.driver.delete_volume(&work(), &source)?;
        Ok(())
    }

    fn is_no_volume(&self, volume: &VolumeSpec) -> Result<()> {
        let name = volume.storage_name();
        ensure!(
            !self
                .driver
                .list_existing(&work())?
                .iter()
                .any(|one| one.name == name),
            "{name} is not whole"
        );
        ensure!(
            self.driver.create_volume(&work(), volume).is_err(),
            "{name} is not whole"
        );
        Ok(())
    }

    /// No room: it is said so, and nothing is left.
    fn full(&mut self) -> Result<()> {
        let one = volume(1);
        self.driver.create_volume(&work(), &one)?;
        if self.thin {
            // Its other users fill the pool; then comes a verb that needs a little more.
            let hog = volume(1);
            self.driver.create_volume(&work(), &hog)?;
            let device = OpenOptions::new()
                .write(true)
                .open(self.device(&hog.storage_name()))?;
            let chunk = vec![9; 1 << 20];
            let filled = (0..1024).try_for_each(|at| device.write_all_at(&chunk, at * MIB));
            let filled = filled.and_then(|()| device.sync_all());
            println!("filling the pool: {filled:?}");
            drop(device);
            let image = std::env::temp_dir().join("lvm_verbs.full");
            std::fs::write(&image, vec![9; 64 << 20])?;
            let full = self.driver.copy_file_to_volume(&work(), &image, &one);
            println!("a copy into a full pool: {full:?}");
            ensure!(matches!(full, Err(DriverError::NoSpace { .. })), "{full:?}");
            std::fs::remove_file(&image)?;
            println!("{:?}", self.driver.stats(&work())?);
            let another = volume(1);
            println!(
                "a volume in a full pool: {:?}",
                self.driver.create_volume(&work(), &another)
            );
            self.driver.delete_volume(&work(), &another)?;
            self.driver.delete_volume(&work(), &hog)?;
        } else {
            let before = self.names()?;
            let large = self.driver.create_volume(&work(), &volume(500));
            ensure!(matches!(large, Err(DriverError::NoSpace { .. })), "{large:?}");
            let large = self.driver.extend_volume(&work(), &one, 500);
            ensure!(matches!(large, Err(DriverError::NoSpace { .. })), "{large:?}");
            // Room for the clone's snapshot, but not for the clone.
            let filler = volume(3);
            self.driver.create_volume(&work(), &filler)?;
            let large = self.driver.create_cloned_volume(&work(), &volume(3), one.id);
            ensure!(matches!(large, Err(DriverError::NoSpace { .. })), "{large:?}");
            self.driver.delete_volume(&work(), &filler)?;
            ensure!(self.names()? == before, "{:?}", self.names()?);
        }
        self.driver.delete_volume(&work(), &one)?;
        Ok(())
    }

    fn device(&self, name: &str) -> PathBuf {
        ["/dev", &self.group, name].iter().collect()
    }

    fn bytes(&self, volume: &VolumeSpec) -> Result<u64> {
        let listed = self.driver.list_existing(&work())?;
        let name = StorageName::Volume(volume.id).to_string();
        Ok(listed
            .iter()
            .find(|one| one.name == name)
            .context("it is there")?
            .bytes)
    }

    fn names(&self) -> Result<Vec<String>> {
        let output = Command::new("lvs", "lvm2")
            .args(["--noheadings", "-a", "-o", "lv_name", &self.group])
            .run(&work())?;
        Ok(output
            .stdout
            .text()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect())
    }

    /// Puts a specimen into the volume, as its user would.
    fn write(&self, volume: &VolumeSpec, specimen: u8) -> Result<()> {
        let device = OpenOptions::new()
            .write(true)
            .open(self.device(&volume.storage_name()))?;
        for place in PLACES {
            device.write_all_at(&vec![specimen; 300_000], place + u64::from(specimen))?;
        }
        Ok(device.sync_all()?)
    }

    /// The specimen is there, and zeros or whatever else are where it was not put.
    fn read(&self, volume: &VolumeSpec, specimen: u8) -> Result<()> {
        std::fs::write("/proc/sys/vm/drop_caches", "3")?;
        let device = File::open(self.device(&volume.storage_name()))?;
        for place in PLACES {
            let mut bytes = vec![0; 300_000];
            device.read_exact_at(&mut bytes, place + u64::from(specimen))?;
            ensure!(
                bytes.iter().all(|byte| *byte == specimen),
                "{} has not specimen {specimen} at {place}, but {}",
                volume.storage_name(),
                bytes.iter().find(|byte| **byte != specimen).unwrap_or(&0)
            );
        }
        Ok(())
    }
}

/// The process that copies into this volume.
fn copier(volume: &VolumeSpec) -> Result<String> {
    let name = volume.storage_name();
    process(" copy ", &name).with_context(|| format!("nobody copies into {name}"))
}

/// A process that has both in its command line.
fn process(one: &str, other: &str) -> Option<String> {
    let ourselves = std::process::id().to_string();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let pid = entry.file_name().to_string_lossy().into_owned();
        (pid != ourselves && words.contains(one) && words.contains(other)).then_some(pid)
    })
}

/// Runs a verb and kills its command so many milliseconds after that began. The verb itself may well succeed.
fn kill_in_its_middle(
    command: (&str, &str),
    delay: u64,
    verb: impl FnOnce() -> DriverResult<()> + Send,
) -> Result<String> {
    std::thread::scope(|scope| {
        let running = scope.spawn(verb);
        until("the command runs", || {
            running.is_finished() || process(command.0, command.1).is_some()
        })?;
        std::thread::sleep(Duration::from_millis(delay));
        let victim = process(command.0, command.1);
        victim.iter().for_each(|pid| kill(pid));
        let ended = running.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
        Ok(format!("killed: {}, the verb: {ended:?}", victim.is_some()))
    })
}

fn kill(pid: &str) {
    if let Some(process) = pid
        .parse()
        .ok()
        .and_then(pumice::drivers::command::daemon::Process::open)
    {
        process.kill();
    }
}

fn until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !done() {
        ensure!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
    Ok(())
}
