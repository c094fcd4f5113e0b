//! Words of sd_notify(3): whoever runs in a container may send any bytes for them.

use barepod_shim::notify::parse::{LONGEST, LONGEST_TEXT, LONGEST_TIME, NoWords, Words, parse};

/// The bytes as one datagram.
pub(crate) fn notify(data: &[u8]) {
    let text = data.strip_suffix(b"\0").unwrap_or(data);
    let words = match parse(data) {
        Ok(words) => words,
        Err(NoWords::TooLong) => return assert!(data.len() > LONGEST, "{} bytes are not too many", data.len()),
        Err(NoWords::Nul) => return assert!(text.contains(&0), "there is no NUL inside"),
    };
    assert!(data.len() <= LONGEST && !text.contains(&0), "what is none has words");
    keeps_its_bounds(&words);
    stands_more_lines(text, &words);
}

fn keeps_its_bounds(words: &Words) {
    for told in [&words.status, &words.bus_error, &words.varlink_error].into_iter().flatten() {
        assert!(told.len() <= LONGEST_TEXT && !told.contains(char::is_control), "{told:?} goes to a terminal");
    }
    for time in [words.watchdog_timeout, words.extend].into_iter().flatten() {
        assert!(time <= LONGEST_TIME, "{time:?}");
    }
    assert_ne!(words.main_pid, Some(0), "nobody is process 0");
    if words.barrier {
        assert_eq!(*words, Words { barrier: true, ..Words::default() }, "a barrier stands alone");
    }
}

/// What has been said is not changed by lines behind it: names that are not known, and names that have come before.
fn stands_more_lines(text: &[u8], words: &Words) {
    let more = [text, b"\nX_UNKNOWN=1\n", text].concat();
    if words.barrier || more.len() > LONGEST {
        return;
    }
    let same = parse(&more).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(same, *words);
}
