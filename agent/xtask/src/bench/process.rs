//! What a process has and has used, as /proc says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Private dirty memory of the whole process, in kB.
pub(super) fn private_dirty(pid: u32) -> anyhow::Result<f64> {
    let text = fs_err::read_to_string(of(pid, "smaps_rollup"))?;
    value(&text, "Private_Dirty:").context("no Private_Dirty in smaps_rollup")
}

/// Dirty memory of some processes that share it with nobody else, in kB: what several of them have counts once.
pub(super) fn dirty_together(pids: &[u32]) -> anyhow::Result<f64> {
    pids.iter().try_fold(0.0, |sum, pid| {
        let text = fs_err::read_to_string(of(*pid, "smaps_rollup"))?;
        let share = value(&text, "Pss_Dirty:").context("no Pss_Dirty in smaps_rollup")?;
        Ok(sum + share)
    })
}

/// What is a process's alone, and its part of what it shares with others, in kB.
pub(super) fn share(pid: u32) -> anyhow::Result<f64> {
    let text = fs_err::read_to_string(of(pid, "smaps_rollup"))?;
    value(&text, "Pss:").context("no Pss in smaps_rollup")
}

/// Children of a process that run the same program.
pub(super) fn copies_of(pid: u32) -> anyhow::Result<Vec<u32>> {
    let text = fs_err::read_to_string(of(pid, &format!("task/{pid}/children")))?;
    let program = |pid| std::fs::read_link(of(pid, "exe")).ok();
    let children = text.split_whitespace().filter_map(|child| child.parse().ok());
    Ok(children.filter(|child| program(*child) == program(pid)).collect())
}

/// Resident memory, in kB.
pub(super) fn resident(pid: u32) -> anyhow::Result<f64> {
    let text = fs_err::read_to_string(of(pid, "status"))?;
    value(&text, "VmRSS:").context("no VmRSS in status")
}

/// The process's parent.
pub(super) fn parent(pid: Pid) -> anyhow::Result<u32> {
    let text = fs_err::read_to_string(of(pid.as_raw().unsigned_abs(), "status"))?;
    let parent = value(&text, "PPid:").context("no PPid in status")?;
    Ok(parent as u32)
}

/// What a process of one thread has spent, user and system, by the scheduler's own count in nanoseconds.
pub(super) fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let text = fs_err::read_to_string(of(pid, "schedstat"))?;
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).context("no processor time in schedstat")
}

/// What all threads of a process have spent, those that have ended too, in steps of a tick (10 ms).
pub(super) fn processor_time_of_all_threads(pid: u32) -> anyhow::Result<Duration> {
    let text = fs_err::read_to_string(of(pid, "stat"))?;
    let ticks = ticks(&text).context("no processor time in stat")?;
    let second = sysconf(SysconfVar::CLK_TCK)?.context("no length of a tick")?;
    Ok(Duration::from_secs_f64(ticks as f64 / second as f64))
}

/// utime and stime, fields 14 and 15; the name, field 2, may hold anything but ends at the last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? + fields.next()??)
}

fn of(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// The number behind a name at the beginning of a line.
fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_their_names() {
        let text = "00400000-7ffe ---p 00000000 00:00 0  [rollup]\nRss: 3 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty:      96 kB\n";

        assert_eq!(value(text, "Private_Dirty:"), Some(96.0));
        assert_eq!(value("Rss: 3 kB\n", "Private_Dirty:"), None);
        assert!(private_dirty(std::process::id()).unwrap() > 0.0);
        assert!(resident(std::process::id()).unwrap() > 0.0);
        assert!(dirty_together(&[std::process::id()]).unwrap() > 0.0);
    }

    #[test]
    fn the_time_of_a_process_is_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 0 1 2 3 4 50 6 7 8";

        assert_eq!(ticks(stat), Some(56));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_child_s_parent_is_this_process() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let parent = parent(Pid::from_raw(child.id() as i32));
        assert!(!copies_of(std::process::id()).unwrap().contains(&child.id()), "it runs another program");
        child.kill().unwrap();
        child.wait().unwrap();

        assert_eq!(parent.unwrap(), std::process::id());
    }
}
