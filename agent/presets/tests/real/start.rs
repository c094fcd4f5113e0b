//! The first start, as the official image does it.

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::sandbox::sandbox;

#[test]
fn a_first_start_makes_user_database_and_runs_the_scripts_in_order() {
    let Some(mut sandbox) = sandbox() else { return };
    sandbox.set("POSTGRES_USER", "App x");
    sandbox.set("POSTGRES_DB", "shop's");
    sandbox.set("POSTGRES_INITDB_ARGS", "--wal-segsize=2 --locale-provider='libc'");
    sandbox.script(
        "10-table.sql",
        "CREATE TABLE steps (n int, who text);\nINSERT INTO steps VALUES (1, user);\n",
        0o644,
    );
    sandbox.script(
        "20-run.sh",
        "#!/bin/bash\npsql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" \
         -c \"INSERT INTO steps VALUES (2, '${POSTGRES_PASSWORD:+known}')\"\n",
        0o755,
    );
    sandbox.script("30-sourced.sh", "\"${psql[@]}\" <<<\"INSERT INTO steps VALUES (3, 'sourced')\"\n", 0o644);
    sandbox.script("40-conf.sh", "echo 'work_mem = 7MB' >>\"$PGDATA/postgresql.conf\"\n", 0o644);
    sandbox.script("50-ignored.txt", "nothing", 0o644);
    let gz = std::process::Command::new("sh")
        .args(["-c", "echo \"INSERT INTO steps VALUES (4, 'gz')\" | gzip >\"$0\""])
        .arg(sandbox.path("initdb.d").join("60.sql.gz"))
        .status();
    assert!(gz.expect("gzip runs").success());
    let mut container = sandbox.start("");
    container.ready();
    let query = |sql: &str| sandbox.query("App x", "shop's", sql).expect(sql);
    assert_eq!(query("SELECT n || who FROM steps ORDER BY n"), "1App x\n2known\n3sourced\n4gz");
    assert_eq!(query("SHOW work_mem"), "7MB");
    assert_eq!(query("SHOW data_checksums"), "on");
    assert_eq!(query("SHOW wal_segment_size"), "2MB");
    assert_eq!(query("SHOW data_directory"), sandbox.pgdata().display().to_string());
    assert_eq!(query("SHOW hba_file"), sandbox.pgdata().join("pg_hba.conf").display().to_string());
    let mode = sandbox.pgdata().metadata().expect("stat").permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else may look into the data");
    assert!(container.stop(Signal::SIGINT), "{}", sandbox.log());
    assert!(sandbox.log().contains("database system is shut down"));
}

#[test]
fn only_the_password_lets_others_in() {
    let Some(mut sandbox) = sandbox() else { return };
    sandbox.set("POSTGRES_USER", "app");
    sandbox.script("1.sql", "CREATE ROLE other LOGIN PASSWORD 'o'", 0o644);
    let mut container = sandbox.start("");
    container.ready();
    assert_eq!(sandbox.query_with_password("app", "app", "it's \"secret\" $HOME"), Ok("1".to_owned()));
    assert!(sandbox.query_with_password("app", "app", "guess").is_err());
    assert_eq!(sandbox.query("app", "app", "SELECT 1"), Ok("1".to_owned()), "the service's own account");
    assert!(sandbox.query("other", "app", "SELECT 1").is_err(), "no trust on the socket, which the whole host sees");
    assert!(container.stop(Signal::SIGINT));
}

#[test]
fn the_password_is_neither_in_the_servers_environment_nor_on_a_command_line_nor_in_a_file() {
    let Some(mut sandbox) = sandbox() else { return };
    sandbox.set("POSTGRES_PASSWORD", "needle-in-the-hay");
    let mut container = sandbox.start("");
    container.ready();
    let pid = std::fs::read_to_string(sandbox.pgdata().join("postmaster.pid")).expect("a server runs");
    assert!(!pid.is_empty());
    assert!(!sandbox.log().contains("needle"));
    let grep = std::process::Command::new("grep").args(["-rl", "needle-in-the-hay"]).arg(sandbox.path("")).output();
    assert_eq!(String::from_utf8_lossy(&grep.expect("grep runs").stdout), "");
    let environments = format!(
        "for p in /proc/[0-9]*; do if [ \"$(readlink $p/cwd)\" = '{}' ]; then cat $p/environ $p/cmdline; fi; done",
        sandbox.pgdata().display()
    );
    let seen = std::process::Command::new("sh").args(["-c", &environments]).output().expect("sh runs").stdout;
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("PGDATA="), "the server was found");
    assert!(!seen.contains("needle"));
    assert!(container.stop(Signal::SIGINT));
}

#[test]
fn a_directory_with_somebodys_files_is_left_alone() {
    let Some(sandbox) = sandbox() else { return };
    std::fs::write(sandbox.pgdata().join("thesis.odt"), "years of work").expect("write");
    assert!(!sandbox.start("").wait());
    assert!(sandbox.log().contains("holds thesis.odt but no database cluster"), "{}", sandbox.log());
    assert_eq!(crate::sandbox::tree(&sandbox.pgdata()).len(), 1);
}

#[test]
fn a_failing_script_fails_the_start_and_the_next_start_begins_anew() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.script("1.sql", "CREATE TABLE t AS SELECT 1; SELECT 1/0;", 0o644);
    assert!(!sandbox.start("").wait());
    assert!(!sandbox.pgdata().join("PG_VERSION").exists());
    sandbox.script("1.sql", "CREATE TABLE t AS SELECT 1;", 0o644);
    let mut container = sandbox.start("");
    container.ready();
    assert_eq!(sandbox.query("postgres", "postgres", "SELECT count(*) FROM t"), Ok("1".to_owned()));
    assert!(container.stop(Signal::SIGINT));
}

#[test]
fn the_log_can_lie_on_a_directory_of_its_own() {
    let Some(mut sandbox) = sandbox() else { return };
    let wal = sandbox.path("wal").display().to_string();
    sandbox.set("POSTGRES_INITDB_WALDIR", &wal);
    let container = sandbox.start(&crate::kill::pause_at("stop_private_server", 1));
    crate::kill::kill_when_paused(container);
    assert!(sandbox.path("wal/archive_status").exists(), "the first run had begun");
    let mut container = sandbox.start("");
    container.ready();
    let link = std::fs::read_link(sandbox.pgdata().join("pg_wal")).expect("a link");
    assert_eq!(link, sandbox.path("wal"));
    assert!(container.stop(Signal::SIGINT));
}

#[test]
fn a_stop_is_obeyed_while_a_long_script_runs() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.script("1.sh", "echo now-sleeping\nsleep 1000\n", 0o644);
    let mut container = sandbox.start("");
    assert!(container.says(&["now-sleeping"]).is_some());
    assert!(!container.stop(Signal::SIGINT));
    assert!(!sandbox.pgdata().join("PG_VERSION").exists());
}
