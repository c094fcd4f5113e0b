//! The PostgreSQL preset against the documentation of the official image, on a host that does not exist.

mod support;

use std::time::Duration;

use barepod_model::{Reason, Root, StopStage};
use support::{debian, file, postgres, request, resolve, set, words};

#[test]
fn an_unmodified_manifest_gets_the_whole_service() {
    let resolved = resolve(&postgres("postgres:15", 512, 1_000)).expect("resolved");
    let launch = &resolved.launch;
    assert_eq!(resolved.preset, "postgresql 15.20");
    assert_eq!(
        launch.argv,
        words(&[
            "/usr/lib/postgresql/15/bin/postgres",
            "-D",
            "/var/lib/postgresql/data",
            "--config-file=/run/barepod/postgresql.conf"
        ])
    );
    assert_eq!((launch.user.uid, launch.user.gid, launch.user.groups.clone()), (101, 104, vec![103]));
    assert_eq!(launch.root, Root::Host);
    assert!(launch.no_new_privileges);
    assert!(launch.capabilities.is_empty());
    assert_eq!(
        launch.init.first().expect("an init step").creates.to_str(),
        Some("/var/lib/postgresql/data/PG_VERSION")
    );
    assert_eq!(resolved.data_paths.len(), 1);
    assert_eq!(launch.owned_dirs.len(), 1);
    assert_eq!(launch.env.0["PATH"].split(':').next(), Some("/usr/lib/postgresql/15/bin"));
    assert!(resolved.warnings.is_empty());
}

#[test]
fn tuning_follows_the_limits_and_comes_before_the_authors_own_file() {
    insta::assert_snapshot!(file(
        &resolve(&postgres("postgres:15", 2_048, 4_000)).expect("resolved"),
        "/run/barepod/postgresql.conf"
    ));
}

#[test]
fn without_limits_postgresql_keeps_its_own_defaults() {
    let resolved = resolve(&postgres("postgres:15", 0, 0)).expect("resolved");
    assert!(!file(&resolved, "/run/barepod/postgresql.conf").contains("shared_buffers"));
}

#[test]
fn new_limits_alone_need_no_new_process() {
    let small = resolve(&postgres("postgres:15", 512, 1_000)).expect("resolved");
    let large = resolve(&postgres("postgres:15", 1_024, 2_000)).expect("resolved");
    assert_ne!(small.launch, large.launch);
    assert!(small.launch.serves(&large.launch));
}

#[test]
fn it_is_stopped_fast_then_at_once_and_never_smartly() {
    let stop = resolve(&postgres("postgres:15", 0, 0)).expect("resolved").stop;
    let (int, quit) = (2, 3);
    let ten = Some(Duration::from_secs(10));
    assert_eq!(stop.stages, [StopStage { signal: int, before_end: None }, StopStage { signal: quit, before_end: ten }]);
    assert_eq!(stop.min_grace, Duration::from_secs(120));
}

#[test]
fn a_tag_chooses_among_what_is_installed() {
    let preset = |image: &str| resolve(&postgres(image, 0, 0)).map(|r| r.preset).map_err(|e| e.reason);
    let fifteen = Ok("postgresql 15.20".to_owned());
    for image in [
        "postgres",
        "postgres:latest",
        "postgres:15",
        "postgres:15.20",
        "postgres:15.4",
        "postgres:15-bookworm",
        "postgres:15.4-alpine3.19",
        "postgres:alpine",
        "postgresql:15",
        "docker.io/library/postgres:15",
        "docker.io/postgres:15",
        "public.ecr.aws/docker/library/postgres:15",
    ] {
        assert_eq!(preset(image), fifteen, "{image}");
    }
    assert_eq!(preset("postgres:13"), Ok("postgresql 13.20".to_owned()));
    for image in ["postgres:16", "postgres:15.21", "postgres:17beta1", "postgres:1"] {
        assert_eq!(preset(image), Err(Reason::VersionNotInstalled), "{image}");
    }
}

#[test]
fn a_missing_version_names_the_package_and_what_there_is() {
    let error = resolve(&postgres("postgres:16", 0, 0)).expect_err("16 has no programs");
    assert_eq!(error.message, "PostgreSQL 16 is not installed on this host; installed: 15, 13");
    assert_eq!(
        error.hint.as_deref(),
        Some("install it: apt install postgresql-16 (Debian 12 has 15; others are in apt.postgresql.org)")
    );
    let mut fedora = debian();
    fedora.texts = vec![("/etc/os-release", "ID=fedora\nVERSION_ID=42\n")];
    fedora.files = vec!["/usr/bin/dnf", "/usr/pgsql-17/bin/postgres"];
    let catalogue = barepod_presets::Catalogue::built_in().expect("valid");
    let error = catalogue.resolve(&postgres("postgres:16", 0, 0), &fedora).expect_err("only 17");
    assert_eq!(error.message, "PostgreSQL 16 is not installed on this host; installed: 17");
    assert_eq!(
        error.hint.as_deref(),
        Some(
            "install it: dnf install postgresql16-server (from yum.postgresql.org; the distribution's own package is postgresql-server)"
        )
    );
    let found = catalogue.resolve(&postgres("postgres:17", 0, 0), &fedora).expect("17 is there");
    assert_eq!(found.launch.argv[0], "/usr/pgsql-17/bin/postgres");
}

#[test]
fn what_is_chosen_without_being_asked_for_is_a_warning() {
    let warnings = |image: &str| resolve(&postgres(image, 0, 0)).expect("resolved").warnings.len();
    assert_eq!(warnings("postgres:15"), 0);
    assert_eq!(warnings("postgres:latest"), 0);
    assert_eq!(warnings("postgres:15.4"), 1, "15.20 runs instead");
    assert_eq!(warnings(&format!("postgres@sha256:{}", "0".repeat(64))), 1);
    assert_eq!(warnings(&format!("postgres:15@sha256:{}", "0".repeat(64))), 0);
}

#[test]
fn the_ids_of_the_image_are_those_of_the_hosts_account() {
    let uid = |asked: u32| {
        let mut request = postgres("postgres:15", 0, 0);
        request.user.uid = Some(asked);
        request.user.gid = Some(asked);
        let user = resolve(&request).expect("resolved").launch.user;
        (user.uid, user.gid)
    };
    for id in [999, 70, 26, 1001] {
        assert_eq!(uid(id), (101, 104), "{id}");
    }
    assert_eq!(uid(1), (1, 1));
    assert_eq!(uid(4_242), (4_242, 4_242));
    let mut as_root = postgres("postgres:15", 0, 0);
    as_root.user.uid = Some(0);
    assert_eq!(resolve(&as_root).expect("resolved").launch.user.uid, 101, "the image steps down too");
}

#[test]
fn arguments_are_read_as_the_image_reads_them() {
    let argv = |command: &[&str], args: &[&str]| {
        let mut request = postgres("postgres:15", 0, 0);
        (request.command, request.args) = (words(command), words(args));
        let launch = resolve(&request).expect("resolved").launch;
        if !launch.init.is_empty() { launch.argv[4..].to_vec() } else { [words(&["plain"]), launch.argv].concat() }
    };
    let setting = words(&["-c", "shared_buffers=64MB"]);
    assert_eq!(argv(&[], &[]), words(&[]));
    assert_eq!(argv(&[], &["-c", "shared_buffers=64MB"]), setting);
    assert_eq!(argv(&[], &["postgres", "-c", "shared_buffers=64MB"]), setting);
    assert_eq!(argv(&["postgres"], &["-c", "shared_buffers=64MB"]), setting);
    assert_eq!(argv(&["postgres", "-c", "shared_buffers=64MB"], &[]), setting);
    assert_eq!(argv(&["docker-entrypoint.sh"], &["postgres", "-c", "shared_buffers=64MB"]), setting);
    assert_eq!(argv(&["/usr/local/bin/docker-entrypoint.sh", "-c", "shared_buffers=64MB"], &[]), setting);
    assert_eq!(argv(&["docker-entrypoint.sh"], &[]), words(&[]));
    assert_eq!(argv(&[], &["psql", "-h", "db"]), words(&["plain", "psql", "-h", "db"]));
    assert_eq!(argv(&["sh", "-c", "exec psql"], &[]), words(&["plain", "sh", "-c", "exec psql"]));
}

#[test]
fn another_program_of_the_image_gets_its_path_but_no_service() {
    let mut psql = request("postgres:15");
    psql.command = words(&["psql", "-h", "db"]);
    let resolved = resolve(&psql).expect("no password is needed for a client");
    assert_eq!(resolved.data_paths.len(), 0);
    assert_eq!((resolved.startup, resolved.readiness), (None, None));
    assert_eq!(resolved.launch.files, []);
    assert!(resolved.launch.env.0["PATH"].starts_with("/usr/lib/postgresql/15/bin:"));
}

#[test]
fn the_contract_of_the_image_is_checked_before_anything_starts() {
    let with = |pairs: &[(&str, &str)], args: &[&str]| {
        let mut request = request("postgres:15");
        pairs.iter().for_each(|(name, value)| set(&mut request, name, value));
        request.args = words(args);
        resolve(&request).map(|_| ()).map_err(|e| (e.reason, e.field))
    };
    let bad = |field: &str| Err((Reason::InvalidConfiguration, field.to_owned()));
    let password = ("POSTGRES_PASSWORD", "x");
    assert_eq!(with(&[], &[]), bad("env"));
    assert_eq!(with(&[("POSTGRES_PASSWORD", "")], &[]), bad("env"));
    assert_eq!(with(&[("POSTGRES_HOST_AUTH_METHOD", "trust")], &[]), Ok(()));
    assert_eq!(with(&[("POSTGRES_PASSWORD_FILE", "/run/secret")], &[]), Ok(()));
    assert_eq!(with(&[password, ("POSTGRES_PASSWORD_FILE", "/x")], &[]), bad("env[POSTGRES_PASSWORD_FILE]"));
    for name in ["POSTGRES_USER", "POSTGRES_DB", "POSTGRES_INITDB_ARGS"] {
        let file = format!("{name}_FILE");
        assert_eq!(with(&[password, (name, "x"), (&file, "/x")], &[]), bad(&format!("env[{file}]")));
    }
    for data in ["data", "", "/var/../etc"] {
        assert_eq!(with(&[password, ("PGDATA", data)], &[]), bad("env[PGDATA]"), "{data}");
    }
    for user in ["pg_me", "a\"b"] {
        assert_eq!(with(&[password, ("POSTGRES_USER", user)], &[]), bad("env[POSTGRES_USER]"), "{user}");
    }
    let method = |method: &str| with(&[password, ("POSTGRES_HOST_AUTH_METHOD", method)], &[]);
    for good in ["scram-sha-256", "md5", "ldap ldapserver=ldap.example"] {
        assert_eq!(method(good), Ok(()), "{good}");
    }
    for wrong in ["scram", "md5\nlocal all all trust"] {
        assert_eq!(method(wrong), bad("env[POSTGRES_HOST_AUTH_METHOD]"), "{wrong}");
    }
    for args in [&["-D", "/x"][..], &["-D/x"], &["--data-directory=/x"], &["-c", "data_directory=/x"]] {
        assert_eq!(with(&[password], args), bad("args"), "{args:?}");
    }
}

#[test]
fn from_version_18_on_the_data_lie_where_the_image_puts_them() {
    let mut host = debian();
    host.files.push("/usr/lib/postgresql/18/bin/postgres");
    let catalogue = barepod_presets::Catalogue::built_in().expect("valid");
    let resolved = catalogue.resolve(&postgres("postgres:18", 0, 0), &host).expect("resolved");
    assert_eq!(resolved.data_paths[0].to_str(), Some("/var/lib/postgresql/18/docker"));
}

#[test]
fn a_log_directory_of_its_own_is_data_too() {
    let mut request = postgres("postgres:15", 0, 0);
    set(&mut request, "POSTGRES_INITDB_WALDIR", "/wal");
    let resolved = resolve(&request).expect("resolved");
    assert_eq!(resolved.data_paths.len(), 2);
    assert_eq!(resolved.launch.owned_dirs.len(), 2);
}

#[test]
fn no_message_carries_a_secret() {
    let mut request = postgres("postgres:15", 0, 0);
    set(&mut request, "POSTGRES_PASSWORD", "hunter2");
    set(&mut request, "POSTGRES_PASSWORD_FILE", "/x");
    let error = resolve(&request).expect_err("both are set");
    assert!(!format!("{error:?}").contains("hunter2"));
}
