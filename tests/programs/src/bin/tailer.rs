//! Follows a log while it is written, as a log forwarder does, and checks that no line is missing, doubled or torn:
//! `tailer DIRECTORY LINES`, for attempt 0 in that directory and the lines of `lines`.
//!
//! When the last line has been read it prints the monotonic clock, in nanoseconds, and ends.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use barepod_logs::cri::Tag;
use barepod_logs::reader::{AtEnd, Options, Reader, Step};
use barepod_test_programs::stamp::monotonic;

/// Between two looks at a log that has not grown.
const PAUSE: Duration = Duration::from_millis(1);
/// A log that does not grow for so long is all there is.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = || io::Error::other("usage: tailer DIRECTORY LINES");
    let directory = arguments.next().ok_or_else(usage)?;
    let lines = arguments.next().and_then(|lines| lines.to_str()?.parse().ok()).ok_or_else(usage)?;
    follow(Path::new(&directory), lines, PATIENCE)?;
    println!("{}", monotonic()?.as_nanos());
    Ok(())
}

fn follow(directory: &Path, lines: usize, patience: Duration) -> io::Result<()> {
    let options = Options { at_end: AtEnd::Wait, ..Options::default() };
    let mut reader = Reader::open(directory, 0, options)?;
    let (mut number, mut pieces, mut still_since) = (0, Vec::new(), None);
    while number < lines {
        match reader.step()? {
            Step::Line(line) => {
                still_since = None;
                pieces.extend_from_slice(&line.content);
                if line.tag == Tag::Full {
                    check(&pieces, number)?;
                    pieces.clear();
                    number += 1;
                }
            }
            Step::WouldWait { .. } if still_since.get_or_insert_with(Instant::now).elapsed() < patience => {
                std::thread::sleep(PAUSE);
            }
            Step::WouldWait { .. } | Step::End => {
                return Err(io::Error::other(format!("the log ended after {number} of {lines} lines")));
            }
        }
    }
    Ok(())
}

/// The line begins with its number.
fn check(line: &[u8], number: usize) -> io::Result<()> {
    let digits = line.get(..10).and_then(|digits| std::str::from_utf8(digits).ok());
    match digits.and_then(|digits| digits.parse::<usize>().ok()) {
        Some(found) if found == number => Ok(()),
        Some(found) => Err(io::Error::other(format!("line {found} stands where {number} belongs"))),
        None => Err(io::Error::other(format!("line {number} is torn"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-01T00:00:00.000000000Z stdout";

    fn followed(log: &str) -> io::Result<()> {
        let directory = std::env::temp_dir().join(format!("tailer-{}-{:?}", std::process::id(), Instant::now()));
        std::fs::create_dir(&directory)?;
        std::fs::write(directory.join("0.log"), log)?;
        let followed = follow(&directory, 2, Duration::ZERO);
        std::fs::remove_dir_all(directory)?;
        followed
    }

    #[test]
    fn a_log_is_complete_only_with_all_its_lines_in_order() {
        followed(&format!("{TIME} F 0000000000..\n{TIME} F 0000000001..\n")).unwrap();
        for (log, why) in [
            (format!("{TIME} F 0000000000..\n"), "one is missing"),
            (format!("{TIME} F 0000000001..\n{TIME} F 0000000000..\n"), "out of order"),
            (format!("{TIME} F 0000000000..\n{TIME} F 0000000000..\n"), "doubled"),
            (format!("{TIME} F 0000000000..\n{TIME} F 00000"), "torn"),
        ] {
            assert!(followed(&log).is_err(), "{why}");
        }
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        followed(&format!("{TIME} F 0000000000..\n{TIME} P 00000\n{TIME} F 00001..\n")).unwrap();
    }
}
