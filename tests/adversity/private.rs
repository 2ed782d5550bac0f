//! What the program keeps is its owner's alone, whatever the data folder's mode and the umask that it is started with, and
//! whatever was there before.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use pumice::private_files::open_to_others;

use crate::client::Client;
use crate::load;
use crate::process::{Place, Pumice};

#[test]
fn others_can_read_nothing_of_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut place = Place::plain(folder.path());
    let under = |shell: &str| {
        let script = format!("umask 000; {shell} exec \"$@\"");
        ["sh", "-c", &script, "sh"].map(Into::into).to_vec()
    };
    // As an init system makes it.
    std::fs::create_dir(&place.data)?;
    std::fs::set_permissions(&place.data, Permissions::from_mode(0o755))?;
    let private = |when: &str| {
        let open = open_to_others(&place.data)?;
        ensure!(open.is_empty(), "{when}: {open:?}");
        Ok(())
    };

    place.enter = under("");
    let pumice = Pumice::start(&place)?;
    let made = Client::connect(pumice.address)?.create("a")?;
    ensure!(made.status == 202, "{}", made.text());
    load::wait_for_rest(&pumice)?;
    private("while it runs")?;
    pumice.stop()?;
    private("after it stopped")?;

    // As an older version left it; and the first user's password is written.
    let loosened = std::process::Command::new("chmod")
        .args(["-R", "go+rwX"])
        .arg(&place.data)
        .status()?;
    ensure!(loosened.success() && private("loosened").is_err());
    let printed = place.run(&["doctor"])?;
    let printed = String::from_utf8(printed.stdout)?;
    ensure!(printed.contains("others may read"), "{printed}");
    place.enter = under("export PUMICE_AUTH__STRATEGY=embedded;");
    let pumice = Pumice::start(&place)?;
    ensure!(place.data.join("clouds.yaml").exists());
    ensure!(
        place
            .log()?
            .contains("others could read files of the data directory")
    );
    let open = open_to_others(&place.data)?;
    ensure!(open.is_empty(), "{open:?}");
    pumice.stop()?;

    // Restored.
    let store = place.data.join("store");
    std::fs::remove_dir_all(&store)?;
    place.succeeds(&["store", "restore"])?;
    let open = open_to_others(&place.data)?;
    ensure!(open.is_empty() && store.join("db").exists(), "{open:?}");
    Ok(())
}
