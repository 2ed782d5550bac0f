//! Points at which tests can kill the process. Every step of a flow, every commit of the catalog and every external command
//! has such points, before and after, automatically.
//!
//! With `PUMICE_FAILPOINTS=<file>` the names of the reached points are appended to that file, one per line; with
//! `PUMICE_FAILPOINT=<name>` the process kills itself when it first reaches that point. Debug builds only: a release has no
//! points.

/// Marks a point with this name.
pub fn point(name: impl FnOnce() -> String) {
    #[cfg(debug_assertions)]
    armed::reach(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::LazyLock;

    use parking_lot::Mutex;

    struct Setting {
        file: Option<OsString>,
        deadly: Option<OsString>,
        reached: Mutex<BTreeSet<String>>,
    }

    static SETTING: LazyLock<Setting> = LazyLock::new(|| Setting {
        file: std::env::var_os("PUMICE_FAILPOINTS"),
        deadly: std::env::var_os("PUMICE_FAILPOINT"),
        reached: Mutex::default(),
    });

    pub(super) fn reach(name: impl FnOnce() -> String) {
        let setting = &*SETTING;
        if setting.file.is_none() && setting.deadly.is_none() {
            return;
        }
        let name = name();
        if setting.deadly.as_ref().is_some_and(|deadly| *deadly == *name) {
            die();
        }
        if let Some(file) = &setting.file {
            let mut reached = setting.reached.lock();
            if reached.insert(name.clone()) {
                let file = OpenOptions::new().append(true).create(true).open(file);
                if let Err(error) = file.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes())) {
                    tracing::error!(%error, "a fail point could not be recorded");
                }
            }
        }
    }

    fn die() -> ! {
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
