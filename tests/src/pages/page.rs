//! A page as it is written.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Something of a page, and its line there, counted from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The line.
    pub line: usize,
    /// What stands there.
    pub what: T,
}

/// A block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A session at a terminal.
    Console(String),
    /// Commands that no test can run.
    Shell(String),
    /// A file.
    File {
        /// Its name, as the page calls it.
        name: String,
        /// What is in it.
        text: String,
    },
    /// Something else.
    Other(String),
}

/// A Markdown file.
#[derive(Debug)]
pub struct Page {
    /// Where it is, from the root of the repository.
    pub path: PathBuf,
    /// Its blocks of code in their order; the line is that of the first line within.
    pub blocks: Vec<Placed<Block>>,
    /// Pieces of code within text.
    pub codes: Vec<Placed<String>>,
    /// Where its links lead.
    pub links: Vec<Placed<String>>,
    /// What links to its headings are called.
    pub anchors: Vec<String>,
}

/// The root of the repository.
pub(super) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// All pages of the repository, as git knows them or would.
///
/// # Errors
/// git does not answer, or one cannot be read.
pub fn all() -> io::Result<Vec<Page>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "*.md"];
    let output = std::process::Command::new("git").args(list).current_dir(root()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    names.lines().map(Path::new).filter(|path| root().join(path).is_file()).map(Page::read).collect()
}

impl Page {
    /// Reads a page of the repository.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(path, &fs_err::read_to_string(root().join(path))?))
    }

    /// A page of this text.
    pub fn parse(path: &Path, text: &str) -> Self {
        let page = Self { path: path.to_owned(), blocks: vec![], codes: vec![], links: vec![], anchors: vec![] };
        let mut reader = Reader { page, text, named: None, last: None, taken: HashMap::new() };
        let mut events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
        while let Some((event, range)) = events.next() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => reader.block(&info, &range, &mut events),
                Event::Start(Tag::Heading { .. }) => reader.heading(&mut events),
                other => reader.text(other, &range),
            }
        }
        reader.page
    }
}

/// The way through a page.
struct Reader<'a> {
    page: Page,
    text: &'a str,
    /// The file that the last paragraph ends with.
    named: Option<String>,
    /// The last piece of code, if nothing but a colon has come since.
    last: Option<String>,
    /// How often a heading's anchor was there.
    taken: HashMap<String, usize>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    fn placed<T>(&self, range: &Range<usize>, what: T) -> Placed<T> {
        Placed { line: self.line(range.start), what }
    }

    fn text(&mut self, event: Event<'_>, range: &Range<usize>) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                let link = self.placed(range, dest_url.into_string());
                self.page.links.push(link);
            }
            Event::Code(code) => {
                self.last = Some(code.to_string());
                let code = self.placed(range, code.into_string());
                self.page.codes.push(code);
            }
            Event::Text(text) if &*text == ":" => self.named = self.last.take(),
            Event::End(TagEnd::Paragraph) => {}
            _ => (self.named, self.last) = (None, None),
        }
    }

    fn heading<'a>(&mut self, events: &mut impl Iterator<Item = (Event<'a>, Range<usize>)>) {
        let mut title = String::new();
        for (event, range) in events {
            match event {
                Event::End(TagEnd::Heading(_)) => break,
                Event::Text(ref text) | Event::Code(ref text) => title.push_str(text),
                _ => {}
            }
            self.text(event, &range);
        }
        let anchor = anchor(&title);
        let before = self.taken.entry(anchor.clone()).or_default();
        let name = if *before == 0 { anchor } else { format!("{anchor}-{before}") };
        *before += 1;
        self.page.anchors.push(name);
    }

    fn block<'a>(
        &mut self,
        info: &str,
        range: &Range<usize>,
        events: &mut impl Iterator<Item = (Event<'a>, Range<usize>)>,
    ) {
        let mut text = String::new();
        for (event, _) in events {
            match event {
                Event::Text(piece) => text.push_str(&piece),
                _ => break,
            }
        }
        let block = match (info.split_whitespace().next().unwrap_or_default(), self.named.take()) {
            ("console", _) => Block::Console(text),
            ("sh", _) => Block::Shell(text),
            (_, Some(name)) => Block::File { name, text },
            _ => Block::Other(text),
        };
        let line = self.line(range.start) + 1;
        self.page.blocks.push(Placed { line, what: block });
        self.last = None;
    }
}

/// A heading's anchor, as GitHub makes it.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A page\n\nLook at [this](../x.md#y), `barepod get pods` and `hello.yaml`:\n\n```yaml\na: b\n```\n\n\
        ```console\n# barepod get pods\nNAME\n```\n\n## Twice `x`, it's said\n\n```yaml\nc: d\n```\n\n## Twice `x`, it's said\n\n```sh\nbarepod version\n```\n";

    #[test]
    fn blocks_have_their_kind_their_name_and_their_line() {
        let page = Page::parse(Path::new("x.md"), PAGE);

        let expected = [
            (6, Block::File { name: "hello.yaml".into(), text: "a: b\n".into() }),
            (10, Block::Console("# barepod get pods\nNAME\n".into())),
            (17, Block::Other("c: d\n".into())),
            (23, Block::Shell("barepod version\n".into())),
        ];
        let expected = expected.map(|(line, what)| Placed { line, what });
        assert_eq!(page.blocks, expected);
    }

    #[test]
    fn links_and_pieces_of_code_have_their_line_and_headings_their_anchors() {
        let page = Page::parse(Path::new("x.md"), PAGE);

        assert_eq!(page.links, [Placed { line: 3, what: "../x.md#y".to_owned() }]);
        let codes: Vec<_> = page.codes.iter().map(|code| (code.line, code.what.as_str())).collect();
        assert_eq!(codes, [(3, "barepod get pods"), (3, "hello.yaml"), (14, "x"), (20, "x")]);
        assert_eq!(page.anchors, ["a-page", "twice-x-its-said", "twice-x-its-said-1"]);
    }
}
