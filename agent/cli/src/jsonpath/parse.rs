//! Reading templates.

use serde_json::Value;

use super::filter::{Filter, OPERATORS, Operand};
use super::path::{Path, Placed, Root, Step};
use super::{Fault, Part};

/// The whole text.
pub(super) fn template(text: &str) -> Result<Vec<Part>, Fault> {
    let mut reader = Reader { text, at: 0 };
    let parts = reader.parts(None)?;
    if !parts.iter().any(|part| !matches!(part, Part::Text(_))) && !text.contains('{') {
        let hint = if text.trim_start().starts_with(['.', '$', '@']) { text.trim() } else { ".metadata.name" };
        return Err(Fault::new(0, format!("nothing of this is in braces, and so all is text; write {{{hint}}}")));
    }
    Ok(parts)
}

/// One path, with or without braces and its first dot.
pub(super) fn path(text: &str) -> Result<Path, Fault> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    let in_braces = reader.takes("{");
    reader.blanks();
    let path = reader.path(true)?;
    reader.blanks();
    if in_braces && !reader.takes("}") {
        return Err(reader.fault("the brace is not closed here"));
    }
    reader.blanks();
    if reader.rest().is_empty() { Ok(path) } else { Err(reader.fault("the path has an end before this")) }
}

/// A text, and how far it is read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// Up to the end of the text, or to the `end` of the range that began at `range`.
    fn parts(&mut self, range: Option<usize>) -> Result<Vec<Part>, Fault> {
        let mut parts = Vec::new();
        loop {
            let Some(length) = self.rest().find('{') else {
                push_text(&mut parts, self.rest());
                self.at = self.text.len();
                return match range {
                    None => Ok(parts),
                    Some(at) => Err(Fault::new(at, "this range has no end; write {end} after what stands in it")),
                };
            };
            push_text(&mut parts, &self.rest()[..length]);
            self.at += length;
            let brace = self.at;
            self.at += 1;
            self.blanks();
            let quote = self.peek().filter(|c| matches!(c, '"' | '\''));
            if self.takes_word("end") {
                self.close(brace)?;
                match range {
                    Some(_) => return Ok(parts),
                    None => return Err(Fault::new(brace, "there is no range that this could end")),
                }
            } else if self.takes_word("range") {
                self.blanks();
                let over = self.path(true)?;
                self.close(brace)?;
                let body = self.parts(Some(brace))?;
                parts.push(Part::Range { over, body });
            } else if let Some(quote) = quote {
                push_text(&mut parts, &self.quoted(quote)?);
                self.close(brace)?;
            } else {
                parts.push(Part::Print(self.path(false)?));
                self.close(brace)?;
            }
        }
    }

    fn close(&mut self, brace: usize) -> Result<(), Fault> {
        self.blanks();
        match self.peek() {
            Some('}') => {
                self.at += 1;
                Ok(())
            }
            None => Err(Fault::new(brace, "this brace is not closed")),
            Some(_) => Err(self.fault("each pair of braces holds one thing; write {.a}{.b}, or {.a}{\"text\"}")),
        }
    }

    /// A path; `relaxed` if its first dot may be missing.
    fn path(&mut self, relaxed: bool) -> Result<Path, Fault> {
        let root = if self.takes("$") {
            Root::Whole
        } else {
            self.takes("@");
            Root::Current
        };
        let mut steps = Vec::new();
        let begins = self.rest().starts_with(['.', '[']) || self.text[..self.at].ends_with(['$', '@']);
        if !begins {
            let at = self.at;
            let name = self.name();
            match (name.is_empty(), relaxed) {
                (true, _) => return Err(self.fault("a path is missing here; write for example .metadata.name")),
                (false, false) => return Err(Fault::new(at, format!("a path begins with a dot; write .{name}"))),
                (false, true) => steps.push(Placed { at, step: Step::Fields(vec![name]) }),
            }
        }
        loop {
            let at = self.at;
            if self.takes("..") {
                steps.push(Placed { at, step: Step::Descend });
                if !self.rest().starts_with('[') {
                    let step = self.field(at)?;
                    steps.push(Placed { at, step });
                }
            } else if self.takes(".") {
                // `.` alone is the present object.
                if steps.is_empty() && self.ends() {
                    return Ok(Path { root, steps });
                }
                if !self.rest().starts_with('[') {
                    let step = self.field(at)?;
                    steps.push(Placed { at, step });
                }
            } else if self.takes("[") {
                let step = self.brackets(at)?;
                steps.push(Placed { at, step });
            } else {
                return Ok(Path { root, steps });
            }
        }
    }

    /// Whether a path ends here.
    fn ends(&self) -> bool {
        self.peek().is_none_or(|c| matches!(c, '}' | ')') || c.is_whitespace())
    }

    fn field(&mut self, dot: usize) -> Result<Step, Fault> {
        if self.takes("*") {
            return Ok(Step::All);
        }
        let name = self.name();
        if name.is_empty() { Err(Fault::new(dot, "no name follows this dot")) } else { Ok(Step::Fields(vec![name])) }
    }

    /// A name without quotes; `\` takes the meaning from what follows.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let c = match c {
                '\\' => {
                    self.at += 1;
                    match self.peek() {
                        Some(c) => c,
                        None => break,
                    }
                }
                '.' | ',' | '[' | ']' | '{' | '}' | '(' | ')' | '$' | '@' | '=' | '!' | '<' | '>' | '\'' | '"'
                | '*' | '|' | '?' => break,
                c if c.is_whitespace() => break,
                c => c,
            };
            name.push(c);
            self.at += c.len_utf8();
        }
        name
    }

    /// What stands in brackets; `open` is where.
    fn brackets(&mut self, open: usize) -> Result<Step, Fault> {
        self.blanks();
        let step = match self.peek() {
            Some('*') => {
                self.at += 1;
                Step::All
            }
            Some('?') => Step::Filter(self.filter(open)?),
            Some('\'' | '"') => Step::Fields(self.names()?),
            _ => self.numbers()?,
        };
        self.blanks();
        if self.takes("]") {
            return Ok(step);
        }
        match self.peek() {
            None => Err(Fault::new(open, "this bracket is not closed")),
            Some(c) => Err(self.fault(&format!("`]` is missing before {c:?}"))),
        }
    }

    fn names(&mut self) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                Some(quote @ ('\'' | '"')) => names.push(self.quoted(quote)?),
                _ => return Err(self.fault("a name in quotes is missing here")),
            }
            self.blanks();
            if !self.takes(",") {
                return Ok(names);
            }
        }
    }

    /// `0`, `0,2`, `1:3`, `::2`.
    fn numbers(&mut self) -> Result<Step, Fault> {
        const WHAT: &str = "in brackets stands *, a number, a part like 1:3, a name in quotes or ?(@.a==\"b\")";
        let mut numbers = vec![self.number()?];
        self.blanks();
        if self.rest().starts_with(':') {
            return self.slice(numbers[0]);
        }
        while self.takes(",") {
            self.blanks();
            numbers.push(self.number()?);
            self.blanks();
        }
        let all: Option<Vec<_>> = numbers.into_iter().collect();
        all.map(Step::Elements).ok_or_else(|| self.fault(WHAT))
    }

    fn slice(&mut self, from: Option<i64>) -> Result<Step, Fault> {
        self.takes(":");
        self.blanks();
        let to = self.number()?;
        self.blanks();
        let at = self.at;
        let by = if self.takes(":") { self.number()? } else { None };
        let by = by.map_or(Ok(1), usize::try_from).ok().filter(|by| *by > 0);
        let by = by.ok_or_else(|| Fault::new(at, "the third number of a part is 1 or more"))?;
        Ok(Step::Slice { from, to, by })
    }

    fn number(&mut self) -> Result<Option<i64>, Fault> {
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = rest.len() - digits.len() + digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if length == rest.len() - digits.len() {
            return Ok(None);
        }
        let number = rest[..length].parse().map_err(|_| self.fault("this number is too large"))?;
        self.at += length;
        Ok(Some(number))
    }

    fn filter(&mut self, open: usize) -> Result<Filter, Fault> {
        self.at += 1;
        self.blanks();
        if !self.takes("(") {
            return Err(self.fault("a condition stands in parentheses: [?(@.a==\"b\")]"));
        }
        self.blanks();
        let left = self.operand()?;
        self.blanks();
        let operator = OPERATORS.iter().find(|(text, _)| self.takes(text)).map(|(_, operator)| *operator);
        self.blanks();
        let filter = match (operator, left) {
            (Some(operator), left) => Filter::Compare(left, operator, self.operand()?),
            (None, Operand::Path(path)) => Filter::Exists(path),
            (None, Operand::Value(_)) => return Err(self.fault("a comparison is missing here: == != < <= > >=")),
        };
        self.blanks();
        if self.takes(")") {
            return Ok(filter);
        }
        match self.peek() {
            None => Err(Fault::new(open, "this condition is not closed")),
            Some('=') => Err(self.fault("one = compares nothing; write ==")),
            Some('&' | '|') => {
                Err(self.fault("a condition is one comparison, here as in kubectl; write [?(..)][?(..)] for both"))
            }
            Some(c) => Err(self.fault(&format!("`)` is missing before {c:?}"))),
        }
    }

    fn operand(&mut self) -> Result<Operand, Fault> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => Ok(Operand::Value(Value::String(self.quoted(quote)?))),
            Some('@' | '$' | '.') => self.path(false).map(Operand::Path),
            _ => {
                let rest = self.rest();
                let length =
                    rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
                match serde_json::from_str(&rest[..length]) {
                    Ok(value) => {
                        self.at += length;
                        Ok(Operand::Value(value))
                    }
                    Err(_) => Err(self.fault("a path like @.name, a text in quotes or a number is missing here")),
                }
            }
        }
    }

    /// Text in quotes, with the escapes of Go's strings that anybody writes.
    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let begin = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(text),
                '\\' => {
                    let Some(escaped) = self.peek() else { break };
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        '\\' | '"' | '\'' => escaped,
                        other => {
                            return Err(Fault::new(
                                self.at - 1,
                                format!("there is no escape \\{other}; write \\n, \\t, \\r, \\\\, \\\" or \\'"),
                            ));
                        }
                    });
                    self.at += escaped.len_utf8();
                }
                c => text.push(c),
            }
        }
        Err(Fault::new(begin, format!("this text has no closing {quote}")))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.rest().starts_with(word);
        self.at += if is { word.len() } else { 0 };
        is
    }

    /// A word of the language, which is no beginning of a longer one.
    fn takes_word(&mut self, word: &str) -> bool {
        let after = self.rest().strip_prefix(word).map(|rest| rest.chars().next());
        let is = after.is_some_and(|next| next.is_none_or(|c| c == '}' || c.is_whitespace()));
        is && self.takes(word)
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new(self.at, message)
    }
}

/// Text beside text is one.
fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}
