use std::path::PathBuf;

use barepod_linux::disk::{Mount, Space};
use barepod_presets::Unmet;

use super::*;

/// A host with nothing to mend.
fn sound() -> Facts {
    Facts {
        kernel: Some("6.12.3".to_owned()),
        os: Os { name: Some("Debian GNU/Linux 13".to_owned()), family: vec!["debian".to_owned()] },
        cgroup: Cgroup::Unified(vec!["memory", "cpu", "pids", "io"]),
        pressure: true,
        transparent_huge_pages: Some("always [madvise] never".to_owned()),
        huge_pages: Some(HugePages { total: 8, free: 6, size: 2 << 20 }),
        overcommit_memory: Some(0),
        max_map_count: Some(65_530),
        swappiness: Some(60),
        files: Some(OpenFiles { hard: 1_048_576, of_daemon: true }),
        clock: Some(true),
        disks: vec![on(&["rw", "relatime"], "ext4")],
        systemd: true,
        daemon: Daemon::Runs { version: "1.0.0".to_owned() },
        in_use: Vec::new(),
        running: vec![running("db", &[])],
    }
}

fn running(name: &str, replaced: &[&str]) -> Running {
    let replaced = replaced.iter().map(PathBuf::from).collect();
    Running { namespace: "shop".to_owned(), name: name.to_owned(), replaced }
}

fn on(options: &[&str], file_system: &str) -> Disk {
    let mount = Mount {
        point: "/var".into(),
        source: "/dev/sda2".to_owned(),
        file_system: file_system.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        is_shared: false,
    };
    let space = Space { bytes: 100 << 30, bytes_available: 60 << 30, inodes: 1000, inodes_free: 900 };
    Disk { paths: vec![PathBuf::from("/var/lib/barepod")], mount, space: Some(space) }
}

fn report(change: impl FnOnce(&mut Facts)) -> Report {
    let mut facts = sound();
    change(&mut facts);
    judge(&facts, "1.0.0")
}

/// The findings that are not as they should be: level, what, and the command.
fn wrong(change: impl FnOnce(&mut Facts)) -> Vec<(Level, String, String)> {
    let report = report(change);
    let all = report.host.into_iter().chain(report.presets.into_iter().flat_map(|preset| preset.findings));
    all.filter(|finding| finding.level != Level::Ok)
        .map(|finding| (finding.level, finding.about, finding.command.unwrap_or_default()))
        .collect()
}

fn one(level: Level, about: &str, command: &str) -> Vec<(Level, String, String)> {
    vec![(level, about.to_owned(), command.to_owned())]
}

#[test]
fn a_sound_host_has_nothing_to_mend() {
    assert_eq!(wrong(|_| ()), []);
    insta::assert_snapshot!(report(|_| ()).text(), @r"
    ok    kernel                   6.12.3 (Debian GNU/Linux 13)
    ok    cgroup                   v2: memory, cpu, pids, io
    ok    pressure (PSI)           counted
    ok    systemd                  runs this host
    ok    barepodd                 runs, 1.0.0
    ok    clock                    synchronised
    ok    open files               1048576 at most (barepodd's, which pods inherit)
    ok    transparent huge pages   always [madvise] never
    ok    huge pages               8 of 2Mi, 6 of them free
    ok    vm.overcommit_memory     0
    ok    vm.max_map_count         65530
    ok    vm.swappiness            60
    ok    disk                     /var/lib/barepod: ext4 on /dev/sda2, rw,relatime
    ok    space                    60 % of 100.0 GiB left, 90 % of inodes
    ok    software in use          what is installed

    nothing is to be mended
    ");
}

#[test]
fn what_is_wrong_with_a_host_comes_with_the_command_that_mends_it() {
    let grub = |parameter: &str| {
        format!("sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{parameter} /' /etc/default/grub && update-grub && reboot")
    };
    let old = wrong(|facts| facts.kernel = Some("5.10.0-28-amd64".to_owned()));
    assert_eq!(old, one(Level::Fail, "kernel", ""));
    assert_eq!(wrong(|facts| facts.kernel = Some("5.12".to_owned())), one(Level::Note, "kernel", ""));
    assert_eq!(wrong(|facts| facts.pressure = false), one(Level::Warn, "pressure (PSI)", &grub("psi=1")));
    let legacy = wrong(|facts| facts.cgroup = Cgroup::Unusable("only v1".to_owned()));
    assert_eq!(legacy, one(Level::Fail, "cgroup", &grub("systemd.unified_cgroup_hierarchy=1")));
    let blind = wrong(|facts| facts.cgroup = Cgroup::Unified(vec!["cpu", "pids"]));
    assert_eq!(blind, one(Level::Fail, "cgroup", &grub("cgroup_enable=memory")));
    assert_eq!(
        wrong(|facts| facts.daemon = Daemon::Away("it is not running".to_owned())),
        one(Level::Warn, "barepodd", "systemctl enable --now barepod")
    );
    assert_eq!(
        wrong(|facts| facts.daemon = Daemon::Runs { version: "0.9.0".to_owned() }),
        one(Level::Warn, "barepodd", "systemctl restart barepod")
    );
    assert_eq!(wrong(|facts| facts.clock = Some(false)), one(Level::Warn, "clock", "timedatectl set-ntp true"));
    let few = wrong(|facts| facts.files = Some(OpenFiles { hard: 1024, of_daemon: true }));
    assert!(few[0].2.contains("LimitNOFILE=1048576") && few[0].2.contains("systemctl restart barepod"), "{few:?}");
    assert_eq!(wrong(|facts| facts.files = Some(OpenFiles { hard: 1024, of_daemon: false })), []);
}

#[test]
fn a_pod_that_runs_on_files_that_were_replaced_is_named_with_what_ends_that() {
    let outdated = || vec![running("db", &["/usr/bin/a", "/usr/lib/b.so"]), running("cache", &[])];
    let restart = "barepod restart db --namespace shop";
    assert_eq!(wrong(|facts| facts.running = outdated()), one(Level::Warn, "software in use", restart));
    let report = report(|facts| facts.running = outdated());
    let found = report.host.iter().find(|finding| finding.about == "software in use").unwrap();
    assert_eq!(found.found, "shop/db: an older /usr/bin/a and 1 more");
    let says_nothing = |report: Report| report.host.iter().all(|finding| finding.about != "software in use");
    assert!(says_nothing(self::report(|facts| facts.running = Vec::new())), "of nobody there is nothing to say");
}

#[test]
fn a_kernel_parameter_is_added_by_the_distribution_s_own_tool() {
    let of = |family: &[&str]| {
        let family = family.iter().map(|id| (*id).to_owned()).collect();
        wrong(|facts| (facts.pressure, facts.os.family) = (false, family))[0].2.clone()
    };
    assert!(of(&["ubuntu", "debian"]).contains("update-grub"));
    assert_eq!(of(&["rocky", "rhel", "centos", "fedora"]), "grubby --update-kernel=ALL --args=\"psi=1\" && reboot");
    assert!(of(&["sles", "suse"]).contains("grub2-mkconfig -o /boot/grub2/grub.cfg"));
}

#[test]
fn a_disk_that_endangers_data_or_slows_them_is_told() {
    for (options, file_system, level, command) in [
        (&["ro"][..], "ext4", Level::Fail, "mount -o remount,rw /var"),
        (&["rw", "nobarrier"], "xfs", Level::Fail, "mount -o remount,barrier /var, and mend /etc/fstab"),
        (&["rw", "barrier=0"], "ext4", Level::Fail, "mount -o remount,barrier /var, and mend /etc/fstab"),
        (&["rw"], "tmpfs", Level::Fail, ""),
        (&["rw"], "overlay", Level::Warn, ""),
        (&["rw"], "nfs4", Level::Warn, ""),
        (&["rw"], "fuse.sshfs", Level::Warn, ""),
        (&["rw", "sync"], "ext4", Level::Warn, "mount -o remount,async /var, and mend /etc/fstab"),
        (&["rw"], "btrfs", Level::Note, "chattr +C /var/lib/barepod, before there are data in it"),
        (&["rw", "strictatime"], "ext4", Level::Note, "mount -o remount,relatime /var, and mend /etc/fstab"),
    ] {
        let found = wrong(|facts| facts.disks = vec![on(options, file_system)]);
        assert_eq!(found, one(level, "disk", command), "{options:?} {file_system}");
    }
    let left = |bytes, inodes| {
        wrong(|facts| {
            let space = Space { bytes: 1000, bytes_available: bytes, inodes: 100, inodes_free: inodes };
            facts.disks[0].space = Some(space);
        })
    };
    assert_eq!(left(100, 5), []);
    assert_eq!(left(99, 5)[0].1, "space");
    assert!(left(99, 5)[0].2.starts_with("du -xhd1 /var/lib/barepod"), "{:?}", left(99, 5));
    assert!(left(100, 4)[0].2.starts_with("du -x --inodes -d1 /var/lib/barepod"), "{:?}", left(100, 4));
    let uncounted = wrong(|facts| {
        let space = Space { bytes: 1000, bytes_available: 500, inodes: 0, inodes_free: 0 };
        facts.disks[0].space = Some(space);
    });
    assert_eq!(uncounted, [], "btrfs counts no inodes");
}

#[test]
fn presets_that_want_one_setting_to_be_different_things_are_told_so_once() {
    let of = |preset: &str, pods: &[&str], wants: &str| {
        let want = Want {
            name: "pages".to_owned(),
            of: "transparent huge pages".to_owned(),
            wants: Some(wants.to_owned()),
            found: Some("[always]".to_owned()),
            unmet: None,
        };
        InUse {
            image: preset.to_owned(),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
            wants: Ok(HostWants { preset: preset.to_owned(), wants: vec![want] }),
        }
    };
    let redis = || of("redis 7.0", &["default/cache"], "madvise or never");
    let report_of = |in_use: Vec<InUse>| report(|facts| facts.in_use = in_use);
    let torn = report_of(vec![redis(), of("mongodb 8.0", &[], "always"), of("kafka 3.9", &[], "madvise")]);
    let told: Vec<_> = torn.host.iter().filter(|finding| finding.level == Level::Warn).collect();
    assert_eq!(told.len(), 2, "redis and mongodb, mongodb and kafka: {told:?}");
    let message = told[0].message.as_deref().unwrap();
    assert!(
        message.starts_with("redis 7.0 (default/cache) wants madvise or never, mongodb 8.0 wants always:"),
        "{message}"
    );
    assert_eq!(report_of(vec![redis(), of("mongodb 7.0", &[], "never")]).to_mend(), 0, "never pleases both");
}

#[test]
fn what_a_preset_wants_is_told_with_its_pods() {
    let want = |found: Option<&str>, unmet: Option<Unmet>| Want {
        name: "overcommit".to_owned(),
        of: "vm.overcommit_memory".to_owned(),
        wants: Some("1".to_owned()),
        found: found.map(str::to_owned),
        unmet,
    };
    let unmet = |refuses, command: Option<&str>| {
        Some(Unmet {
            refuses,
            message: "a save can fail".to_owned(),
            hint: "set it to 1".to_owned(),
            command: command.map(str::to_owned),
        })
    };
    let wants = vec![
        want(Some("0"), unmet(false, Some("sysctl -w vm.overcommit_memory=1"))),
        want(Some("0"), unmet(true, None)),
        want(Some("1"), None),
        want(None, None),
    ];
    let missing = RequestError {
        reason: Reason::VersionNotInstalled,
        field: "image".to_owned(),
        message: "PostgreSQL 17 is not installed".to_owned(),
        hint: Some("apt install postgresql-17".to_owned()),
    };
    let report = report(|facts| {
        facts.in_use = vec![
            InUse {
                image: "redis:7".to_owned(),
                pods: vec!["default/cache".to_owned(), "shop/cache".to_owned()],
                wants: Ok(HostWants { preset: "redis 7.0.15".to_owned(), wants }),
            },
            InUse { image: "postgres:17".to_owned(), pods: Vec::new(), wants: Err(missing) },
        ];
    });
    assert_eq!(report.to_mend(), 3);
    let text = report.text();
    let (_, presets) = text.split_once("\n\n").unwrap();
    insta::assert_snapshot!(presets, @r"
    redis 7.0.15, of default/cache, shop/cache
    warn  vm.overcommit_memory     0 (wanted: 1)
          a save can fail
          mend: sysctl -w vm.overcommit_memory=1
    FAIL  vm.overcommit_memory     0 (wanted: 1)
          a save can fail; set it to 1
    ok    vm.overcommit_memory     1 (wanted: 1)
    ok    vm.overcommit_memory     not on this host, and not wanted then

    postgres:17
    FAIL  software                 not installed
          PostgreSQL 17 is not installed; apt install postgresql-17

    3 things are to be mended
    ");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["presets"][0]["findings"][0]["command"], "sysctl -w vm.overcommit_memory=1");
    assert_eq!(json["presets"][0]["findings"][1]["level"], "fail");
    assert_eq!(json["host"][0].get("command"), None);
}
