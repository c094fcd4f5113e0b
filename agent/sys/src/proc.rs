//! What /proc says of a process and of this boot. Functions over its path, so that they can be tried on a directory.

use std::io;
use std::path::Path;

use crate::wait::Exit;

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Field 3: `R`, `S`, `Z`, ...
    pub state: char,
    /// Field 4.
    pub parent: u32,
    /// Field 22: clock ticks after boot. With the pid and the boot id it names a process for ever.
    pub start_ticks: u64,
    /// Field 52: how it ended, while it is a zombie.
    pub exit: Option<Exit>,
}

/// Reads it.
///
/// # Errors
/// As open(2), read(2); `InvalidData` when it is not as expected.
pub fn stat(proc: &Path, pid: u32) -> io::Result<Stat> {
    let text = std::fs::read(proc.join(pid.to_string()).join("stat"))?;
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The name of a process is in parentheses and may hold anything, also parentheses.
fn parse(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let state = field(3)?.chars().next()?;
    let exit = match state {
        'Z' => field(52).and_then(|code| code.parse().ok()).map(Exit::from_wait_status),
        _ => None,
    };
    Some(Stat { state, parent: field(4)?.parse().ok()?, start_ticks: field(22)?.parse().ok()?, exit })
}

/// Its numbers in all PID namespaces it is in, from that of `proc` to its own (`NSpid` of proc_pid_status(5)).
///
/// # Errors
/// As open(2), read(2); `InvalidData` when it is not as expected.
pub fn namespace_pids(proc: &Path, pid: u32) -> io::Result<Vec<u32>> {
    let text = std::fs::read(proc.join(pid.to_string()).join("status"))?;
    numbers(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The name of a process comes before, and has its line breaks escaped.
fn numbers(status: &str) -> Option<Vec<u32>> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

/// Names this boot.
///
/// # Errors
/// As open(2), read(2).
pub fn boot_id(proc: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(proc.join("sys/kernel/random/boot_id"))?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let tail = (5..=52).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");

        let stat = parse(&format!("42 (a) b) (c) S 7 {tail}\n")).unwrap();

        assert_eq!(stat, Stat { state: 'S', parent: 7, start_ticks: 22, exit: None });
    }

    #[test]
    fn only_a_zombie_has_an_exit() {
        let tail = |code: &str| (5..=51).map(|n| n.to_string()).chain([code.to_owned()]).collect::<Vec<_>>().join(" ");

        assert_eq!(parse(&format!("1 (x) Z 1 {}", tail("768"))).unwrap().exit, Some(Exit::Code(3)));
        assert_eq!(parse(&format!("1 (x) R 1 {}", tail("768"))).unwrap().exit, None);
    }

    #[test]
    fn this_process_has_a_parent_and_this_boot_a_name() {
        let stat = stat(Path::new("/proc"), std::process::id()).unwrap();

        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        assert_eq!(boot_id(Path::new("/proc")).unwrap().len(), 36);
    }

    #[test]
    fn a_process_has_a_number_in_each_pid_namespace() {
        assert_eq!(numbers("Name:\tNSpid: 9\nPid:\t12\nNSpid:\t12\t1\n"), Some(vec![12, 1]));
        assert_eq!(numbers("Name:\tx\n"), None);
        assert_eq!(namespace_pids(Path::new("/proc"), std::process::id()).unwrap().first(), Some(&std::process::id()));
    }

    #[test]
    fn cut_text_is_no_stat() {
        assert_eq!(parse("42 (a"), None);
        assert_eq!(parse("42 (a) S 1 2 3"), None);
    }
}
