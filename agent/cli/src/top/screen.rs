//! The terminal while a view renews itself: another screen, so that what was there before is there again afterwards.

use std::io::{self, Write as _};

use crate::terminal::Raw;

/// Alternate screen on, cursor off (xterm, and all that follow it).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
/// The rest of a line, the rest of the screen.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// The other screen, as long as this lives.
pub(crate) struct Screen {
    /// Keys come as they are pressed.
    _raw: Option<Raw>,
}

impl Screen {
    pub(crate) fn enter() -> io::Result<Self> {
        let raw = Raw::enter();
        write(ENTER)?;
        Ok(Self { _raw: raw })
    }

    /// Shows a text that fits.
    pub(crate) fn show(&self, lines: &[String]) -> io::Result<()> {
        let body = lines.join(&format!("{CLEAR_LINE}\r\n"));
        write(&format!("{HOME}{body}{CLEAR_LINE}{CLEAR_BELOW}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing better can be done if the terminal has gone.
        write(LEAVE).ok();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What of a text has room on so many rows and columns; the last row says how much has not.
pub(crate) fn fit(text: &str, rows: usize, columns: usize) -> Vec<String> {
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    let lines: Vec<_> = text.lines().collect();
    if lines.len() <= rows {
        return lines.into_iter().map(cut).collect();
    }
    let shown = rows.saturating_sub(1);
    let more = format!("... and {} more lines", lines.len() - shown);
    lines[..shown].iter().copied().chain([more.as_str()]).take(rows).map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_the_terminal() {
        assert_eq!(fit("one\ntwo\nthree\n", 3, 4), ["one", "two", "thre"]);
        assert_eq!(fit("one\ntwo\nthree\n", 2, 80), ["one", "... and 2 more lines"]);
        assert_eq!(fit("one\ntwo\n", 1, 7), ["... and"]);
        assert_eq!(fit("one\n", 0, 80), [""; 0]);
    }
}
