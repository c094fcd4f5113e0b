//! The forms of `-o`.

use super::columns::Columns;
use crate::jsonpath::Template;

/// How things are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    Table,
    Wide,
    Name,
    Json,
    Yaml,
    /// A template, and what it was read from.
    Template {
        template: Template,
        text: String,
    },
    Columns(Columns),
}

/// Forms without a text of their own.
const PLAIN: [(&str, Form); 4] =
    [("json", Form::Json), ("yaml", Form::Yaml), ("wide", Form::Wide), ("name", Form::Name)];
/// Forms with one, and what it is.
const WITH_TEXT: [(&str, &str); 3] =
    [("jsonpath", "TEMPLATE"), ("jsonpath-file", "FILE"), ("custom-columns", "HEADING:PATH,...")];

impl Form {
    /// Reads what stands after `-o`.
    ///
    /// # Errors
    /// What to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, form)) = PLAIN.into_iter().find(|(name, _)| *name == text) {
            return Ok(form);
        }
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let Some((_, what)) = WITH_TEXT.into_iter().find(|(known, _)| *known == name) else {
            return Err(format!("write {}", Self::words().collect::<Vec<_>>().join(", ")));
        };
        if value.is_empty() {
            return Err(format!("write {name}={what}"));
        }
        match name {
            "jsonpath" => Self::template(value.to_owned()),
            "jsonpath-file" => {
                // An editor ends the last line, which is no part of what is to be printed.
                let text = fs_err::read_to_string(value).map_err(|error| error.to_string())?;
                Self::template(text.strip_suffix('\n').unwrap_or(&text).to_owned())
            }
            _ => Columns::parse(value).map(Form::Columns),
        }
    }

    /// What can be written, for people.
    pub(crate) fn words() -> impl Iterator<Item = String> {
        let with_text = WITH_TEXT.into_iter().map(|(name, what)| format!("{name}={what}"));
        PLAIN.into_iter().map(|(name, _)| name.to_owned()).chain(with_text)
    }

    /// Rows under headings, rather than text for programs.
    pub(crate) fn is_table(&self) -> bool {
        match self {
            Form::Table | Form::Wide => true,
            Form::Name | Form::Json | Form::Yaml | Form::Template { .. } | Form::Columns(_) => false,
        }
    }

    fn template(text: String) -> Result<Self, String> {
        Template::parse(&text).map(|template| Form::Template { template, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "{.kind}\n").unwrap();
        let form = Form::parse(&format!("jsonpath-file={}", file.path().display())).unwrap();
        assert_eq!(form, Form::parse("jsonpath={.kind}").unwrap());
    }

    #[test]
    fn a_wrong_form_is_answered_with_those_that_there_are() {
        for (text, said) in [
            ("table", "write json, yaml, wide, name, jsonpath=TEMPLATE"),
            ("jsonpath", "write jsonpath=TEMPLATE"),
            ("custom-columns=", "write custom-columns=HEADING:PATH"),
            ("jsonpath={.a", "character 1: this brace is not closed"),
            ("jsonpath-file=/no/such/file", "/no/such/file"),
            ("json=x", "write json, yaml"),
        ] {
            let error = Form::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
