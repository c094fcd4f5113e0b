//! The `.deb` on a booted Debian: installed, upgraded under load, removed, installed again and purged.

use std::path::Path;

use barepod_tests::guest::Installed;
use barepod_tests::vm::{Outcome, Recipe, Vm};
use barepod_tests::{Scratch, Tier, packages, tier};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const EXAMPLE: &str = include_str!("../../examples/postgresql/pod.yaml");
const LATER: &str = "99.0.0-1";
/// What the administrator has written into a configuration file.
const WORD: &str = "# The administrator was here.";

/// pgbench, until it is told that this is enough. It ends with an error at its first failed transaction; its accounts and its
/// history agree if none was lost or done twice.
const LOAD: &str = "cat >/usr/local/bin/load <<'END'
#!/bin/sh
export PGPASSWORD=change-me PGHOST=127.0.0.1 PGUSER=postgres PATH=/usr/lib/postgresql/VERSION/bin:$PATH
cd /run
pgbench --initialize --quiet 2>&1 || exit 1
until test -e /run/enough; do pgbench --no-vacuum --client=4 --time=5 || exit 1; done
psql -XAtqc 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)'
END
chmod +x /usr/local/bin/load
systemd-run --quiet --unit=load --remain-after-exit --property=StandardOutput=file:/run/load.out /usr/local/bin/load";

const ACCOUNTS: &str =
    "PGPASSWORD=change-me psql -h 127.0.0.1 -U postgres -XAtc 'select count(*) from pgbench_accounts'";

/// Writes numbers, so that a lost line would be seen.
const WRITER: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  containers:
  - name: main
    image: host
    command: [sh, -c, 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done']
"#;

#[test]
fn a_package_is_installed_upgraded_under_load_removed_installed_again_and_purged() -> Result {
    its_whole_life(&Recipe::debian_12(), "15")?;
    match tier() {
        Tier::Everyday => Ok(()),
        // The release has another PostgreSQL.
        Tier::All => its_whole_life(&Recipe::debian_13(), "17"),
    }
}

fn its_whole_life(release: &Recipe, postgresql: &str) -> Result {
    let scratch = Scratch::new()?;
    let guest = Installed::into(Vm::boot(release)?)?;
    it_runs_and_is_enabled_as_soon_as_it_is_installed(&guest)?;
    assert_eq!(
        guest.apply(&EXAMPLE.replace("postgres:15", &format!("postgres:{postgresql}")))?,
        "pod/postgresql created"
    );
    guest.ready("postgresql")?;

    nothing_under_load_is_touched_by_an_upgrade_and_back_nor_by_what_becomes_of_the_daemon(
        &guest,
        scratch.path(),
        postgresql,
    )?;
    a_removed_package_leaves_services_running_and_takes_them_back(&guest)?;
    if tier() == Tier::All {
        an_upgrade_of_the_service_s_own_package_is_told_and_taken_at_the_next_start(&guest, postgresql)?;
    }
    a_purge_takes_configuration_and_logs_and_no_data(&guest)?;
    Ok(guest.destroy()?)
}

fn it_runs_and_is_enabled_as_soon_as_it_is_installed(guest: &Installed) -> Result {
    assert_eq!(guest.property("ActiveState")?, "active");
    let enabled = guest.shell("systemctl is-enabled barepod barepod-shutdown barepod-bridge || :")?;
    assert_eq!(enabled.split_whitespace().collect::<Vec<_>>(), ["enabled", "enabled", "disabled"]);
    assert_eq!(guest.shell("systemctl is-active barepod-shutdown")?, "active");
    assert_eq!(guest.barepod(&["version"])?.lines().last(), Some("daemon: 0.1.0 (cgroup unified)"));
    let modes = guest.shell("stat --format '%U:%G %a %n' /etc/barepod/manifests /run/barepod/barepod.sock")?;
    assert_eq!(modes, "root:root 700 /etc/barepod/manifests\nroot:barepod 660 /run/barepod/barepod.sock");
    // In tenths. What is left of it, and of the daemon's, is explained in the units.
    guest.shell("systemd-analyze security --no-pager --threshold=20 barepod-bridge.service >/dev/null")?;
    // The bridge's user may speak with the daemon, and sees nothing that the policy does not show it.
    let pods = guest.vm().run([
        "setpriv",
        "--reuid=barepod",
        "--regid=barepod",
        "--clear-groups",
        "barepod",
        "get",
        "pods",
    ])?;
    assert_eq!(pods.outcome, Outcome::Code(0), "{}", String::from_utf8_lossy(&pods.stderr));
    Ok(())
}

fn nothing_under_load_is_touched_by_an_upgrade_and_back_nor_by_what_becomes_of_the_daemon(
    guest: &Installed,
    scratch: &Path,
    postgresql: &str,
) -> Result {
    guest.apply(WRITER)?;
    guest.ready("writer")?;
    let processes = [guest.pid("postgresql").ok_or("no pid")?, guest.pid("writer").ok_or("no pid")?];
    guest.shell(&LOAD.replace("VERSION", postgresql))?;
    let rounds = || -> Result<usize> { Ok(guest.shell("grep -c '^tps' /run/load.out || :")?.parse()?) };
    let goes_on = |what: &str| -> Result {
        let before = rounds()?;
        Ok(guest.until(format!("pgbench to go on after {what}"), |_| (rounds().ok()? > before).then_some(()))?)
    };
    let loaded = |what: &str| -> Result {
        goes_on(what)?;
        for (pod, pid) in ["postgresql", "writer"].into_iter().zip(processes) {
            let shown = guest.ready(pod)?;
            assert_eq!(shown["status"]["containerStatuses"][0]["restartCount"], 0, "{pod} after {what}");
            assert_eq!(guest.pid(pod), Some(pid), "the same process of {pod} after {what}");
        }
        Ok(())
    };
    loaded("its begin")?;

    an_upgrade_and_back_replaces_the_daemon_and_no_word_of_the_administrator(guest, scratch, &loaded)?;
    for verb in ["restart", "stop", "start"] {
        guest.vm().check(["systemctl", verb, "barepod"])?;
        if verb == "stop" { goes_on(verb)? } else { loaded(verb)? }
    }
    let daemon = guest.property("MainPID")?;
    guest.shell(&format!("kill -9 {daemon}"))?;
    guest.until("systemd to start another daemon", |guest| {
        let pid = guest.property("MainPID").ok()?;
        (pid != daemon && pid != "0").then_some(())
    })?;
    loaded("kill -9")?;

    guest.shell("touch /run/enough")?;
    let said = guest.until("the client to end", |guest| {
        let state = guest.shell("systemctl show --property SubState --value load").ok()?;
        (state != "running").then(|| guest.shell("cat /run/load.out")).transpose().ok()?
    })?;
    let journal = guest.shell("journalctl --unit=load --no-pager")?;
    assert_eq!(said.lines().last(), Some("t"), "accounts and history agree: {said}\n{journal}");
    let failed = said.lines().filter(|line| line.starts_with("number of failed transactions:"));
    assert!(failed.clone().count() > 0 && failed.clone().all(|line| line.contains(": 0 (")), "{said}");
    let log = guest.barepod(&["logs", "postgresql"])?;
    assert!(!log.contains("FATAL"), "{log}");
    let numbers = guest.barepod(&["logs", "writer"])?;
    assert!((1..).zip(numbers.lines()).all(|(number, line): (usize, _)| line == number.to_string()), "{numbers}");
    guest.barepod(&["delete", "writer"])?;
    Ok(())
}

fn an_upgrade_and_back_replaces_the_daemon_and_no_word_of_the_administrator(
    guest: &Installed,
    scratch: &Path,
    loaded: &impl Fn(&str) -> Result,
) -> Result {
    guest.shell(&format!("echo '{WORD}' >>/etc/barepod/barepod.yaml"))?;
    let built = packages::debian()?;
    let later = packages::revised(&built, scratch, LATER, |tree| {
        // The package's own idea of the file has changed, too.
        let path = tree.join("etc/barepod/barepod.yaml");
        let text = fs_err::read_to_string(&path)?;
        fs_err::write(path, format!("# A later release.\n{text}"))
    })?;
    for (package, version) in [(&later, LATER), (&built, "0.1.0-1")] {
        let daemon = guest.property("MainPID")?;
        guest.install(package)?;

        assert_eq!(guest.shell("dpkg-query --show --showformat '${Version}' barepod")?, version);
        assert_ne!(guest.property("MainPID")?, daemon, "the daemon is the new one");
        assert_eq!(guest.property("ActiveState")?, "active");
        loaded(version)?;
        let configuration = guest.shell("cat /etc/barepod/barepod.yaml")?;
        assert!(configuration.ends_with(WORD) && !configuration.contains("later release"), "with {version}");
    }
    Ok(())
}

fn a_removed_package_leaves_services_running_and_takes_them_back(guest: &Installed) -> Result {
    let postmaster = guest.pid("postgresql").ok_or("no pid")?;

    let said = guest.shell("apt-get remove --quiet --yes barepod 2>&1")?;

    assert!(said.contains("its services run on"), "{said}");
    assert_eq!(
        guest.shell("ls /usr/sbin/barepodd 2>&1 || :")?,
        "ls: cannot access '/usr/sbin/barepodd': No such file or directory"
    );
    guest.shell(&format!("kill -0 {postmaster}"))?;
    assert_eq!(guest.shell(ACCOUNTS)?, "100000", "the database answers");
    assert!(guest.shell("cat /etc/barepod/barepod.yaml")?.ends_with(WORD), "configuration stays");

    guest.install(&packages::debian()?)?;

    let pod = guest.ready("postgresql")?;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(guest.pid("postgresql"), Some(postmaster));
    Ok(())
}

/// Its package as a later version, of the files that are installed.
const LATER_PACKAGE: &str = r#"tree=/srv/later
mkdir -p "$tree/DEBIAN"
dpkg-query --listfiles "$PACKAGE" | while read -r path; do
    if [ -L "$path" ] || [ -f "$path" ]; then echo ".$path"; fi
done | tar --create --directory=/ --no-recursion --files-from=- | tar --extract --directory="$tree"
dpkg-query --status "$PACKAGE" | sed -e '/^Status:/d' -e '/^Conffiles:/d' -e '/^ \/etc\//d' -e 's/^Version: .*/&+later/' \
    >"$tree/DEBIAN/control"
dpkg-deb --build -Znone "$tree" /srv/later.deb >/dev/null
rm -r "$tree""#;

fn an_upgrade_of_the_service_s_own_package_is_told_and_taken_at_the_next_start(
    guest: &Installed,
    version: &str,
) -> Result {
    let program = format!("/usr/lib/postgresql/{version}/bin/postgres");
    let software = || -> Result<String> {
        let report = guest.vm().command(["barepod", "doctor", "-o", "json"]).run()?;
        let report: serde_json::Value = serde_json::from_slice(&report.stdout)?;
        let findings = report["host"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = findings.iter().filter(|finding| finding["about"] == "software in use").collect();
        Ok(found.iter().filter_map(|finding| finding["found"].as_str()).collect::<Vec<_>>().join("; "))
    };
    let runs_what_is_installed = |pid: u32| {
        let same = format!("test $(stat -Lc %d:%i /proc/{pid}/exe) = $(stat -c %d:%i {program}) && echo the same || :");
        guest.shell(&same).map(|said| said == "the same")
    };
    let postmaster = guest.pid("postgresql").ok_or("no pid")?;
    assert!(runs_what_is_installed(postmaster)?);
    assert_eq!(software()?, "what is installed");

    guest.shell(&format!("PACKAGE=postgresql-{version}\n{LATER_PACKAGE}"))?;
    guest.shell("apt-get install --quiet --yes /srv/later.deb; rm /srv/later.deb")?;

    assert_eq!(guest.pid("postgresql"), Some(postmaster), "what runs goes on");
    assert_eq!(guest.shell(ACCOUNTS)?, "100000");
    assert!(!runs_what_is_installed(postmaster)?);
    assert!(software()?.starts_with(&format!("default/postgresql: an older {program}")), "{}", software()?);

    guest.barepod(&["restart", "postgresql"])?;
    guest.ready("postgresql")?;
    assert!(runs_what_is_installed(guest.pid("postgresql").ok_or("no pid")?)?);
    assert_eq!(software()?, "what is installed");
    assert_eq!(guest.shell(ACCOUNTS)?, "100000");
    Ok(())
}

fn a_purge_takes_configuration_and_logs_and_no_data(guest: &Installed) -> Result {
    guest.barepod(&["delete", "--all", "--all-namespaces"])?;

    guest.shell("apt-get purge --quiet --yes barepod")?;

    assert_eq!(guest.shell("ls -d /etc/barepod /var/log/barepod 2>/dev/null || :")?, "");
    assert_eq!(guest.shell("find /var/log/containers -type l")?, "");
    guest.shell("test -s /var/lib/barepod/volumes/default/pgdata/PG_VERSION")?;
    assert_eq!(guest.shell("systemctl list-unit-files --no-legend 'barepod*.service' | grep -v vm-agent || :")?, "");
    Ok(())
}
