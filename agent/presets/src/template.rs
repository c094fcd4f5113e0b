//! Templates and expressions: minijinja, strict about names that do not exist.

use std::collections::BTreeMap;

use barepod_model::{Reason, RequestError};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

use crate::error::{Fault, refuse};
use crate::file::Text;

/// What templates of a preset can see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope(BTreeMap<String, Value>);

impl Scope {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// A template's text.
    pub(crate) fn render(&self, text: &Text) -> Result<String, RequestError> {
        environment().render_str(&text.value, self.context()).map_err(|e| failed(text, &e))
    }

    /// The texts of several templates.
    pub(crate) fn render_all(&self, texts: &[Text]) -> Result<Vec<String>, RequestError> {
        texts.iter().map(|text| self.render(text)).collect()
    }

    /// An expression's value.
    pub(crate) fn value(&self, text: &Text) -> Result<Value, RequestError> {
        let environment = environment();
        let expression = environment.compile_expression(&text.value).map_err(|e| failed(text, &e))?;
        expression.eval(self.context()).map_err(|e| failed(text, &e))
    }

    /// Whether an expression is true.
    pub(crate) fn is_true(&self, text: &Text) -> Result<bool, RequestError> {
        self.value(text).map(|value| value.is_true())
    }

    fn context(&self) -> Value {
        Value::from_object(self.0.clone())
    }
}

/// A map as templates see it.
pub(crate) fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::from_object(entries.into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<_, _>>())
}

/// A template of a preset does not work on this request: the preset's fault, not the manifest's.
fn failed(text: &Text, error: &minijinja::Error) -> RequestError {
    let line = text.referenced.line();
    let message = format!("the preset does not work here: in its line {line}: {error}");
    refuse(Reason::InvalidPreset, "image", message, "mend the preset")
}

/// Whether a template can be read.
pub(crate) fn check_template(text: &Text) -> Result<(), Fault> {
    environment().template_from_str(&text.value).map(drop).map_err(|e| unreadable(text, &e))
}

/// Whether an expression can be read.
pub(crate) fn check_expression(text: &Text) -> Result<(), Fault> {
    environment().compile_expression(&text.value).map(drop).map_err(|e| unreadable(text, &e))
}

fn unreadable(text: &Text, error: &minijinja::Error) -> Fault {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Fault::new(text.referenced, format!("this template cannot be read: {detail}"))
        .hint("look at the braces, quotes and names")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_syntax(syntax());
    // Debug information would carry values, which may be secret, into messages.
    environment.set_debug(false);
    environment.add_filter("single_quoted", |text: &str| format!("'{}'", text.replace('\'', "''")));
    environment
}

fn syntax() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    syntax.build().unwrap_or_default()
}
