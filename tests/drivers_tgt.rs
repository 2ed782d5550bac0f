//! The real tgt, with real initiators (libiscsi, through qemu-io and its own tools). Everything runs as the user that
//! runs the tests, in temporary folders, on free ports of 127.0.0.1, and never touches a tgtd of the system.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's own helper may fail as loudly as the test"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pumice::drivers::command::daemon::{Daemon, Process};
use pumice::drivers::command::{Command, CommandError, Output};
use pumice::drivers::file::{FileDriver, FileOptions};
use pumice::drivers::targets::tgt::{TgtOptions, TgtTarget};
use pumice::drivers::targets::{Export, TargetDriver, retry_across_daemon_restart};
use pumice::drivers::{DriverError, VolumeDriver, Work};
use pumice::model::spec::VolumeSource;
use pumice::model::volume::Secret;
use pumice::model::{AttachMode, BackendName, ConnectionInfo, Connector, ProjectId, VolumeId, VolumeSpec};

#[path = "drivers_tgt/fence.rs"]
mod fence;

const GUEST: &str = "iqn.1993-08.org.debian:01:guest";
const STRANGER: &str = "iqn.1993-08.org.debian:01:stranger";

fn work() -> Work {
    Work::within(Duration::from_secs(60))
}

fn until(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    begun.elapsed()
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn volume(size: u32) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId::new(),
        project_id: ProjectId::from("p"),
        size,
        pool: BackendName::new("h", "file").pool("file"),
        multiattach: false,
        readonly: false,
        encrypted: false,
        extra_specs: BTreeMap::new(),
        source: VolumeSource::Raw,
        provider_location: None,
        provider_auth: None,
    }
}

fn connector(initiator: &str) -> Connector {
    let mut object = serde_json::Map::new();
    object.insert("initiator".to_owned(), initiator.into());
    Connector::from_json(&object)
}

/// A backend of files and its target.
struct Rig {
    home: tempfile::TempDir,
    files: FileDriver,
    target: TgtTarget,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_, _| {})
    }

    fn with(change: impl FnOnce(&Path, &mut TgtOptions)) -> Self {
        for (program, package) in [
            ("tgtd", "tgt"),
            ("tgtadm", "tgt"),
            ("qemu-io", "qemu-utils"),
            ("iscsi-inq", "libiscsi-bin"),
        ] {
            if let Err(error) = Command::new(program, package).find() {
                panic!(
                    "these tests need a real target and real initiators: {error} (`make test` installs it)"
                );
            }
        }
        let home = tempfile::tempdir().unwrap();
        let files = FileDriver::new(FileOptions::new(home.path().join("volumes"), "file"));
        files.setup(&work()).unwrap();
        let mut options = TgtOptions::new(home.path().join("tgt"), free_port());
        change(home.path(), &mut options);
        Self {
            target: TgtTarget::new(options),
            home,
            files,
        }
    }

    fn up(self) -> Self {
        self.target.setup(&work()).unwrap();
        self
    }

    fn create(&self, size: u32) -> VolumeSpec {
        let volume = volume(size);
        self.files.create_volume(&work(), &volume).unwrap();
        volume
    }

    fn path(&self, volume: &VolumeSpec) -> PathBuf {
        self.files.backing_store(volume).unwrap()
    }

    fn export(&self, volume: &VolumeSpec) -> Export {
        self.target
            .ensure_export(&work(), volume, &self.path(volume))
            .unwrap()
    }

    fn attach(&self, volume: &VolumeSpec, initiator: &str) -> ConnectionInfo {
        let export = self.export(volume);
        self.target
            .grant_access(&work(), volume, &export, &connector(initiator), AttachMode::Rw)
            .unwrap()
    }

    /// tgtadm as an operator would use it.
    fn tgtadm(&self, args: &[&str]) -> Result<Output, CommandError> {
        Command::new("tgtadm", "tgt")
            .env("TGT_IPC_SOCKET", self.home.path().join("tgt/socket"))
            .args(["-C", "1", "--lld", "iscsi"])
            .args(args.iter().copied())
            .run(&work())
    }

    fn shown(&self) -> String {
        self.tgtadm(&["--mode", "target", "--op", "show"])
            .unwrap()
            .stdout
            .text()
    }

    fn accounts(&self) -> String {
        self.tgtadm(&["--mode", "account", "--op", "show"])
            .unwrap()
            .stdout
            .text()
    }

    fn daemons(&self) -> Vec<u32> {
        daemons_of(&self.home.path().join("tgt"))
    }
}

/// Every tgtd that was started for this folder.
fn daemons_of(folder: &Path) -> Vec<u32> {
    let mark = folder.join("tgtd.pid").into_os_string().into_string().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line
            .split('\0')
            .next()
            .is_some_and(|program| program.ends_with("tgtd"))
            && line.split('\0').any(|word| word == mark)
        {
            found.push(entry.file_name().to_str().unwrap().parse().unwrap());
        }
    }
    found
}

/// What libiscsi needs to log in.
fn image(info: &ConnectionInfo, initiator: &str) -> String {
    let data = info.data();
    let text = |key: &str| data[key].as_str().unwrap().to_owned();
    format!(
        "driver=iscsi,transport=tcp,portal={},target={},lun={},user={},password-secret=sec,initiator-name={initiator}",
        text("target_portal"),
        text("target_iqn"),
        data["target_lun"],
        text("auth_username"),
    )
}

fn qemu_io(image: &str, password: &str, flags: &[&str], commands: &[&str]) -> Result<Output, CommandError> {
    let mut command = Command::new("qemu-io", "qemu-utils")
        .args(["--object", &format!("secret,id=sec,data={password}")])
        .args(flags.iter().copied())
        .arg("--image-opts");
    for each in commands {
        command = command.args(["-c", each]);
    }
    let output = command.arg(image).run(&work())?;
    // qemu-io ends well even when a pattern is not what it should be.
    assert!(
        !output.stdout.text().contains("Pattern verification failed"),
        "{}",
        output.stdout.text()
    );
    Ok(output)
}

fn io(info: &ConnectionInfo, commands: &[&str]) -> Result<Output, CommandError> {
    qemu_io(
        &image(info, GUEST),
        info.data()["auth_password"].as_str().unwrap(),
        &[],
        commands,
    )
}

#[test]
fn an_exported_volume_is_written_and_read_by_a_real_initiator() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let begun = Instant::now();
    let export = rig.export(&volume);
    let exported = begun.elapsed();
    let info = rig.attach(&volume, GUEST);
    let attached = begun.elapsed() - exported;
    println!(
        "export took {exported:?}, attach (a second ensure_export, and the initiator let in) {attached:?}"
    );
    assert_eq!(info.driver_volume_type, "iscsi");
    assert_eq!(info.data()["target_lun"], 1);
    io(&info, &["write -P 0xa5 0 1M", "write -P 0x5a 1023M 1M", "flush"]).unwrap();
    io(
        &info,
        &["read -P 0xa5 0 1M", "read -P 0 1M 1M", "read -P 0x5a 1023M 1M"],
    )
    .unwrap();
    let held = std::fs::File::open(rig.path(&volume)).unwrap();
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(&held, &mut byte, (1 << 30) - 1).unwrap();
    assert_eq!(byte, [0x5a]);
    assert_eq!(rig.export(&volume), export, "it is kept as it is");
    assert_eq!(rig.target.list_exports(&work()).unwrap(), [volume.storage_name()]);
    for _ in 0..2 {
        rig.target.remove_export(&work(), &volume).unwrap();
    }
    io(&info, &["read 0 1M"]).unwrap_err();
    assert_eq!(rig.shown(), "");
    assert_eq!(rig.accounts(), "");
}

#[test]
fn each_volume_has_an_identity_of_its_own() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    let data = info.data();
    let url = format!(
        "iscsi://{}%{}@{}/{}/1",
        data["auth_username"].as_str().unwrap(),
        data["auth_password"].as_str().unwrap(),
        data["target_portal"].as_str().unwrap(),
        data["target_iqn"].as_str().unwrap()
    );
    let inquiry = |page: &str| {
        let command =
            Command::new("iscsi-inq", "libiscsi-bin").args(["-i", GUEST, "-e", "1", "-c", page, &url]);
        command.run(&work()).unwrap().stdout.text()
    };
    let id = volume.id.0.simple().to_string();
    assert!(
        inquiry("128").contains(&id),
        "unit serial number: {}",
        inquiry("128")
    );
    assert!(
        inquiry("131").contains(&id),
        "device identification: {}",
        inquiry("131")
    );
}

#[test]
fn only_the_right_initiator_with_the_right_password_gets_in() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let export = rig.export(&volume);
    let early = rig.target.grant_access(
        &work(),
        &volume,
        &export,
        &Connector::from_json(&serde_json::Map::new()),
        AttachMode::Rw,
    );
    assert!(matches!(early, Err(DriverError::Refused { .. })));
    let info = rig.attach(&volume, GUEST);
    let password = info.data()["auth_password"].as_str().unwrap().to_owned();
    let (mine, theirs) = (image(&info, GUEST), image(&info, STRANGER));
    let read = ["read 0 4k"];
    qemu_io(&mine, &password, &[], &read).unwrap();
    qemu_io(&mine, "wrongwrongwrong1", &[], &read).unwrap_err();
    qemu_io(&theirs, &password, &[], &read).unwrap_err();
    let without = mine
        .replace("user=", "initiator-alias=")
        .replace(",password-secret=sec", "");
    qemu_io(&without, &password, &[], &read).unwrap_err();
    // A second one may come in, and leave, without the first noticing.
    rig.attach(&volume, STRANGER);
    qemu_io(&theirs, &password, &[], &read).unwrap();
    for _ in 0..2 {
        rig.target
            .revoke_access(&work(), &volume, Some(&connector(STRANGER)))
            .unwrap();
    }
    qemu_io(&theirs, &password, &[], &read).unwrap_err();
    qemu_io(&mine, &password, &[], &read).unwrap();
    rig.target.revoke_access(&work(), &volume, None).unwrap();
    qemu_io(&mine, &password, &[], &read).unwrap_err();
}

/// A guest that stays logged in, and reads when requested to.
struct Guest {
    _keeper: Daemon,
    process: Process,
}

impl Guest {
    fn login(rig: &Rig, info: &ConnectionInfo) -> Self {
        let script = format!(
            "sleep 100 | qemu-io --object secret,id=sec,data={} --image-opts {}",
            info.data()["auth_password"].as_str().unwrap(),
            image(info, GUEST)
        );
        let keeper =
            Daemon::start(&Command::new("sh", "dash").args(["-c", &script]), &work(), |_| {}).unwrap();
        until("the guest logs in", || rig.shown().contains("I_T nexus: "));
        Self {
            process: keeper.process(),
            _keeper: keeper,
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_raw(i32::try_from(self.process.pid()).unwrap()).unwrap();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[test]
fn who_is_shut_out_loses_its_session() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    let _guest = Guest::login(&rig, &info);
    rig.target
        .revoke_access(&work(), &volume, Some(&connector(GUEST)))
        .unwrap();
    let connections = rig
        .tgtadm(&["--mode", "conn", "--op", "show", "--tid", "1"])
        .unwrap();
    assert_eq!(connections.stdout.text(), "");
}

#[test]
fn an_export_with_a_guest_on_it_can_be_removed() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    let _guest = Guest::login(&rig, &info);
    rig.target.remove_export(&work(), &volume).unwrap();
    assert_eq!(rig.shown(), "");
    assert!(rig.target.generation() == Some(1), "the daemon lived through it");
}

#[test]
fn a_killed_daemon_is_noticed_restarted_and_its_exports_keep_their_secret() {
    let rig = Rig::new().up();
    let mut volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    io(&info, &["write -P 7 0 64k", "flush"]).unwrap();
    let export = rig.export(&volume);
    let before = rig.target.generation().unwrap();
    let daemon = Process::open(rig.daemons()[0]).unwrap();
    daemon.kill();
    let noticed = until("the death is noticed", || rig.target.generation() != Some(before));
    let restarted = until("it is restarted", || rig.target.generation().is_some());
    println!("noticed after {noticed:?}, up again after another {restarted:?}");
    assert!(noticed < Duration::from_secs(2));
    assert_ne!(rig.target.generation(), Some(before));
    assert!(rig.target.list_exports(&work()).unwrap().is_empty());
    // Once as a manager does it that knows the record, once as one that lost the answer.
    volume.provider_auth = export.provider_auth.clone();
    volume.provider_location = Some(export.provider_location.clone());
    assert_eq!(rig.export(&volume), export);
    volume.provider_auth = None;
    assert_eq!(rig.export(&volume), export);
    assert_eq!(rig.attach(&volume, GUEST), info);
    io(&info, &["read -P 7 0 64k"]).unwrap();
    assert_eq!(rig.daemons().len(), 1);
}

#[test]
fn what_a_daemon_that_dies_breaks_is_done_by_the_next() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let daemon = Process::open(rig.daemons()[0]).unwrap();
    let exported = retry_across_daemon_restart(&rig.target, &work(), || {
        daemon.kill();
        rig.target.ensure_export(&work(), &volume, &rig.path(&volume))
    });
    exported.unwrap();
    assert_eq!(rig.target.generation(), Some(2));
    assert_eq!(rig.target.list_exports(&work()).unwrap().len(), 1);
}

#[test]
fn a_daemon_that_dies_again_and_again_is_there_in_time_for_who_waits() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    // The pauses of one without a waiting caller would be longer than a verb's patience by then.
    for _ in 0..7 {
        let daemon = Process::open(rig.daemons()[0]).unwrap();
        daemon.kill();
        let exported = retry_across_daemon_restart(&rig.target, &work(), || {
            rig.target.ensure_export(&work(), &volume, &rig.path(&volume))
        });
        exported.unwrap();
    }
}

#[test]
fn shutdown_leaves_no_process_even_with_a_guest_logged_in() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    let _guest = Guest::login(&rig, &info);
    assert_eq!(rig.daemons().len(), 1);
    let begun = Instant::now();
    rig.target.shutdown();
    println!("shutdown with a session took {:?}", begun.elapsed());
    assert!(rig.daemons().is_empty());
    assert_eq!(rig.target.generation(), None);
    rig.target.shutdown();
    assert!(rig.target.setup(&work()).is_err(), "what was shut down stays so");
}

#[test]
fn two_daemons_live_side_by_side() {
    let (first, second) = (Rig::new().up(), Rig::new().up());
    let (one, two) = (first.create(1), second.create(1));
    let (here, there) = (first.attach(&one, GUEST), second.attach(&two, GUEST));
    io(&here, &["write -P 1 0 4k"]).unwrap();
    io(&there, &["write -P 2 0 4k"]).unwrap();
    first.target.shutdown();
    io(&here, &["read 0 4k"]).unwrap_err();
    io(&there, &["read -P 2 0 4k"]).unwrap();
}

#[test]
fn a_portal_in_use_is_told_and_taken_once_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = taken.local_addr().unwrap();
    let rig = Rig::with(|_, options| options.portals = vec![portal]);
    let Err(DriverError::Failed { operator, .. }) = rig.target.setup(&work()) else {
        panic!("two cannot listen on one port");
    };
    assert!(
        operator.contains(&portal.to_string()) && operator.contains("Address already in use"),
        "{operator}"
    );
    drop(taken);
    rig.target.setup(&work()).unwrap();
}

#[test]
fn several_portals_and_ipv6_work() {
    let other = TcpListener::bind("[::1]:0").map(|listener| listener.local_addr().unwrap());
    let Ok(other) = other else {
        println!("this machine has no IPv6");
        return;
    };
    let rig = Rig::with(|_, options| options.portals.push(other)).up();
    let volume = rig.create(1);
    let mut info = rig.attach(&volume, GUEST);
    let mut data = info.data();
    assert_eq!(data["target_portals"][1], other.to_string());
    data.insert("target_portal".to_owned(), data["target_portals"][1].clone());
    info = ConnectionInfo::new("iscsi", data);
    io(&info, &["read 0 4k"]).unwrap();
}

#[test]
fn a_readonly_volume_cannot_be_written() {
    let rig = Rig::new().up();
    let mut volume = rig.create(1);
    volume.readonly = true;
    let info = rig.attach(&volume, GUEST);
    assert_eq!(info.data()["access_mode"], "ro");
    let password = info.data()["auth_password"].as_str().unwrap().to_owned();
    qemu_io(&image(&info, GUEST), &password, &["-r"], &["read 0 4k"]).unwrap();
    io(&info, &["write 0 4k"]).unwrap_err();
    volume.readonly = false;
    rig.export(&volume);
    io(&info, &["write 0 4k"]).unwrap();
}

#[test]
fn a_grown_volume_is_grown_for_initiators_too() {
    let rig = Rig::new().up();
    let mut volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    let length = || io(&info, &["length"]).unwrap().stdout.text().trim().to_owned();
    assert_eq!(length(), "1 GiB");
    rig.files.extend_volume(&work(), &volume, 2).unwrap();
    volume.size = 2;
    for _ in 0..2 {
        rig.target.resized(&work(), &volume).unwrap();
    }
    assert_eq!(length(), "2 GiB");
    {
        let _guest = Guest::login(&rig, &info);
        rig.files.extend_volume(&work(), &volume, 3).unwrap();
        volume.size = 3;
        rig.target.resized(&work(), &volume).unwrap();
        rig.export(&volume);
        assert_eq!(length(), "2 GiB", "not under the feet of a guest");
    }
    until("the guest is gone", || !rig.shown().contains("I_T nexus: "));
    rig.export(&volume);
    assert_eq!(length(), "3 GiB");
}

#[test]
fn what_an_operator_took_away_is_made_again() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    rig.tgtadm(&[
        "--mode",
        "target",
        "--op",
        "bind",
        "--tid",
        "1",
        "--initiator-address",
        "ALL",
    ])
    .unwrap();
    rig.export(&volume);
    assert!(
        !rig.shown().contains("ALL"),
        "no other target grants access to all"
    );
    rig.tgtadm(&["--mode", "target", "--op", "delete", "--force", "--tid", "1"])
        .unwrap();
    assert!(rig.target.list_exports(&work()).unwrap().is_empty());
    assert_eq!(rig.attach(&volume, GUEST), info);
    io(&info, &["read 0 4k"]).unwrap();
}

#[test]
fn a_thin_volume_gives_back_what_is_discarded() {
    use std::os::unix::fs::MetadataExt;
    let rig = Rig::with(|_, options| options.discard = true).up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    assert_eq!(info.data()["discard"], true);
    let blocks = || std::fs::metadata(rig.path(&volume)).unwrap().blocks();
    io(&info, &["write -P 1 0 8M", "flush"]).unwrap();
    let full = blocks();
    let password = info.data()["auth_password"].as_str().unwrap().to_owned();
    qemu_io(
        &image(&info, GUEST),
        &password,
        &["-d", "unmap"],
        &["discard 0 8M"],
    )
    .unwrap();
    assert!(blocks() < full, "{} of {full} blocks", blocks());
    io(&info, &["read -P 0 0 8M"]).unwrap();
}

#[test]
fn a_volume_may_change_its_secret_while_a_guest_is_on_it() {
    let rig = Rig::new().up();
    let mut volume = rig.create(1);
    let before = rig.attach(&volume, GUEST);
    let _guest = Guest::login(&rig, &before);
    volume.provider_auth = Some(Secret::new("CHAP somebody else5678901234"));
    let after = rig.attach(&volume, GUEST);
    assert_eq!(after.data()["auth_username"], "somebody");
    assert!(rig.shown().contains("I_T nexus: "), "the guest stays");
    io(&after, &["read 0 4k"]).unwrap();
    io(&before, &["read 0 4k"]).unwrap_err();
    assert_eq!(rig.accounts(), "Account list:\n    somebody\n");
}

#[test]
fn a_missing_volume_is_told() {
    let rig = Rig::new().up();
    let missing = volume(1);
    let answer = rig.target.ensure_export(&work(), &missing, &rig.path(&missing));
    assert!(matches!(answer, Err(DriverError::NotFound { .. })));
}

/// A tgtadm that writes down how it was called, and fails or hangs where `fault` says.
fn spying_tgtadm(home: &Path, options: &mut TgtOptions) {
    let script = home.join("tgtadm");
    let text = format!(
        "#!/bin/sh\necho \"$*\" >> {0}/calls\nread -r word how < {0}/fault 2>/dev/null\n\
         case \"$*\" in *\"--mode \"${{word:-none}}*) rm {0}/fault; [ $how = hang ] && exec sleep 1000; exit 22;; esac\n\
         exec /usr/sbin/tgtadm \"$@\"\n",
        home.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    options.tgtadm = script.into();
}

#[test]
fn an_export_that_fails_at_any_step_leaves_nothing_and_works_the_next_time() {
    let rig = Rig::with(spying_tgtadm).up();
    let volume = rig.create(1);
    let steps = [
        "target --op show",
        "target --op new",
        "logicalunit --op new",
        "logicalunit --op update",
        "account --op bind",
    ];
    for (step, how) in steps.iter().flat_map(|step| [(step, "fail"), (step, "hang")]) {
        let fault = rig.home.path().join("fault");
        std::fs::write(&fault, format!("{} {how}\n", step.replace(' ', "@"))).unwrap();
        // The word must be one word for `read`; the script matches it with a question mark for each blank.
        let text = std::fs::read_to_string(&fault).unwrap().replace('@', "?");
        std::fs::write(&fault, text).unwrap();
        let short = Work::within(Duration::from_millis(if how == "hang" { 300 } else { 10_000 }));
        let answer = rig.target.ensure_export(&short, &volume, &rig.path(&volume));
        assert!(answer.is_err(), "{step} {how}");
        assert!(!fault.exists(), "{step} was not called");
        assert_eq!(rig.shown(), "", "{step} {how}");
        assert_eq!(rig.accounts(), "");
        let info = rig.attach(&volume, GUEST);
        io(&info, &["read 0 4k"]).unwrap();
        rig.target.remove_export(&work(), &volume).unwrap();
    }
}

#[test]
fn a_password_is_on_no_command_line() {
    let rig = Rig::with(spying_tgtadm).up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    io(&info, &["read 0 4k"]).unwrap();
    let calls = std::fs::read_to_string(rig.home.path().join("calls")).unwrap();
    let data = info.data();
    assert!(calls.contains(data["auth_username"].as_str().unwrap()));
    assert!(
        !calls.contains(data["auth_password"].as_str().unwrap()),
        "{calls}"
    );
}

#[test]
fn the_daemon_of_a_killed_process_dies_with_it_and_a_leftover_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("tgt");
    let portal = free_port();
    let exe = std::env::current_exe().unwrap();
    let note = home.path().join("ready");
    let helper = Command::new(exe, "pumice")
        .args(["--exact", "helper_that_is_killed", "--nocapture"])
        .env("PUMICE_TEST_FOLDER", &folder)
        .env("PUMICE_TEST_PORTAL", portal.to_string())
        .env("PUMICE_TEST_NOTE", &note);
    let keeper = Daemon::start(&helper, &work(), |_| {}).unwrap();
    until("the helper has its tgtd", || note.exists());
    let tgtd = Process::open(daemons_of(&folder)[0]).unwrap();
    keeper.process().kill();
    assert!(
        tgtd.wait_end(Duration::from_secs(10)),
        "a killed process leaves no tgtd"
    );
    // One that was left all the same, by a machine with less luck.
    let left = Command::new("tgtd", "tgt")
        .env("TGT_IPC_SOCKET", folder.join("socket"))
        .args(["-f", "-C", "1", "-p"])
        .arg(folder.join("tgtd.pid"))
        .args(["--iscsi", &format!("portal={portal}")]);
    let leftover = Daemon::start(&left, &work(), |_| {}).unwrap();
    until("the leftover listens", || {
        std::net::TcpStream::connect(portal).is_ok()
    });
    let target = TgtTarget::new(TgtOptions::new(&folder, portal));
    target.setup(&work()).unwrap();
    assert!(
        leftover.process().wait_end(Duration::ZERO),
        "the leftover was ended"
    );
    assert_eq!(daemons_of(&folder).len(), 1);
}

/// What the test above runs as a process of its own; does nothing without the path.
#[test]
fn helper_that_is_killed() {
    if std::env::var_os("PUMICE_TEST_FOLDER").is_none() {
        return;
    }
    let variable = |name: &str| std::env::var(name).unwrap();
    let portal = variable("PUMICE_TEST_PORTAL").parse().unwrap();
    let target = TgtTarget::new(TgtOptions::new(variable("PUMICE_TEST_FOLDER"), portal));
    target.setup(&work()).unwrap();
    std::fs::write(variable("PUMICE_TEST_NOTE"), "").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn many_exports_at_once_all_stand() {
    let rig = Rig::new().up();
    let volumes: Vec<VolumeSpec> = (0..40).map(|_| rig.create(1)).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for part in volumes.chunks(10) {
            let rig = &rig;
            scope.spawn(move || part.iter().for_each(|volume| drop(rig.attach(volume, GUEST))));
        }
    });
    println!("40 attaches by 4 threads took {:?}", begun.elapsed());
    assert_eq!(rig.target.list_exports(&work()).unwrap().len(), 40);
    let info = rig.attach(&volumes[39], GUEST);
    io(&info, &["read 0 4k"]).unwrap();
    let begun = Instant::now();
    for volume in &volumes {
        rig.target.remove_export(&work(), volume).unwrap();
    }
    println!("40 removals took {:?}", begun.elapsed());
    assert_eq!(rig.shown(), "");
}

#[test]
fn libiscsis_own_conformance_tests_pass() {
    let rig = Rig::new().up();
    let volume = rig.create(1);
    let info = rig.attach(&volume, GUEST);
    let data = info.data();
    let url = format!(
        "iscsi://{}%{}@{}/{}/1",
        data["auth_username"].as_str().unwrap(),
        data["auth_password"].as_str().unwrap(),
        data["target_portal"].as_str().unwrap(),
        data["target_iqn"].as_str().unwrap()
    );
    for suite in [
        "Read10",
        "Read16",
        "Write10",
        "Write16",
        "WriteSame10",
        "CompareAndWrite",
        "Verify10",
        "ReadCapacity16",
        "Inquiry",
    ] {
        let run = Command::new("iscsi-test-cu", "libiscsi-bin")
            .args(["-i", GUEST, "-d", "-n", "-t", &format!("ALL.{suite}")])
            .secret_arg(&url)
            .output(&work())
            .unwrap();
        let text = run.stdout.text();
        // Total, ran, passed, failed.
        let counts: Vec<u32> = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix("tests "))
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|count| count.parse().ok())
            .collect();
        assert!(
            matches!(counts[..], [total, _, passed, 0, ..] if total > 0 && passed == total),
            "{suite}: {text}"
        );
    }
    assert_eq!(
        std::fs::metadata(rig.path(&volume)).unwrap().len(),
        1 << 30,
        "nothing was written past the end"
    );
    assert_eq!(rig.target.generation(), Some(1), "the daemon lived through it");
}
