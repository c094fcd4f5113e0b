//! What a page tells to type, held against the grammar of the programs: a renamed option is seen on every page.
//!
//! `--help` is put at a command's end, so that it is read word by word up to there and does nothing.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Block, Page, Placed, console};
use crate::programs::Built;

/// The programs that pages tell to call.
const PROGRAMS: [&str; 3] = ["barepod", "barepodd", "barepod-bridge"];

/// Every call of a program of barepod: in blocks for a shell, in sessions and in text.
pub fn calls(page: &Page) -> Vec<Placed<Vec<String>>> {
    let mut calls = Vec::new();
    let mut found = |line, text: &str| calls.extend(commands(text).map(|words| Placed { line, what: words }));
    for block in &page.blocks {
        match &block.what {
            Block::Shell(text) => joined(block.line, text).iter().for_each(|(line, text)| found(*line, text)),
            // What is wrong with a session itself, its own test tells.
            Block::Console(text) => {
                let steps = console::steps(block.line, text).unwrap_or_default();
                steps.iter().for_each(|step| found(step.line, &step.what.command.replace("\\\n", "")));
            }
            Block::File { .. } | Block::Other(_) => {}
        }
    }
    for code in &page.codes {
        calls.extend(commands(&code.what).map(|words| Placed { line: code.line, what: words }));
    }
    calls
}

/// What the program has against it.
///
/// # Errors
/// It cannot be run.
pub fn refusal(built: &Built, words: &[String]) -> io::Result<Option<String>> {
    let Some((program, args)) = words.split_first() else { return Ok(None) };
    let program = built.host(program).map_err(io::Error::other)?;
    refusal_of(&program, args)
}

fn refusal_of(program: &Path, args: &[String]) -> io::Result<Option<String>> {
    let own: Vec<_> = args.iter().take_while(|word| *word != "--").collect();
    let output = Command::new(program).args(own).arg("--help").stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then_some(said))
}

/// The lines of a block, those that go on after a backslash in one.
fn joined(first: usize, text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (line, text) in (first..).zip(text.lines()) {
        let goes_on = text.ends_with('\\');
        let text = text.trim_end_matches('\\');
        match lines.last_mut() {
            Some((_, whole)) if open => whole.push_str(text),
            _ => lines.push((line, text.to_owned())),
        }
        open = goes_on;
    }
    lines
}

/// The calls in a line, each as its words: also behind `|`, `&&`, `;`, and as another user.
fn commands(line: &str) -> impl Iterator<Item = Vec<String>> {
    let mut all = Vec::new();
    let mut words = Vec::new();
    for word in split(line) {
        match word {
            Word::Plain(word) => words.push(word),
            Word::End => all.push(std::mem::take(&mut words)),
        }
    }
    all.push(words);
    all.into_iter().filter_map(call)
}

/// A call of ours, without what is put before it and without what a page leaves open.
fn call(words: Vec<String>) -> Option<Vec<String>> {
    let begin = match words.first()?.as_str() {
        "runuser" | "sudo" => words.iter().position(|word| PROGRAMS.contains(&word.as_str()))?,
        _ => 0,
    };
    let words: Vec<_> = words.into_iter().skip(begin).take_while(|word| word != "...").collect();
    // Beyond the name alone, which is what a text is about and no call.
    (words.len() > 1 && PROGRAMS.contains(&words.first()?.as_str())).then_some(words)
}

enum Word {
    Plain(String),
    End,
}

/// Words as a shell makes them, as far as pages need it: quotes, comments, redirections, and what ends a command.
fn split(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    let mut word: Option<String> = None;
    let mut skip = false;
    let end = |word: &mut Option<String>, words: &mut Vec<Word>, skip: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(skip)
        {
            words.push(Word::Plain(word));
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let quoted: String = letters.by_ref().take_while(|next| *next != letter).collect();
                word.get_or_insert_default().push_str(&quoted);
            }
            '#' if word.is_none() => break,
            ' ' | '\t' => end(&mut word, &mut words, &mut skip),
            '|' | ';' | '&' => {
                end(&mut word, &mut words, &mut skip);
                words.push(Word::End);
            }
            '>' | '<' => {
                if word.as_deref() == Some("2") {
                    word = None;
                }
                end(&mut word, &mut words, &mut skip);
                skip = true;
                letters.next_if(|next| matches!(next, '&' | '>' | ' '));
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    end(&mut word, &mut words, &mut skip);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_where_they_stand() {
        let text = "`barepod` runs `barepod get pods`.\n\n```sh\n# barepod none\nbarepod apply -f 'a b.yaml'  # now\nkubectl get pods | barepod logs x >/dev/null 2>&1 && \\\n    barepodd --check-config\n```\n\n```console\n# runuser -u nobody -- barepod get pods\n```\n";
        let page = Page::parse(Path::new("x.md"), text);

        let calls: Vec<_> = calls(&page).into_iter().map(|call| (call.line, call.what.join("·"))).collect();

        let expected = [
            (5, "barepod·apply·-f·a b.yaml"),
            (6, "barepod·logs·x"),
            (6, "barepodd·--check-config"),
            (11, "barepod·get·pods"),
            (1, "barepod·get·pods"),
        ];
        assert_eq!(calls, expected.map(|(line, call)| (line, call.to_owned())));
    }
}
