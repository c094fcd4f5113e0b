//! The CRI log format: `<RFC 3339 time> <stdout|stderr> <P|F> <content>\n`. P is a part of a line that goes on.
//!
//! All lines of one read carry one time. Lines longer than 16 KiB are cut into parts, as containerd does.

use crate::time::Civil;

/// Most bytes of content in one record.
pub const MAX_CONTENT: usize = 16 * 1024;
/// Bytes before the content.
pub const PREFIX: usize = 40;
/// Most bytes of one record.
pub const MAX_RECORD: usize = PREFIX + MAX_CONTENT + 1;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As it stands in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whether a record ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// The line goes on in the next record of its stream.
    Partial,
    /// It ends here.
    Full,
}

/// Whether more input may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// An unfinished line waits for the rest.
    GoesOn,
    /// An unfinished line is all there will be: a part that goes on in nothing, as containerd has it, so that who puts the records
    /// together has what was written, without a line end that was not.
    Ended,
}

/// What an encoding did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes of the input that are done.
    pub consumed: usize,
    /// Records.
    pub records: u64,
    /// Bytes of content, without line ends.
    pub content: u64,
}

impl Progress {
    fn add(&mut self, piece: Piece) {
        self.consumed += piece.length;
        self.content += piece.content as u64;
        self.records += 1;
    }
}

/// Makes records of one stream with one time.
#[derive(Debug, Clone)]
pub struct Encoder {
    full: [u8; PREFIX],
    partial: [u8; PREFIX],
}

impl Encoder {
    /// For what was read from `stream` at this time (nanoseconds since 1970).
    #[must_use]
    pub fn new(stream: Stream, time_ns: i64) -> Self {
        let full = prefix(stream, time_ns, b'F');
        let mut partial = full;
        partial[PREFIX - 2] = b'P';
        Self { full, partial }
    }

    /// Appends records to `out` as long as they fit into its capacity, which is never changed.
    pub fn encode(&self, input: &[u8], more: Input, out: &mut Vec<u8>) -> Progress {
        let mut progress = Progress::default();
        while let Some(piece) = next_piece(&input[progress.consumed..], more) {
            if out.capacity() - out.len() < piece.record() {
                break;
            }
            let content = &input[progress.consumed..progress.consumed + piece.content];
            out.extend_from_slice(match piece.tag {
                Tag::Full => &self.full,
                Tag::Partial => &self.partial,
            });
            out.extend_from_slice(content);
            out.push(b'\n');
            progress.add(piece);
        }
        progress
    }
}

/// What an encoding does that has room for so many bytes.
#[must_use]
pub fn measure(input: &[u8], more: Input, room: usize) -> Progress {
    let mut progress = Progress::default();
    let mut left = room;
    while let Some(piece) = next_piece(&input[progress.consumed..], more)
        && piece.record() <= left
    {
        left -= piece.record();
        progress.add(piece);
    }
    progress
}

/// The first record's worth of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of content.
    pub content: usize,
    /// The same with the line end.
    pub length: usize,
    /// What it will be.
    pub tag: Tag,
}

impl Piece {
    /// Bytes of its record.
    #[must_use]
    pub fn record(&self) -> usize {
        PREFIX + self.content + 1
    }
}

/// Finds it; `None` when there is nothing, or the line is unfinished.
#[must_use]
pub fn next_piece(input: &[u8], more: Input) -> Option<Piece> {
    let window = &input[..input.len().min(MAX_CONTENT + 1)];
    if let Some(end) = find_line_end(window) {
        return Some(Piece { content: end, length: end + 1, tag: Tag::Full });
    }
    if window.len() > MAX_CONTENT {
        return Some(Piece { content: MAX_CONTENT, length: MAX_CONTENT, tag: Tag::Partial });
    }
    let rest = window.len();
    (more == Input::Ended && rest > 0).then_some(Piece { content: rest, length: rest, tag: Tag::Partial })
}

/// Blocks are tested as a whole first, which the compiler does with vector instructions.
fn find_line_end(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        if block.iter().fold(false, |found, &byte| found | (byte == b'\n')) {
            return block.iter().position(|&byte| byte == b'\n').map(|at| index * BLOCK + at);
        }
    }
    rest.iter().position(|&byte| byte == b'\n').map(|at| blocks.len() * BLOCK + at)
}

fn prefix(stream: Stream, time_ns: i64, tag: u8) -> [u8; PREFIX] {
    let mut text = [b' '; PREFIX];
    text[..30].copy_from_slice(&format_time(time_ns));
    text[31..37].copy_from_slice(stream.name().as_bytes());
    text[38] = tag;
    text
}

/// A time as `2026-01-02T03:04:05.000000006Z`: always nine digits, so that all records have their columns at one place.
#[must_use]
pub fn format_time(time_ns: i64) -> [u8; 30] {
    let civil = Civil::from_unix_ns(time_ns);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    for (range, value) in [
        (0..4, civil.year.clamp(0, 9999) as u32),
        (5..7, civil.month),
        (8..10, civil.day),
        (11..13, civil.hour),
        (14..16, civil.minute),
        (17..19, civil.second),
        (20..29, civil.nanosecond),
    ] {
        put_digits(&mut text[range], value);
    }
    text
}

pub(crate) fn put_digits(place: &mut [u8], mut value: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// One record, as it stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// Its stream.
    pub stream: Stream,
    /// Whether it ends a line.
    pub tag: Tag,
    /// What the service wrote, without the line end.
    pub content: &'a [u8],
}

/// Reads a line without its line end; `None` when it is no record. Times may have any offset and up to nine digits, and
/// more tags than one, separated by `:`, as the format allows.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let (time, rest) = split_at_space(line)?;
    let (stream, rest) = split_at_space(rest)?;
    let (tags, content) = split_at_space(rest)?;
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let tag = match tags.split(|&byte| byte == b':').next()? {
        b"F" => Tag::Full,
        b"P" => Tag::Partial,
        _ => return None,
    };
    Some(Record { time_ns: parse_time(time)?, stream, tag, content })
}

fn split_at_space(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Reads a time of RFC 3339; nanoseconds since 1970.
#[must_use]
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| parse_number(text.get(range)?);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, separator)| text.get(at) != Some(&separator)) {
        return None;
    }
    let (nanosecond, offset) = parse_fraction(text.get(19..)?)?;
    let civil = Civil {
        year: number(0..4)?.into(),
        month: number(5..7)?,
        day: number(8..10)?,
        hour: number(11..13)?,
        minute: number(14..16)?,
        second: number(17..19)?,
        nanosecond,
    };
    civil.unix_ns()?.checked_sub(parse_offset(offset)?)
}

fn parse_number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

fn parse_fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let scale = 10_u32.pow(9 - digits as u32);
    Some((parse_number(&rest[..digits])? * scale, &rest[digits..]))
}

/// In nanoseconds.
fn parse_offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text.split_first()? {
        (b'Z', []) => return Some(0),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let [_, _, b':', _, _] = rest else { return None };
    let minutes = i64::from(parse_number(&rest[..2])?) * 60 + i64::from(parse_number(&rest[3..])?);
    Some(sign * minutes * 60 * 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: i64 = 1_767_323_045_000_000_006;

    fn encode(input: &[u8], more: Input, capacity: usize) -> (Vec<u8>, Progress) {
        let mut out = Vec::with_capacity(capacity);
        let progress = Encoder::new(Stream::Stderr, TIME).encode(input, more, &mut out);
        (out, progress)
    }

    #[test]
    fn a_line_becomes_a_record_with_nine_digits_and_z() {
        let (out, progress) = encode(b"hello\n", Input::GoesOn, 1000);

        assert_eq!(out, b"2026-01-02T03:04:05.000000006Z stderr F hello\n");
        assert_eq!(progress, Progress { consumed: 6, records: 1, content: 5 });
    }

    #[test]
    fn what_is_encoded_is_parsed_back() {
        let (out, _) = encode(b"a b  c\n\nx\n", Input::GoesOn, 1000);

        let records: Vec<_> = out.split(|&byte| byte == b'\n').filter_map(parse).collect();

        let contents: Vec<_> = records.iter().map(|record| record.content).collect();
        assert_eq!(contents, [&b"a b  c"[..], b"", b"x"]);
        assert!(records.iter().all(|r| r.time_ns == TIME && r.stream == Stream::Stderr && r.tag == Tag::Full));
    }

    #[test]
    fn an_unfinished_line_waits_unless_the_input_has_ended() {
        assert_eq!(encode(b"one\ntw", Input::GoesOn, 1000).1.consumed, 4);
        assert_eq!(encode(b"one\ntw", Input::Ended, 1000).1.consumed, 6);
        assert!(encode(b"tw", Input::Ended, 1000).0.ends_with(b" P tw\n"));
    }

    #[test]
    fn a_long_line_is_cut_into_parts_and_only_the_last_is_full() {
        let line = [vec![b'x'; 2 * MAX_CONTENT], b"\n".to_vec()].concat();

        let (out, progress) = encode(&line, Input::GoesOn, 100_000);

        let tags: Vec<_> = out.split(|&b| b == b'\n').filter_map(parse).map(|r| (r.tag, r.content.len())).collect();
        assert_eq!(tags, [(Tag::Partial, MAX_CONTENT), (Tag::Full, MAX_CONTENT)]);
        assert_eq!(progress.consumed, line.len());
    }

    #[test]
    fn exactly_the_longest_line_is_not_cut() {
        let line = [vec![b'x'; MAX_CONTENT], b"\n".to_vec()].concat();

        assert_eq!(encode(&line[..MAX_CONTENT], Input::GoesOn, 100_000).1.consumed, 0);
        assert_eq!(encode(&line, Input::GoesOn, 100_000).1.records, 1);
    }

    #[test]
    fn a_full_buffer_ends_between_records_and_never_grows() {
        let (out, progress) = encode(b"hello\nworld\n", Input::GoesOn, 60);

        assert_eq!(progress.consumed, 6);
        assert!(out.ends_with(b"hello\n") && out.capacity() == 60);
    }

    #[test]
    fn measuring_says_what_encoding_does() {
        let input = b"hello\nworld\n\nrest";
        for room in 0..300 {
            let mut out = Vec::with_capacity(room);
            assert_eq!(out.capacity(), room);
            let encoder = Encoder::new(Stream::Stdout, TIME);
            assert_eq!(measure(input, Input::Ended, room), encoder.encode(input, Input::Ended, &mut out));
        }
    }

    #[test]
    fn line_ends_are_found_at_every_place() {
        for length in 0..100 {
            let mut bytes = vec![b'x'; length];
            assert_eq!(find_line_end(&bytes), None);
            for at in 0..length {
                bytes[at] = b'\n';
                assert_eq!(find_line_end(&bytes), Some(at));
                bytes[at] = b'x';
            }
        }
    }

    #[test]
    fn times_with_offsets_and_short_fractions_are_read() {
        for text in ["2026-01-02T03:04:05.5Z", "2026-01-02T04:34:05.500+01:30", "2026-01-02T02:04:05.500000000-01:00"] {
            assert_eq!(parse_time(text.as_bytes()), Some(1_767_323_045_500_000_000), "{text}");
        }
        for text in
            ["", "2026", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05.Z"]
        {
            assert_eq!(parse_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_and_never_a_panic() {
        let good = b"2026-01-02T03:04:05.000000006Z stderr F hello";
        for end in 0..good.len() - 5 {
            assert_eq!(parse(&good[..end]), None);
        }
        assert_eq!(parse(b"2026-01-02T03:04:05.000000006Z stdin F hello"), None);
        assert_eq!(parse(b"2026-01-02T03:04:05.000000006Z stdout X hello"), None);
    }
}
