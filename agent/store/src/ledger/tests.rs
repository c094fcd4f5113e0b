//! What the ledger promises, on temporary directories. The module `as_root` mounts a tmpfs and needs root.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use barepod_core::Revision;
use barepod_model::{BootId, BootTime, Manifest, Namespace, Pod, PodName, RestartPolicy, Source, Stamp, WallTime};

use super::*;

const UID: &str = "0d5e5a46-7bd4-4a7e-9d2a-0ab5c4e7a111";

fn record(uid: &str, revision: u64) -> PodRecord {
    PodRecord {
        revision: Revision(revision),
        boot: BootId("boot".to_owned()),
        pod: Pod {
            uid: PodUid::new(uid).unwrap(),
            namespace: Namespace::new("default").unwrap(),
            name: PodName::new("db").unwrap(),
            source: Source::File,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            restart_policy: RestartPolicy::Always,
            grace: Duration::from_secs(30),
            active_deadline: None,
            readiness_gates: Vec::new(),
            priority: 0,
            bears_memory_pressure: false,
            depends_on: Vec::new(),
            data_paths: BTreeSet::from(["/var/lib/postgresql".into()]),
            fs_group: None,
            resources: barepod_model::PodResources::default(),
            volumes: Vec::new(),
            containers: Vec::new(),
            manifest: Manifest("{}".to_owned()),
        },
        allocated: None,
        exclusive: BTreeMap::new(),
        generation: 1,
        order: 0,
        created: Stamp {
            boot_id: BootId("boot".to_owned()),
            boot: BootTime::default(),
            wall: WallTime(jiff::Timestamp::UNIX_EPOCH),
        },
        counts_from: None,
        spent: std::time::Duration::ZERO,
        deletion: None,
        halted: None,
        failure: None,
        initialized: false,
        booked: false,
        unbooked: false,
        orphaned: false,
        conditions: BTreeMap::new(),
        releasing: BTreeSet::new(),
        containers: BTreeMap::new(),
    }
}

fn scratch() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path().join("ledger")).unwrap();
    (dir, ledger)
}

fn file(ledger: &Ledger, kind: Kind) -> PathBuf {
    ledger.path(&PodUid::new(UID).unwrap(), kind)
}

/// The only thing in the ledger, which must be a record.
fn only_record(ledger: &Ledger) -> PodRecord {
    match ledger.load().unwrap().as_slice() {
        [Loaded::Record(record)] => (**record).clone(),
        other => panic!("expected one record, found {other:?}"),
    }
}

/// The only thing in the ledger, which must be unreadable, in words.
fn only_complaint(ledger: &Ledger) -> String {
    match ledger.load().unwrap().as_slice() {
        [Loaded::Unreadable { uid, error, .. }] => {
            assert_eq!(uid.as_str(), UID);
            error.to_string()
        }
        other => panic!("expected one unreadable file, found {other:?}"),
    }
}

#[test]
fn what_is_written_is_what_is_loaded() {
    let (_dir, ledger) = scratch();
    for sync in [Sync::Durable, Sync::Lazy] {
        let written = record(UID, if sync == Sync::Durable { 1 } else { 2 });
        ledger.write(&written, sync).unwrap();
        assert_eq!(only_record(&ledger), written);
    }
}

#[test]
fn nobody_but_the_owner_can_read_it() {
    let (dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
    ledger.write(&record(UID, 2), Sync::Lazy).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&dir.path().join("ledger")), 0o700);
    assert_eq!(mode(&file(&ledger, Kind::Durable)), 0o600);
    assert_eq!(mode(&file(&ledger, Kind::Lazy)), 0o600);
}

#[test]
fn a_directory_left_open_to_others_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    Ledger::open(dir.path()).unwrap();
    assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_lazy_write_leaves_the_durable_file_alone() {
    let (_dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
    let before = fs::read(file(&ledger, Kind::Durable)).unwrap();
    ledger.write(&record(UID, 2), Sync::Lazy).unwrap();
    assert_eq!(fs::read(file(&ledger, Kind::Durable)).unwrap(), before);
}

#[test]
fn a_lazy_file_spoilt_by_a_power_cut_falls_back_to_the_durable_one() {
    let (_dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
    for spoilt in [&b""[..], &[0; 512], b"{\"format\":1,\"sha"] {
        fs::write(file(&ledger, Kind::Lazy), spoilt).unwrap();
        assert_eq!(only_record(&ledger).revision, Revision(1));
    }
}

#[test]
fn a_durable_write_overtakes_a_lazy_one_even_if_that_could_not_be_removed() {
    let (_dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Lazy).unwrap();
    let left = fs::read(file(&ledger, Kind::Lazy)).unwrap();
    ledger.write(&record(UID, 2), Sync::Durable).unwrap();
    assert!(!file(&ledger, Kind::Lazy).exists());
    fs::write(file(&ledger, Kind::Lazy), left).unwrap();
    assert_eq!(only_record(&ledger).revision, Revision(2));
}

#[test]
fn a_write_that_never_ended_changes_nothing_and_is_cleaned_up() {
    let (_dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
    let whole = format::encode(&record(UID, 2)).unwrap();
    for torn in [&whole[..0], &whole[..whole.len() / 2], &whole[..]] {
        fs::write(file(&ledger, Kind::Temporary), torn).unwrap();
        assert_eq!(only_record(&ledger).revision, Revision(1));
        assert!(!file(&ledger, Kind::Temporary).exists());
    }
}

#[test]
fn a_first_write_that_never_ended_leaves_no_pod() {
    let (_dir, ledger) = scratch();
    fs::write(file(&ledger, Kind::Temporary), b"{").unwrap();
    assert!(ledger.load().unwrap().is_empty());
}

#[test]
fn every_kind_of_damage_is_told_apart() {
    let (_dir, ledger) = scratch();
    let good = String::from_utf8(format::encode(&record(UID, 1)).unwrap()).unwrap();
    let other = String::from_utf8(format::encode(&record("other", 1)).unwrap()).unwrap();
    let cases = [
        (String::new(), "empty"),
        (good[..good.len() / 2].to_owned(), "cut off"),
        ("hello".to_owned(), "not a whole JSON object"),
        ("{}".to_owned(), "no format number"),
        (good.replacen("\"format\":1", "\"format\":7", 1), "newer barepod, format 7; this one reads up to 1"),
        (good.replacen("/var/lib/postgresql", "/var/lib/postgresqm", 1), "checksum"),
        (other, "pod other"),
    ];
    for (contents, complaint) in cases {
        fs::write(file(&ledger, Kind::Durable), &contents).unwrap();
        let found = only_complaint(&ledger);
        assert!(found.contains(complaint), "{contents:?} gave {found:?}, expected {complaint:?}");
    }
}

#[test]
fn a_newer_lazy_file_is_not_taken_for_a_spoilt_one() {
    let (_dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
    fs::write(file(&ledger, Kind::Lazy), "{\"format\":2}").unwrap();
    assert!(only_complaint(&ledger).contains("newer barepod"));
}

#[test]
fn an_unreadable_durable_file_is_not_replaced_by_an_older_lazy_one() {
    let (_dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Lazy).unwrap();
    fs::write(file(&ledger, Kind::Durable), "").unwrap();
    assert!(only_complaint(&ledger).contains("empty"));
}

#[test]
fn an_unreadable_file_is_neither_overwritten_nor_removed() {
    let (_dir, ledger) = scratch();
    fs::write(file(&ledger, Kind::Durable), "junk").unwrap();
    ledger.load().unwrap();
    for sync in [Sync::Durable, Sync::Lazy] {
        assert!(matches!(ledger.write(&record(UID, 9), sync), Err(StoreError::Kept { .. })));
    }
    assert!(matches!(ledger.remove(&PodUid::new(UID).unwrap()), Err(StoreError::Kept { .. })));
    assert_eq!(fs::read(file(&ledger, Kind::Durable)).unwrap(), b"junk");
}

#[test]
fn a_file_moved_away_by_hand_frees_the_pod_at_the_next_load() {
    let (dir, ledger) = scratch();
    fs::write(file(&ledger, Kind::Durable), "junk").unwrap();
    ledger.load().unwrap();
    fs::rename(file(&ledger, Kind::Durable), dir.path().join("aside")).unwrap();
    assert!(ledger.load().unwrap().is_empty());
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
}

#[test]
fn what_is_foreign_is_reported_and_left() {
    let (dir, ledger) = scratch();
    let ledger_dir = dir.path().join("ledger");
    let strangers = ["README", "not_a_uid.json", "x.json.bak"].map(|name| ledger_dir.join(name));
    for path in &strangers {
        fs::write(path, "hands off").unwrap();
    }
    fs::create_dir(ledger_dir.join("dir.json")).unwrap();
    std::os::unix::fs::symlink("README", ledger_dir.join("link.json")).unwrap();
    let loaded = ledger.load().unwrap();
    assert_eq!(loaded.len(), 5);
    assert!(loaded.iter().all(|one| matches!(one, Loaded::Foreign { path } if path.symlink_metadata().is_ok())));
}

#[test]
fn a_removed_pod_stays_removed() {
    let (_dir, ledger) = scratch();
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
    ledger.write(&record(UID, 2), Sync::Lazy).unwrap();
    let uid = PodUid::new(UID).unwrap();
    ledger.remove(&uid).unwrap();
    assert!(ledger.load().unwrap().is_empty());
    ledger.remove(&uid).unwrap();
}

#[test]
fn a_slow_disk_slows_durable_writes_only() {
    let (_dir, ledger) = scratch();
    let delay = Duration::from_millis(80);
    let ledger = ledger.with_sync_delay(delay);
    let started = Instant::now();
    ledger.write(&record(UID, 1), Sync::Lazy).unwrap();
    let lazy = started.elapsed();
    ledger.write(&record(UID, 2), Sync::Durable).unwrap();
    assert!(lazy < delay, "a lazy write took {lazy:?}");
    assert!(started.elapsed() - lazy >= 2 * delay, "file and directory are both synced");
}

#[test]
fn a_temporary_file_that_is_a_symlink_is_not_followed() {
    let (dir, ledger) = scratch();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, file(&ledger, Kind::Temporary)).unwrap();
    assert!(ledger.write(&record(UID, 1), Sync::Durable).is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    ledger.write(&record(UID, 1), Sync::Durable).unwrap();
}

mod as_root {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    use super::*;

    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn new(bytes: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let options = format!("size={bytes},mode=0700");
            mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
                .expect("this test mounts a tmpfs: run it as root");
            Self(dir)
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
        }
    }

    #[test]
    fn a_full_disk_keeps_the_old_record_and_room_lets_the_next_one_in() {
        let disk = SmallDisk::new(256 << 10);
        let ledger = Ledger::open(disk.0.path()).unwrap();
        ledger.write(&record(UID, 1), Sync::Durable).unwrap();
        let ballast = disk.0.path().join("ballast");
        let full = fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(nix::libc::ENOSPC));

        for sync in [Sync::Durable, Sync::Lazy] {
            let refused = ledger.write(&record(UID, 2), sync).unwrap_err();
            let StoreError::Write { source, .. } = refused else { panic!("{refused:?}") };
            assert_eq!(source.raw_os_error(), Some(nix::libc::ENOSPC));
            assert!(!file(&ledger, Kind::Temporary).exists());
        }
        let kept = ledger.load().unwrap();
        assert!(matches!(&kept[0], Loaded::Record(record) if record.revision == Revision(1)), "{kept:?}");

        fs::remove_file(&ballast).unwrap();
        ledger.write(&record(UID, 2), Sync::Durable).unwrap();
        assert_eq!(only_record(&ledger).revision, Revision(2));
    }
}
