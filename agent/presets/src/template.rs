//! Templates and expressions: minijinja, strict about names that do not exist, and bounded in what they may cost. They see
//! what is handed to them and nothing else: no file, no environment, no other template.

use std::collections::{BTreeMap, BTreeSet};

use barepod_model::{Reason, RequestError};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

use crate::arguments;
use crate::error::{Fault, refuse};
use crate::read::{Faults, Text};

/// Instructions that one template may take. The largest built-in one takes some hundreds.
const FUEL: u64 = 100_000;
/// The longest text that one may yield, in bytes.
const MAX_OUTPUT: usize = 1 << 20;

/// What templates of a preset can see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope(BTreeMap<String, Value>);

impl Scope {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// The same with one more name.
    pub(crate) fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut scope = self.clone();
        scope.set(name, value);
        scope
    }

    /// A template's text.
    pub(crate) fn render(&self, text: &Text) -> Result<String, RequestError> {
        let rendered = environment().render_str(&text.value, self.context()).map_err(|e| failed(text, &e))?;
        if rendered.len() > MAX_OUTPUT {
            return Err(broken(text, 1, format!("it yields {} bytes, and may yield {MAX_OUTPUT}", rendered.len())));
        }
        Ok(rendered)
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

    /// Whether an expression is true; one that is not there is.
    pub(crate) fn holds(&self, text: Option<&Text>) -> Result<bool, RequestError> {
        text.map_or(Ok(true), |text| self.is_true(text))
    }

    /// What a template reads of `names`, with its values.
    pub(crate) fn inputs(&self, text: &Text, names: &[&str]) -> Vec<(String, String)> {
        let environment = environment();
        let used = environment.template_from_str(&text.value).map(|t| t.undeclared_variables(false));
        let used: BTreeSet<String> = used.unwrap_or_default().into_iter().collect();
        let shown = |name: &&&str| used.contains(**name);
        let value = |name: &&str| Some(((*name).to_owned(), self.0.get(*name)?.to_string()));
        names.iter().filter(shown).filter_map(value).collect()
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
    broken(text, error.line().unwrap_or(1), error.to_string())
}

fn broken(text: &Text, line: usize, why: String) -> RequestError {
    let file = &text.spot.origin.file;
    // Its own line counts within the text; the file's is what a person can go to.
    let why = why.split(" (in <string>:").next().unwrap_or(&why);
    let message = format!("the preset does not work here: {file}:{}: {}: {why}", text.spot.line_of(line), text.path);
    refuse(Reason::InvalidPreset, "image", message, "mend the preset")
}

/// Whether a template can be read.
pub(crate) fn check_template(text: &Text, faults: &mut Faults) {
    if let Err(error) = environment().template_from_str(&text.value) {
        faults.push(unreadable(text, "template", &error));
    }
}

/// Whether an expression can be read.
pub(crate) fn check_expression(text: &Text, faults: &mut Faults) {
    if let Err(error) = environment().compile_expression(&text.value) {
        faults.push(unreadable(text, "expression", &error));
    }
}

fn unreadable(text: &Text, what: &str, error: &minijinja::Error) -> Fault {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    text.fault(format!("this {what} cannot be read: {detail}"))
        .hint("look at the braces, quotes and names")
        .in_line(error.line().unwrap_or(1))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_syntax(syntax());
    environment.set_fuel(Some(FUEL));
    // Debug information would carry values, which may be secret, into messages.
    environment.set_debug(false);
    environment.add_filter("single_quoted", |text: &str| format!("'{}'", text.replace('\'', "''")));
    environment.add_filter("shell_quoted", arguments::shell_quoted);
    environment.add_function("flag", |args: Vec<String>, name: &str| option(arguments::flag(&args, name)));
    environment.add_function("setting", |args: Vec<String>, name: &str| option(arguments::setting(&args, name)));
    environment
}

fn option(value: Option<String>) -> Value {
    value.map_or(Value::UNDEFINED, Value::from)
}

fn syntax() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    syntax.build().unwrap_or_default()
}
