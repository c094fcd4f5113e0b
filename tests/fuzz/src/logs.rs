//! Container logs: read line by line and file by file, and written from whatever a service says.

use barepod_logs::cri::{Encoder, Input, Stream, Tag, parse};
use barepod_logs::files;
use barepod_logs::reader::{AtEnd, Options, Reader, Step};

use crate::ledger::memory;

/// The bytes as a log file, and as what a service wrote.
pub(crate) fn cri_log(data: &[u8]) {
    for record in data.split(|byte| *byte == b'\n').filter_map(parse) {
        assert!(record.content.len() < data.len(), "a record is longer than its file");
    }
    written_and_read(data);
    read_as_file(data);
}

/// What a service writes comes back as it was, cut into records or not.
fn written_and_read(data: &[u8]) {
    let mut file = Vec::with_capacity(data.len() * 64 + 4096);
    let progress = Encoder::new(Stream::Stdout, 1_700_000_000_000_000_000).encode(data, Input::Ended, &mut file);
    assert_eq!(progress.consumed, data.len(), "there is room");
    let mut back = Vec::new();
    for line in file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record = parse(line).expect("what was written is a record");
        back.extend_from_slice(record.content);
        if record.tag == Tag::Full {
            back.push(b'\n');
        }
    }
    assert!(back == data, "{:?} came back as {:?}", data, back);
}

/// However broken a file is, a reader comes to its end; the last lines are the last of all lines.
fn read_as_file(data: &[u8]) {
    let scratch = tempfile::tempdir_in(memory()).expect("a scratch directory");
    fs_err::write(files::current(scratch.path(), 0), data).expect("room");
    let read = |options| -> Vec<_> {
        let mut reader = Reader::open(scratch.path(), 0, options).expect("it is there");
        let mut lines = Vec::new();
        loop {
            match reader.step().expect("it can be read") {
                Step::Line(line) => lines.push(line),
                Step::WouldWait { .. } | Step::End => return lines,
            }
        }
    };
    let all = read(Options::default());
    let tail = read(Options { tail: Some(2), ..Options::default() });
    assert!(all.ends_with(&tail), "the last ones are not the last");
    let since = read(Options { since_ns: Some(0), limit_bytes: Some(100), ..Options::default() });
    assert!(since.len() <= all.len());
    assert!(read(Options { at_end: AtEnd::Wait, ..Options::default() }) == all);
}
