//! kubectl's dialect of JSONPath, which is older than RFC 9535 and another language: a template of plain text in which braces
//! hold what is looked up. Names, lists and results are those of kubectl's documentation:
//!
//! | in braces | is |
//! |---|---|
//! | `.a`, `['a']`, `['a','b']` | fields; a dot within a name is written `\.` |
//! | `$`, `@` | the whole object; the present one, which may be left out |
//! | `[0]`, `[-1]`, `[0,2]`, `[1:3]`, `[::2]`, `[*]` | elements of a list |
//! | `.*`, `..a` | all fields; that field however deep |
//! | `[?(@.a=="b")]` | those elements of a list of which that is true: `==` `!=` `<` `<=` `>` `>=`, or there is one |
//! | `range .a[*]`, `end` | what stands between them, for each |
//! | `"\n"` | text |
//!
//! What is not there is no error: nothing is printed. Several results are printed with blanks between them, lists and
//! objects as JSON.

mod filter;
mod look;
mod parse;
mod path;

use std::fmt;

use serde_json::Value;

pub(crate) use path::Path;

/// A whole template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Part>);

/// A part of one.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Print(Path),
    Range { over: Path, body: Vec<Part> },
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The byte at which it begins.
    at: usize,
    message: String,
}

impl Fault {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    /// With its place for a person, who counts characters and lines from 1.
    fn told(&self, text: &str) -> String {
        let before = &text[..text.floor_char_boundary(self.at)];
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place = match before.matches('\n').count() {
            0 => format!("character {column}"),
            lines => format!("line {}, character {column}", lines + 1),
        };
        format!("{place}: {}", self.message)
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, where, and what is right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::template(text).map(Self).map_err(|fault| fault.told(text))
    }

    /// What it makes of an object. `text` is what it was read from.
    ///
    /// # Errors
    /// Which part of the template does not fit the object.
    pub(crate) fn render(&self, object: &Value, text: &str) -> Result<String, String> {
        let mut out = String::new();
        print(&self.0, look::Scope::of(object), &mut out).map_err(|fault| fault.told(text))?;
        Ok(out)
    }
}

impl Path {
    /// Reads a path alone, as options take it: with braces or without, with its first dot or without.
    ///
    /// # Errors
    /// As for a template.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::path(text).map_err(|fault| fault.told(text))
    }

    /// What it finds in an object; nothing where it does not fit.
    pub(crate) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        look::find(self, look::Scope::of(object)).unwrap_or_default()
    }
}

fn print(parts: &[Part], scope: look::Scope<'_>, out: &mut String) -> Result<(), Fault> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Print(path) => {
                let found = look::find(path, scope)?;
                out.push_str(&found.into_iter().map(|value| Shown(value).to_string()).collect::<Vec<_>>().join(" "));
            }
            Part::Range { over, body } => {
                for current in look::find(over, scope)? {
                    print(body, scope.at(current), out)?;
                }
            }
        }
    }
    Ok(())
}

/// A value as a shell wants it: text without quotes.
pub(crate) struct Shown<'a>(pub(crate) &'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests;
