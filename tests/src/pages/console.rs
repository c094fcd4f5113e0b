//! A session at a terminal as a page shows it, and whether what was printed is what it shows.
//!
//! A line `...` stands for any lines, `...` within a line for anything. How wide a table's columns are is no part of what a page
//! says.

use std::fmt::Write as _;

use similar::TextDiff;

use super::Placed;

/// What stands for anything.
const ANY: &str = "...";

/// A command, and what it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command; more than one line if the page has those.
    pub command: String,
    /// The lines below it.
    pub expected: Vec<String>,
}

/// The steps of a block whose first line this is.
///
/// # Errors
/// The block does not begin with a command: the line, and what is wrong.
pub fn steps(first: usize, text: &str) -> Result<Vec<Placed<Step>>, Placed<String>> {
    let mut steps: Vec<Placed<Step>> = Vec::new();
    for (line, content) in (first..).zip(text.lines()) {
        let command = content.strip_prefix("# ").or_else(|| content.strip_prefix("$ "));
        match (command, steps.last_mut()) {
            (Some(command), _) => {
                let step = Step { command: command.to_owned(), expected: Vec::new() };
                steps.push(Placed { line, what: step });
            }
            (None, Some(Placed { what: step, .. })) => match content.strip_prefix("> ") {
                Some(more) if step.expected.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                _ => step.expected.push(content.to_owned()),
            },
            (None, None) => {
                let message = "a console block begins with a command: `# ` or `$ ` and what is typed".to_owned();
                return Err(Placed { line, what: message });
            }
        }
    }
    Ok(steps)
}

/// Whether these lines are what a page shows.
pub fn fits(expected: &[String], printed: &[String]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((line, rest)), _) if line == ANY => {
            fits(rest, printed) || printed.split_first().is_some_and(|(_, later)| fits(expected, later))
        }
        (Some(_), None) => false,
        (Some((line, rest)), Some((said, later))) => line_fits(&narrow(line), &narrow(said)) && fits(rest, later),
    }
}

/// The lines side by side, for whoever mends the page.
pub fn difference(expected: &[String], printed: &[String]) -> String {
    // What is elided is shown as it was printed, where the rest of its line fits.
    let shown: Vec<_> = printed
        .iter()
        .map(|said| {
            expected.iter().find(|line| *line != ANY && line_fits(&narrow(line), &narrow(said))).unwrap_or(said)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
    let mut text = String::new();
    for change in TextDiff::from_lines(&expected, &shown.concat()).iter_all_changes() {
        let _ = write!(text, "    {}{}", change.tag(), change.value());
    }
    text
}

/// Whether a line is what another one elides.
fn line_fits(pattern: &str, line: &str) -> bool {
    let Some((head, tail)) = pattern.split_once(ANY) else { return pattern == line };
    let Some(rest) = line.strip_prefix(head) else { return false };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.map(|at| &rest[at..]).any(|rest| line_fits(tail, rest))
}

/// A line with one space where columns have more; how far it is indented stays, what comes after its end does not.
fn narrow(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let words: Vec<_> = line.split_whitespace().collect();
    format!("{}{}", &line[..indent], words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn commands_have_their_line_and_what_they_print() {
        let steps = steps(7, "# one\nsaid\n$ two \\\n> more\n# three\n").unwrap();

        let shown: Vec<_> =
            steps.iter().map(|step| (step.line, &*step.what.command, step.what.expected.len())).collect();
        assert_eq!(shown, [(7, "one", 1), (9, "two \\\nmore", 0), (11, "three", 0)]);
    }

    #[test]
    fn a_block_that_begins_with_no_command_is_told_with_its_line() {
        assert_eq!(steps(7, "barepod get pods\n").unwrap_err().line, 7);
    }

    #[test]
    fn dots_stand_for_lines_and_for_parts_of_one_and_columns_may_be_wider() {
        for (expected, printed, fit) in [
            ("a\nb", "a\nb", true),
            ("a\nb", "a\nc", false),
            ("a", "a\nb", false),
            ("a\nb", "a", false),
            ("a\n...", "a", true),
            ("...\nb\n...\nd", "a\nb\nc\nd", true),
            ("...\nb\n...\nd", "a\nb\nd\nc", false),
            ("pid ... since ...", "pid 17 since now", true),
            ("pid ...", "pod 17", false),
            ("NAME  READY", "NAME     READY  ", true),
            ("  NAME", "NAME", false),
            ("", "", true),
        ] {
            assert_eq!(fits(&lines(expected), &lines(printed)), fit, "{expected:?} {printed:?}");
        }
    }

    #[test]
    fn a_difference_shows_what_is_other_and_not_what_was_elided() {
        let text = difference(&lines("pid ...\nb"), &lines("pid 17\nc"));

        assert_eq!(text, "     pid ...\n    -b\n    +c\n");
    }
}
