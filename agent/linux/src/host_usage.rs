//! What the whole host uses, as procfs has it. What cannot be read is missing.

use std::path::Path;

use crate::cgroup::{Awaited, Measured, host_pressure};

/// The kernel's unit of CPU time in `/proc/stat`: USER_HZ is 100 on every architecture that barepod runs on.
const TICK_NS: u64 = 10_000_000;

/// What the host uses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostUsage {
    /// Seconds since 1970 at which it booted.
    pub booted: Option<i64>,
    /// CPU, memory, swap, processes, pressure.
    pub measured: Measured,
    /// Bytes of memory there are.
    pub memory: u64,
    /// Bytes of swap space that are free.
    pub swap_free: Option<u64>,
    /// The most processes and threads that the kernel lets be.
    pub processes_max: u64,
    /// Its network interfaces but the loopback; that of the default route first.
    pub interfaces: Vec<Interface>,
}

/// A network interface; numbers since it is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

/// What went through an interface in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were bad.
    pub errors: u64,
    /// Packets for which there was no room.
    pub dropped: u64,
}

/// Looks below `proc`, normally `/proc`.
#[must_use]
pub fn host_usage(proc: &Path) -> HostUsage {
    let text = |name: &str| std::fs::read_to_string(proc.join(name)).unwrap_or_default();
    let (stat, table, faults) = (text("stat"), text("meminfo"), text("vmstat"));
    let mut measured = Measured::default();
    cpu(&stat, &mut measured);
    let kib = |name: &str| field(&table, name).and_then(|value| value.strip_suffix("kB")?.trim().parse::<u64>().ok());
    let bytes = |name: &str| kib(name).map(|kib| kib << 10);
    let without = |all: Option<u64>, free: Option<u64>| Some(all?.saturating_sub(free?));
    measured.memory = without(bytes("MemTotal:"), bytes("MemFree:"));
    measured.inactive_file = bytes("Inactive(file):");
    (measured.rss, measured.mapped_file) = (bytes("AnonPages:"), bytes("Mapped:"));
    measured.cache = bytes("Cached:");
    measured.swap = without(bytes("SwapTotal:"), bytes("SwapFree:"));
    let number = |text: &str, name: &str| field(text, name).and_then(|value| value.parse().ok());
    measured.page_faults = number(&faults, "pgfault ");
    measured.major_page_faults = number(&faults, "pgmajfault ");
    measured.oom_kills = number(&faults, "oom_kill ");
    let threads = text("loadavg");
    let threads = threads.split_whitespace().nth(3).and_then(|word| word.split_once('/'));
    measured.processes = threads.and_then(|(_, all)| all.parse().ok());
    let stall = |of| host_pressure(proc, of).ok().flatten();
    measured.cpu_stall = stall(Awaited::Cpu);
    measured.memory_stall = stall(Awaited::Memory);
    measured.io_stall = stall(Awaited::Io);
    HostUsage {
        booted: field(&stat, "btime ").and_then(|value| value.parse().ok()),
        measured,
        memory: bytes("MemTotal:").unwrap_or(0),
        swap_free: bytes("SwapFree:"),
        processes_max: text("sys/kernel/pid_max").trim().parse().unwrap_or(0),
        interfaces: interfaces(&text("net/dev"), &text("net/route")),
    }
}

/// What stands behind a word at the begin of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// `cpu user nice system idle iowait irq softirq steal`: all but the two that are none.
fn cpu(stat: &str, measured: &mut Measured) {
    let ticks: Option<Vec<u64>> =
        field(stat, "cpu ").and_then(|line| line.split_whitespace().map(|word| word.parse().ok()).collect());
    let Some([user, nice, system, _, _, irq, soft_irq, steal, ..]) = ticks.as_deref() else { return };
    let ns = |ticks: u64| Some(ticks.saturating_mul(TICK_NS));
    measured.cpu_user_ns = ns(user + nice);
    measured.cpu_system_ns = ns(system + irq + soft_irq);
    measured.cpu_ns = ns(user + nice + system + irq + soft_irq + steal);
}

fn interfaces(table: &str, routes: &str) -> Vec<Interface> {
    let read = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let figures: Vec<u64> = figures.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let (received, sent) = (traffic(figures.get(..8)?)?, traffic(figures.get(8..)?)?);
        Some(Interface { name: name.trim().to_owned(), received, sent })
    };
    let mut all: Vec<_> = table.lines().filter_map(read).filter(|interface| interface.name != "lo").collect();
    let mut words = routes.lines().map(|line| line.split_whitespace());
    let default = words.find_map(|mut words| words.next().filter(|_| words.next() == Some("00000000")));
    all.sort_by_key(|interface| Some(interface.name.as_str()) != default);
    all
}

/// `bytes packets errs drop ...`.
fn traffic(figures: &[u64]) -> Option<Traffic> {
    let [bytes, packets, errors, dropped, ..] = *figures else { return None };
    Some(Traffic { bytes, packets, errors, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_procfs_says_is_read_and_what_it_lacks_is_missing() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("net")).unwrap();
        for (name, text) in [
            ("stat", "cpu  100 1 20 5000 7 3 4 5 0 0\ncpu0 9 9 9\nbtime 1700000000\n"),
            ("meminfo", "MemTotal: 100 kB\nMemFree: 40 kB\nInactive(file): 8 kB\nSwapTotal: 10 kB\nSwapFree: 7 kB\n"),
            ("vmstat", "pgfault 12\npgmajfault 3\n"),
            ("loadavg", "0.1 0.2 0.3 1/980 77\n"),
            (
                "net/dev",
                "Inter-| Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                 wlan0: 5 1 2 4 0 0 0 0 6 7 3 8 0 0 0 0\n  eth0: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n",
            ),
            ("net/route", "Iface\tDestination\nwlan0\t0001A8C0\neth0\t00000000\n"),
        ] {
            std::fs::write(proc.path().join(name), text).unwrap();
        }
        let found = host_usage(proc.path());
        assert_eq!(found.booted, Some(1_700_000_000));
        let measured = found.measured;
        assert_eq!((measured.cpu_ns, measured.cpu_user_ns), (Some(133 * TICK_NS), Some(101 * TICK_NS)));
        assert_eq!((measured.memory, measured.inactive_file, measured.rss), (Some(60 << 10), Some(8 << 10), None));
        assert_eq!((measured.swap, found.swap_free), (Some(3 << 10), Some(7 << 10)));
        assert_eq!((measured.page_faults, measured.major_page_faults), (Some(12), Some(3)));
        assert_eq!((measured.processes, measured.cpu_stall), (Some(980), None));
        let names: Vec<_> = found.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["eth0", "wlan0"]);
        let wlan = &found.interfaces[1];
        assert_eq!(wlan.received, Traffic { bytes: 5, packets: 1, errors: 2, dropped: 4 });
        assert_eq!(wlan.sent, Traffic { bytes: 6, packets: 7, errors: 3, dropped: 8 });
        assert_eq!(host_usage(Path::new("/no/such/proc")), HostUsage::default());
    }
}
