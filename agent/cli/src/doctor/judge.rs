//! What is to be said of the facts.

use barepod_model::{Bytes, Reason, RequestError};
use barepod_presets::{HostWants, Want};

use super::contradiction::contradictions;
use super::facts::{Cgroup, Daemon, Disk, Facts, HugePages, InUse, OpenFiles, Os, Running};
use super::report::{Finding, Level, OfPreset, Report};

/// Detached mounts, of which a pod's view of the host is made (mount_setattr(2)).
const KERNEL_NEEDED: (u32, u32) = (5, 12);
/// `cgroup.kill`, which ends all processes of a group at once.
const KERNEL_WANTED: (u32, u32) = (5, 14);
/// What a unit of the packages sets is 1048576; databases ask for some ten thousands.
const FILES_WANTED: u64 = 65_536;
/// kubelet's and barepod's default of `evictionHard`, in per cent: below that the host says that it is short.
const SPACE_WANTED: u64 = 10;
const INODES_WANTED: u64 = 5;
/// Controllers without which limits of pods mean nothing.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// Judges a host.
pub(crate) fn judge(facts: &Facts, own_version: &str) -> Report {
    let mut host = vec![kernel(facts), cgroup(facts), pressure(facts), systemd(facts), daemon(facts, own_version)];
    host.extend(clock(facts));
    host.extend(facts.files.map(|files| open_files(files, facts.systemd)));
    host.extend(facts.transparent_huge_pages.as_deref().map(|text| Finding::ok("transparent huge pages", text)));
    host.extend(facts.huge_pages.map(huge_pages));
    let plain = |about: &str, value: Option<u64>| value.map(|value| Finding::ok(about, value.to_string()));
    host.extend(plain("vm.overcommit_memory", facts.overcommit_memory));
    host.extend(plain("vm.max_map_count", facts.max_map_count));
    host.extend(plain("vm.swappiness", facts.swappiness));
    host.extend(facts.disks.iter().flat_map(disk));
    host.extend(contradictions(&facts.in_use));
    host.extend(software(&facts.running));
    Report { host, presets: facts.in_use.iter().map(preset).collect() }
}

/// What pods run on is what the host has, or they are named.
fn software(running: &[Running]) -> Vec<Finding> {
    const ABOUT: &str = "software in use";
    let outdated = running.iter().filter(|pod| !pod.replaced.is_empty());
    let mut findings: Vec<_> = outdated
        .map(|pod| {
            let Running { namespace, name, replaced } = pod;
            let first = replaced.first().map(|path| path.display().to_string()).unwrap_or_default();
            let more = if replaced.len() > 1 { format!(" and {} more", replaced.len() - 1) } else { String::new() };
            let message = "the file was replaced under it; what is installed now is taken at the next start";
            Finding::ok(ABOUT, format!("{namespace}/{name}: an older {first}{more}"))
                .at(Level::Warn, message)
                .mended_by(format!("barepod restart {name} --namespace {namespace}"))
        })
        .collect();
    if findings.is_empty() && !running.is_empty() {
        findings.push(Finding::ok(ABOUT, "what is installed"));
    }
    findings
}

fn kernel(facts: &Facts) -> Finding {
    let Some(release) = &facts.kernel else { return Finding::ok("kernel", "unknown") };
    let os = facts.os.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let found = Finding::ok("kernel", format!("{release}{os}"));
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < KERNEL_NEEDED {
        return found.at(Level::Fail, "no container can be started: its view of the host is made as Linux 5.12 can");
    }
    if version < KERNEL_WANTED {
        return found.at(Level::Note, "before Linux 5.14 the processes of a container are killed one by one");
    }
    found
}

fn cgroup(facts: &Facts) -> Finding {
    let (text, controllers) = match &facts.cgroup {
        Cgroup::Unknown => return Finding::ok("cgroup", "unknown"),
        Cgroup::Unusable(why) => {
            let command = boot_with(&facts.os, "systemd.unified_cgroup_hierarchy=1");
            return Finding::ok("cgroup", "unusable").at(Level::Fail, why).mended_by(command);
        }
        Cgroup::Unified(controllers) => ("v2", controllers),
        Cgroup::Hybrid(controllers) => ("v1 and v2 (hybrid)", controllers),
    };
    let found = Finding::ok("cgroup", format!("{text}: {}", controllers.join(", ")));
    let missing: Vec<_> = CONTROLLERS.into_iter().filter(|wanted| !controllers.contains(wanted)).collect();
    if missing.is_empty() {
        if matches!(facts.cgroup, Cgroup::Hybrid(_)) {
            let command = boot_with(&facts.os, "systemd.unified_cgroup_hierarchy=1");
            let message = "memory cannot be reserved for pods (memoryReservationPolicy), nor buffered writes limited, without v2 alone";
            return found.at(Level::Note, message).mended_by(command);
        }
        return found;
    }
    let message = format!("limits of {} mean nothing here: the kernel does not count them", missing.join(" and "));
    let enable: Vec<_> = missing.iter().map(|name| format!("cgroup_enable={name}")).collect();
    found.at(Level::Fail, message).mended_by(boot_with(&facts.os, &enable.join(" ")))
}

fn pressure(facts: &Facts) -> Finding {
    if facts.pressure {
        return Finding::ok("pressure (PSI)", "counted");
    }
    let message = "nobody can see which pods wait for CPU, memory or disks";
    let found = Finding::ok("pressure (PSI)", "not counted").at(Level::Warn, message);
    found.mended_by(boot_with(&facts.os, "psi=1"))
}

/// The command that adds a parameter of the kernel, by the distribution's own tool.
fn boot_with(os: &Os, parameter: &str) -> String {
    let is = |families: &[&str]| os.family.iter().any(|id| families.contains(&id.as_str()));
    if is(&["rhel", "fedora"]) {
        return format!("grubby --update-kernel=ALL --args=\"{parameter}\" && reboot");
    }
    let make = if is(&["debian"]) { "update-grub" } else { "grub2-mkconfig -o /boot/grub2/grub.cfg" };
    format!("sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{parameter} /' /etc/default/grub && {make} && reboot")
}

fn systemd(facts: &Facts) -> Finding {
    if facts.systemd {
        return Finding::ok("systemd", "runs this host");
    }
    let message = "something else must start barepodd again when it ends, and end pods before the host goes down";
    Finding::ok("systemd", "does not run this host").at(Level::Note, message)
}

fn daemon(facts: &Facts, own_version: &str) -> Finding {
    match &facts.daemon {
        Daemon::Unknown => Finding::ok("barepodd", "not asked"),
        Daemon::Runs { version } if version == own_version => Finding::ok("barepodd", format!("runs, {version}")),
        Daemon::Runs { version } => Finding::ok("barepodd", format!("runs, {version}"))
            .at(Level::Warn, format!("this command is of version {own_version}; no service stops when the daemon does"))
            .mended_by("systemctl restart barepod"),
        Daemon::Away(why) => {
            let found = Finding::ok("barepodd", "does not answer").at(Level::Warn, why);
            if facts.systemd { found.mended_by("systemctl enable --now barepod") } else { found }
        }
    }
}

fn clock(facts: &Facts) -> Option<Finding> {
    if facts.clock? {
        return Some(Finding::ok("clock", "synchronised"));
    }
    let message = "certificates, leases and the times of logs depend on it";
    let found = Finding::ok("clock", "not synchronised").at(Level::Warn, message);
    Some(if facts.systemd { found.mended_by("timedatectl set-ntp true") } else { found.mended_by("chronyd") })
}

fn open_files(files: OpenFiles, systemd: bool) -> Finding {
    let whose =
        if files.of_daemon { "barepodd's, which pods inherit" } else { "this command's; barepodd may have another" };
    let found = Finding::ok("open files", format!("{} at most ({whose})", files.hard));
    if !files.of_daemon || files.hard >= FILES_WANTED {
        return found;
    }
    let found =
        found.at(Level::Warn, format!("databases keep more files and connections open; {FILES_WANTED} is little"));
    if !systemd {
        return found.mended_by("ulimit -Hn 1048576, in what starts barepodd");
    }
    found.mended_by(
        "mkdir -p /etc/systemd/system/barepod.service.d && printf '[Service]\\nLimitNOFILE=1048576\\n' > \
         /etc/systemd/system/barepod.service.d/nofile.conf && systemctl daemon-reload && systemctl restart barepod",
    )
}

fn huge_pages(pages: HugePages) -> Finding {
    let HugePages { total, free, size } = pages;
    Finding::ok("huge pages", format!("{total} of {}, {free} of them free", Bytes(size)))
}

/// What a directory lies on, and how much is left there.
fn disk(disk: &Disk) -> Vec<Finding> {
    let (mount, path) = (&disk.mount, disk.paths.first().map(|path| path.display().to_string()).unwrap_or_default());
    let more = match disk.paths.len() {
        0 | 1 => String::new(),
        paths => format!(" and {} more", paths - 1),
    };
    let found =
        Finding::ok("disk", format!("{path}{more}: {} on {}, {}", mount.file_system, mount.source, options(disk)));
    let point = mount.point.display();
    let has = |option: &str| mount.options.contains(option);
    let first = if has("ro") {
        let message = "nothing can be written here";
        found.at(Level::Fail, message).mended_by(format!("mount -o remount,rw {point}"))
    } else if has("nobarrier") || has("barrier=0") {
        let message = "a power cut can lose what a database was told is safe: writes are not flushed to the device";
        found.at(Level::Fail, message).mended_by(format!("mount -o remount,barrier {point}, and mend /etc/fstab"))
    } else {
        match mount.file_system.as_str() {
            "tmpfs" | "ramfs" => found.at(Level::Fail, "it lies in memory: data and ledger are gone with a boot"),
            "overlay" | "aufs" => found.at(
                Level::Warn,
                "the first write to a file copies all of it; give the data a file system of their own",
            ),
            "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" => {
                found.at(Level::Warn, "it lies on another host: locks and syncs are only as good as the network")
            }
            name if name.starts_with("fuse") => {
                found.at(Level::Warn, "every read and write goes through another process")
            }
            _ if has("sync") => found
                .at(Level::Warn, "every write waits for the device, also those that need not")
                .mended_by(format!("mount -o remount,async {point}, and mend /etc/fstab")),
            "btrfs" if !has("nodatacow") => found
                .at(Level::Note, "copy on write spreads the pages of a database over the disk")
                .mended_by(format!("chattr +C {path}, before there are data in it")),
            _ if has("strictatime") => found
                .at(Level::Note, "every read writes the time of it")
                .mended_by(format!("mount -o remount,relatime {point}, and mend /etc/fstab")),
            _ => found,
        }
    };
    std::iter::once(first).chain(space(disk, &path)).collect()
}

/// Those that say something about a disk.
fn options(disk: &Disk) -> String {
    let telling = ["rw", "ro", "noatime", "relatime", "strictatime", "sync", "nobarrier", "barrier=0", "nodatacow"];
    let all = telling.into_iter().filter(|option| disk.mount.options.contains(*option));
    all.collect::<Vec<_>>().join(",")
}

fn space(disk: &Disk, path: &str) -> Vec<Finding> {
    let Some(space) = disk.space else { return Vec::new() };
    let share = |part: u64, whole: u64| part.saturating_mul(100).checked_div(whole).unwrap_or(100);
    let gib = |bytes: u64| format!("{}.{} GiB", bytes >> 30, ((bytes % (1 << 30)) * 10) >> 30);
    let (left, inodes) = (share(space.bytes_available, space.bytes), share(space.inodes_free, space.inodes));
    let text = format!("{left} % of {} left, {inodes} % of inodes", gib(space.bytes));
    let found = Finding::ok("space", text);
    let look = |what: &str| format!("du -x{what}d1 {path} | sort -n, and take away what nobody needs");
    if left < SPACE_WANTED {
        let message = format!("with less than {SPACE_WANTED} % the host says that it is short, and takes no more pods");
        return vec![found.at(Level::Warn, message).mended_by(look("h").replace("sort -n", "sort -h"))];
    }
    if inodes < INODES_WANTED {
        let message = format!("with less than {INODES_WANTED} % of its inodes the host says that it is short");
        return vec![found.at(Level::Warn, message).mended_by(look(" --inodes -"))];
    }
    vec![found]
}

fn preset(in_use: &InUse) -> OfPreset {
    let (preset, findings) = match &in_use.wants {
        Ok(HostWants { preset, wants }) => (preset.clone(), wants.iter().map(wanted).collect()),
        Err(error) => (in_use.image.clone(), vec![unknown(error)]),
    };
    OfPreset { preset, pods: in_use.pods.clone(), findings }
}

fn wanted(want: &Want) -> Finding {
    let Some(found) = &want.found else { return Finding::ok(&want.of, "not on this host, and not wanted then") };
    let finding = Finding { wants: want.wants.clone(), ..Finding::ok(&want.of, found) };
    let Some(unmet) = &want.unmet else { return finding };
    let level = if unmet.refuses { Level::Fail } else { Level::Warn };
    match &unmet.command {
        Some(command) => finding.at(level, &unmet.message).mended_by(command),
        None => finding.at(level, format!("{}; {}", unmet.message, unmet.hint)),
    }
}

/// Its software is missing, or the preset itself.
fn unknown(error: &RequestError) -> Finding {
    let (about, found) = match error.reason {
        Reason::VersionNotInstalled => ("software", "not installed"),
        _ => ("preset", "does not work"),
    };
    let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    Finding::ok(about, found).at(Level::Fail, format!("{}{hint}", error.message))
}

#[cfg(test)]
mod tests;
