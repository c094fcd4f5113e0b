//! What a datagram of sd_notify(3) says. Pure, total and bounded: bytes in, a value out.
//!
//! Lines of `NAME=value`. As in systemd, the first line of a name counts, a line that makes no sense is left out while the
//! others count, and names that are not known are skipped: services send words of later systemd releases, and their own.

use std::time::Duration;

/// The longest datagram that is read (systemd's `NOTIFY_BUFFER_MAX`).
pub const LONGEST: usize = 4096;
/// The most bytes of a text that are kept; people read it, and it is told again with each later word.
pub const LONGEST_TEXT: usize = 1024;
/// The longest time that is believed. A longer one, also `infinity`, counts as this.
pub const LONGEST_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// One datagram's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// `READY=1`.
    pub ready: bool,
    /// `RELOADING=1`.
    pub reloading: bool,
    /// `STOPPING=1`.
    pub stopping: bool,
    /// `STATUS=`; may be empty, which takes the former one back.
    pub status: Option<String>,
    /// `ERRNO=`.
    pub errno: Option<i32>,
    /// `BUSERROR=`.
    pub bus_error: Option<String>,
    /// `VARLINKERROR=`.
    pub varlink_error: Option<String>,
    /// `MAINPID=`, in the sender's PID namespace.
    pub main_pid: Option<u32>,
    /// `WATCHDOG=`.
    pub watchdog: Option<Watchdog>,
    /// `WATCHDOG_USEC=`.
    pub watchdog_timeout: Option<Duration>,
    /// `EXTEND_TIMEOUT_USEC=`.
    pub extend: Option<Duration>,
    /// `BARRIER=1`, and nothing else.
    pub barrier: bool,
    /// `FDSTORE=1` or `FDSTOREREMOVE=1`.
    pub store: bool,
    /// The first name whose value makes no sense.
    pub fault: Option<&'static str>,
}

/// `WATCHDOG=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// `1`: it is alive.
    Alive,
    /// `trigger`: it has found that it is not well.
    Trigger,
}

/// Why a datagram is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWords {
    /// Longer than [`LONGEST`].
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// A NUL that is not at its end.
    #[error("it has a NUL byte inside")]
    Nul,
}

/// Reads a datagram.
///
/// # Errors
/// When nothing in it can be believed.
pub fn parse(datagram: &[u8]) -> Result<Words, NoWords> {
    if datagram.len() > LONGEST {
        return Err(NoWords::TooLong);
    }
    let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    if text.contains(&0) {
        return Err(NoWords::Nul);
    }
    let mut reader = Reader::default();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        reader.lines += 1;
        if let Some(at) = line.iter().position(|&byte| byte == b'=') {
            reader.take(&line[..at], &line[at + 1..]);
        }
    }
    let mut words = reader.words;
    // It says that all before it has been dealt with: with other words beside it, nobody could tell what that means.
    if words.barrier && reader.lines != 1 {
        words.barrier = false;
        words.fault.get_or_insert("BARRIER");
    }
    Ok(words)
}

#[derive(Default)]
struct Reader {
    words: Words,
    lines: usize,
    /// Names that have come, by their place in [`NAMES`].
    seen: u32,
}

const NAMES: [&str; 14] = [
    "READY",
    "RELOADING",
    "STOPPING",
    "STATUS",
    "ERRNO",
    "BUSERROR",
    "VARLINKERROR",
    "MAINPID",
    "WATCHDOG",
    "WATCHDOG_USEC",
    "EXTEND_TIMEOUT_USEC",
    "BARRIER",
    "FDSTORE",
    "FDSTOREREMOVE",
];

impl Reader {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let Some(at) = NAMES.iter().position(|known| known.as_bytes() == name) else { return };
        let bit = 1 << at;
        if self.seen & bit != 0 {
            return;
        }
        self.seen |= bit;
        if !self.believe(NAMES[at], value) {
            self.words.fault.get_or_insert(NAMES[at]);
        }
    }

    /// Whether the value makes sense; then it counts.
    fn believe(&mut self, name: &str, value: &[u8]) -> bool {
        let words = &mut self.words;
        match name {
            "READY" => flag(&mut words.ready, value),
            "RELOADING" => flag(&mut words.reloading, value),
            "STOPPING" => flag(&mut words.stopping, value),
            "BARRIER" => flag(&mut words.barrier, value),
            "FDSTORE" | "FDSTOREREMOVE" => flag(&mut words.store, value),
            "STATUS" => keep(&mut words.status, text(value)),
            "BUSERROR" => keep(&mut words.bus_error, text(value)),
            "VARLINKERROR" => keep(&mut words.varlink_error, text(value)),
            "ERRNO" => keep(&mut words.errno, number(value).filter(|errno| (0..=4095).contains(errno))),
            "MAINPID" => keep(&mut words.main_pid, number(value).filter(|&pid: &u32| pid > 0)),
            "WATCHDOG" => keep(&mut words.watchdog, watchdog(value)),
            "WATCHDOG_USEC" => keep(&mut words.watchdog_timeout, time(value)),
            "EXTEND_TIMEOUT_USEC" => keep(&mut words.extend, time(value)),
            _ => true,
        }
    }
}

fn flag(place: &mut bool, value: &[u8]) -> bool {
    *place = value == b"1";
    *place
}

fn keep<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

fn watchdog(value: &[u8]) -> Option<Watchdog> {
    match value {
        b"1" => Some(Watchdog::Alive),
        b"trigger" => Some(Watchdog::Trigger),
        _ => None,
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    let digits = value.first()?.is_ascii_digit();
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn time(value: &[u8]) -> Option<Duration> {
    if value == b"infinity" {
        return Some(LONGEST_TIME);
    }
    number(value).map(|micros| Duration::from_micros(micros).min(LONGEST_TIME))
}

/// Control characters are shown as spaces: the text goes to terminals and into tables.
fn text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let mut clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while clean.len() > LONGEST_TEXT {
        clean.pop();
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Words {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_word_of_the_protocol_is_understood() {
        let words = said(
            "READY=1\nRELOADING=1\nSTOPPING=1\nSTATUS=all is well\nERRNO=2\nBUSERROR=org.x\nVARLINKERROR=org.y\n\
             MAINPID=42\nWATCHDOG=1\nWATCHDOG_USEC=2000000\nEXTEND_TIMEOUT_USEC=500000\nFDSTORE=1\n",
        );
        assert!(words.ready && words.reloading && words.stopping && words.store);
        assert_eq!(words.status.as_deref(), Some("all is well"));
        assert_eq!((words.errno, words.main_pid), (Some(2), Some(42)));
        assert_eq!((words.bus_error.as_deref(), words.varlink_error.as_deref()), (Some("org.x"), Some("org.y")));
        assert_eq!(words.watchdog, Some(Watchdog::Alive));
        assert_eq!(words.watchdog_timeout, Some(Duration::from_secs(2)));
        assert_eq!(words.extend, Some(Duration::from_millis(500)));
        assert_eq!(words.fault, None);
    }

    #[test]
    fn unknown_names_and_lines_without_a_value_are_skipped() {
        assert_eq!(said("X_OURS=1\nnothing\n=\n\nMONOTONIC_USEC=1\nREADY=1"), said("READY=1"));
    }

    #[test]
    fn what_makes_no_sense_is_named_and_the_rest_counts() {
        for (text, name) in [
            ("MAINPID=-1", "MAINPID"),
            ("MAINPID=0", "MAINPID"),
            ("MAINPID=+1", "MAINPID"),
            ("WATCHDOG=maybe", "WATCHDOG"),
            ("WATCHDOG_USEC=99999999999999999999999", "WATCHDOG_USEC"),
            ("EXTEND_TIMEOUT_USEC=", "EXTEND_TIMEOUT_USEC"),
            ("ERRNO=5000", "ERRNO"),
            ("STOPPING=yes", "STOPPING"),
        ] {
            let words = said(&format!("{text}\nREADY=1"));
            assert_eq!(words, Words { ready: true, fault: Some(name), ..Words::default() }, "{text}");
        }
    }

    #[test]
    fn of_two_lines_of_a_name_the_first_counts() {
        assert_eq!(said("STATUS=a\nSTATUS=b").status.as_deref(), Some("a"));
        assert_eq!(said("WATCHDOG=no\nWATCHDOG=1").watchdog, None);
    }

    #[test]
    fn a_barrier_stands_alone() {
        assert!(said("BARRIER=1").barrier);
        assert!(said("BARRIER=1\n").barrier);
        let beside = said("BARRIER=1\nREADY=1");
        assert!(!beside.barrier && beside.ready);
        assert_eq!(beside.fault, Some("BARRIER"));
    }

    #[test]
    fn texts_are_cut_and_shown_without_control_characters() {
        assert_eq!(said("STATUS=a\x1b[2Jb\tc").status.as_deref(), Some("a [2Jb c"));
        let long = format!("STATUS={}", "ä".repeat(900));
        let status = said(&long).status.unwrap();
        assert!(status.len() <= LONGEST_TEXT && status.chars().all(|c| c == 'ä'));
        assert_eq!(parse(b"STATUS=\xff").unwrap().fault, Some("STATUS"));
        assert_eq!(said("STATUS=").status.as_deref(), Some(""));
    }

    #[test]
    fn no_time_is_longer_than_is_believed() {
        assert_eq!(said("EXTEND_TIMEOUT_USEC=infinity").extend, Some(LONGEST_TIME));
        assert_eq!(said(&format!("WATCHDOG_USEC={}", u64::MAX)).watchdog_timeout, Some(LONGEST_TIME));
    }

    #[test]
    fn a_nul_at_the_end_is_a_c_string_and_one_inside_is_nonsense() {
        assert!(parse(b"READY=1\0").unwrap().ready);
        assert_eq!(parse(b"READY=1\0STOPPING=1"), Err(NoWords::Nul));
    }

    #[test]
    fn a_datagram_is_read_up_to_its_longest() {
        assert!(parse(&[b'x'; LONGEST]).is_ok());
        assert_eq!(parse(&[b'x'; LONGEST + 1]), Err(NoWords::TooLong));
    }
}
