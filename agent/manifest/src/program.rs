//! What a container runs and with which variables, before and after its references are looked up.
//!
//! The order is kubelet's (`makeEnvironmentVariables` in `pkg/kubelet/kubelet_pods.go`): services, all of `envFrom`, then `env`,
//! each value expanded with the variables before it; of two with one name the later counts; then command and arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barepod_model::{AsWritten, Contents, Env, EnvFile, Reason};
use k8s_openapi::api::core::v1;

use crate::error::{Finding, Findings};
use crate::expand::{expand, unknown_names};
use crate::objects::ObjectKind;
use crate::place::FieldPath;
use crate::references::{self, Asker, FieldRef, ObjectKeyRef, ResourceRef};
use crate::{names, paths};

/// Command, arguments and variables as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    command: Vec<String>,
    args: Vec<String>,
    sources: Vec<EnvSource>,
    variables: Vec<Variable>,
}

/// One of `envFrom`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvSource {
    pub(crate) prefix: String,
    pub(crate) object: ObjectKeyRef,
}

#[derive(Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    value: VariableValue,
}

#[derive(Clone, PartialEq, Eq)]
enum VariableValue {
    Text(String),
    From(Reference),
}

/// Where a variable's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    Field(FieldRef, String),
    Resource(ResourceRef, String),
    Key(ObjectKeyRef),
    /// In a file of a volume: read when the container starts.
    File(FileRef),
}

/// A key in a file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileRef {
    volume: String,
    path: PathBuf,
    key: String,
    optional: bool,
}

/// Command, arguments and variables as a process gets them.
pub(crate) struct Ran {
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Env,
    /// The first thing that is not there.
    pub(crate) missing: Option<String>,
}

/// What looks references up.
pub(crate) trait Sources {
    /// The value; none where it is optional and not there.
    ///
    /// # Errors
    /// What is missing, in words.
    fn value(&self, reference: &Reference) -> Result<Option<String>, String>;

    /// All entries of an object.
    ///
    /// # Errors
    /// As of [`Sources::value`].
    fn entries(&self, object: &ObjectKeyRef) -> Result<BTreeMap<String, Contents>, String>;

    /// Variables of services: all others count more.
    fn services(&self) -> BTreeMap<String, String>;
}

/// Nothing is looked up: references stand for their values.
pub(crate) struct NoSources;

impl Sources for NoSources {
    fn value(&self, _: &Reference) -> Result<Option<String>, String> {
        Err(String::new())
    }

    fn entries(&self, _: &ObjectKeyRef) -> Result<BTreeMap<String, Contents>, String> {
        Ok(BTreeMap::new())
    }

    fn services(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

impl Program {
    pub(crate) fn parse(from: &v1::Container, path: &FieldPath, out: &mut Findings) -> Self {
        let sources = from.env_from.iter().flatten().enumerate();
        let sources = sources.filter_map(|(i, from)| source(from, &path.key("envFrom").index(i), out)).collect();
        let variables = variables(from.env.as_deref().unwrap_or_default(), &path.key("env"), out);
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let program = Self { command: words(&from.command), args: words(&from.args), sources, variables };
        program.late_values(path, out);
        program
    }

    /// Variables that files of volumes hold.
    pub(crate) fn env_files(&self) -> Vec<EnvFile> {
        let file = |variable: &Variable| match &variable.value {
            VariableValue::From(Reference::File(file)) => Some(EnvFile {
                name: variable.name.clone(),
                volume: file.volume.clone(),
                path: file.path.clone(),
                key: file.key.clone(),
                optional: file.optional,
            }),
            VariableValue::From(_) | VariableValue::Text(_) => None,
        };
        self.variables.iter().filter_map(file).collect()
    }

    /// What a file holds is known when the container starts, and everything else is put together before.
    fn late_values(&self, path: &FieldPath, out: &mut Findings) {
        let late = self.env_files();
        let mut look = |text: &str, path: FieldPath| {
            let names = unknown_names(text, &BTreeMap::new());
            if let Some(name) = names.iter().find(|name| late.iter().any(|file| file.name == **name)) {
                let message = format!("$({name}) comes from a file, which is read when the container starts");
                let hint = "let a shell expand it in the container: sh -c 'exec ... \"$NAME\"'";
                out.error(Finding::new(Reason::UnsupportedField, &path, message).hint(hint));
            }
        };
        for (i, variable) in self.variables.iter().enumerate() {
            if let VariableValue::Text(text) = &variable.value {
                look(text, path.key("env").index(i).key("value"));
            }
        }
        for (field, words) in [("command", &self.command), ("args", &self.args)] {
            words.iter().enumerate().for_each(|(i, word)| look(word, path.key(field).index(i)));
        }
    }

    /// The objects it refers to.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectKeyRef> {
        let keys = self.references().filter_map(|reference| match reference {
            Reference::Key(key) => Some(key),
            Reference::Field(..) | Reference::Resource(..) | Reference::File(_) => None,
        });
        self.sources.iter().map(|source| &source.object).chain(keys)
    }

    /// The containers whose resources it asks for.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &str> {
        self.references().filter_map(|reference| match reference {
            Reference::Resource(resource, _) => resource.container.as_deref(),
            Reference::Field(..) | Reference::Key(_) | Reference::File(_) => None,
        })
    }

    fn references(&self) -> impl Iterator<Item = &Reference> {
        self.variables.iter().filter_map(|variable| match &variable.value {
            VariableValue::From(reference) => Some(reference),
            VariableValue::Text(_) => None,
        })
    }

    /// The words, if some values are looked up elsewhere, or `others` come from there.
    pub(crate) fn as_written(&self, working_dir: Option<std::path::PathBuf>, others: bool) -> Option<AsWritten> {
        if self.sources.is_empty() && self.references().next().is_none() && !others {
            return None;
        }
        let text = |variable: &Variable| match &variable.value {
            VariableValue::Text(text) => text.clone(),
            VariableValue::From(reference) => placeholder(reference),
        };
        let env = self.variables.iter().map(|variable| (variable.name.clone(), text(variable))).collect();
        let source = |source: &EnvSource| format!("{}$({})", source.prefix, source.object);
        Some(AsWritten {
            command: self.command.clone(),
            args: self.args.clone(),
            working_dir,
            env: Env(env),
            sources: self.sources.iter().map(source).collect(),
        })
    }

    /// Looks everything up. What is missing is stood for by its reference, so that the rest can be checked.
    pub(crate) fn run(&self, from: &dyn Sources) -> Ran {
        let mut env = from.services();
        let mut missing = None;
        for source in &self.sources {
            match from.entries(&source.object).and_then(|entries| texts(&source.object, entries)) {
                Ok(entries) => {
                    env.extend(entries.into_iter().map(|(key, text)| (format!("{}{key}", source.prefix), text)));
                }
                Err(message) => missing = missing.or(Some(message)),
            }
        }
        for variable in &self.variables {
            let value = match &variable.value {
                VariableValue::Text(text) => Some(expand(text, &env)),
                VariableValue::From(Reference::File(_)) => None,
                VariableValue::From(reference) => from.value(reference).unwrap_or_else(|message| {
                    missing.get_or_insert(message);
                    Some(placeholder(reference))
                }),
            };
            if let Some(value) = value {
                env.insert(variable.name.clone(), value);
            }
        }
        let words = |list: &[String]| list.iter().map(|word| expand(word, &env)).collect();
        Ran { command: words(&self.command), args: words(&self.args), env: Env(env), missing }
    }
}

fn texts(object: &ObjectKeyRef, entries: BTreeMap<String, Contents>) -> Result<BTreeMap<String, String>, String> {
    entries.into_iter().map(|(key, contents)| text(object, &key, &contents).map(|text| (key, text))).collect()
}

/// The value of a key as a variable can hold it. The value itself is never told.
pub(crate) fn text(object: &ObjectKeyRef, key: &str, contents: &Contents) -> Result<String, String> {
    match String::from_utf8(contents.0.clone()) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) | Err(_) => {
            Err(format!("key {key:?} of {} {:?} is not text, so no variable can hold it", object.kind, object.name))
        }
    }
}

fn placeholder(reference: &Reference) -> String {
    match reference {
        Reference::Field(_, text) | Reference::Resource(_, text) => format!("$({text})"),
        Reference::Key(key) => format!("$({key})"),
        Reference::File(file) => {
            format!("$({} of {} in volume {:?})", file.key, file.path.display(), file.volume)
        }
    }
}

fn source(from: &v1::EnvFromSource, path: &FieldPath, out: &mut Findings) -> Option<EnvSource> {
    let prefix = from.prefix.clone().unwrap_or_default();
    if !(prefix.is_empty() || names::is_env_name(&prefix)) {
        let finding =
            Finding::new(Reason::InvalidValue, &path.key("prefix"), format!("no variable begins with {prefix:?}"));
        out.error(finding.hint("use printable ASCII characters without '='"));
    }
    let object = match (&from.config_map_ref, &from.secret_ref) {
        (Some(from), None) => {
            let path = path.key("configMapRef");
            references::object_key(ObjectKind::ConfigMap, &from.name, None, from.optional, &path, out)?
        }
        (None, Some(from)) => {
            references::object_key(ObjectKind::Secret, &from.name, None, from.optional, &path.key("secretRef"), out)?
        }
        (Some(_), Some(_)) | (None, None) => {
            let finding = Finding::new(Reason::InvalidValue, path, "it must be one of configMapRef and secretRef");
            out.error(finding.hint("name one object in each element"));
            return None;
        }
    };
    Some(EnvSource { prefix, object })
}

fn variables(from: &[v1::EnvVar], path: &FieldPath, out: &mut Findings) -> Vec<Variable> {
    let mut variables: Vec<Variable> = Vec::new();
    for (i, from) in from.iter().enumerate() {
        let path = path.index(i);
        name(&from.name, &variables, &path.key("name"), out);
        let value = from.value.as_deref().unwrap_or_default();
        if value.contains('\0') {
            let finding = Finding::new(Reason::InvalidValue, &path.key("name"), "its value holds a NUL character");
            out.error(finding.hint("no program can be given such a value"));
        }
        let value = match &from.value_from {
            Some(_) if !value.is_empty() => {
                let finding = Finding::new(Reason::InvalidValue, &path.key("valueFrom"), "it has a value already");
                out.error(finding.hint("keep one of value and valueFrom"));
                continue;
            }
            Some(from) => match reference(from, &path.key("valueFrom"), out) {
                Some(reference) => VariableValue::From(reference),
                None => continue,
            },
            None => VariableValue::Text(value.to_owned()),
        };
        variables.push(Variable { name: from.name.clone(), value });
    }
    variables
}

fn name(name: &str, before: &[Variable], path: &FieldPath, out: &mut Findings) {
    if !names::is_env_name(name) {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{name:?} cannot name a variable"));
        out.error(finding.hint("use printable ASCII characters without '='"));
    }
    if before.iter().any(|variable| variable.name == name) {
        let message = format!("{name:?} is given twice; this one counts");
        out.warn(Finding::new(Reason::Duplicate, path, message).hint("remove the other"));
    }
}

fn reference(from: &v1::EnvVarSource, path: &FieldPath, out: &mut Findings) -> Option<Reference> {
    let given = [
        from.field_ref.is_some(),
        from.resource_field_ref.is_some(),
        from.config_map_key_ref.is_some(),
        from.secret_key_ref.is_some(),
        from.file_key_ref.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        let message = "a value comes from one place";
        let hint = "give one of fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef and fileKeyRef";
        out.error(Finding::new(Reason::InvalidValue, path, message).hint(hint));
        return None;
    }
    if let Some(from) = &from.field_ref {
        let field = references::field(from, Asker::Variable, &path.key("fieldRef"), out)?;
        return Some(Reference::Field(field, from.field_path.clone()));
    }
    if let Some(from) = &from.resource_field_ref {
        let found = references::resource(from, &path.key("resourceFieldRef"), out)?;
        let text =
            format!("{} of {:?} by {}", from.resource, found.container.as_deref().unwrap_or_default(), found.divisor);
        return Some(Reference::Resource(found, text));
    }
    if let Some(from) = &from.file_key_ref {
        return file(from, &path.key("fileKeyRef"), out).map(Reference::File);
    }
    let mut key = |kind, name: &str, key: &str, optional, field| {
        references::object_key(kind, name, Some(key), optional, &path.key(field), out).map(Reference::Key)
    };
    match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(from), _) => key(ObjectKind::ConfigMap, &from.name, &from.key, from.optional, "configMapKeyRef"),
        (None, Some(from)) => key(ObjectKind::Secret, &from.name, &from.key, from.optional, "secretKeyRef"),
        (None, None) => None,
    }
}

fn file(from: &v1::FileKeySelector, path: &FieldPath, out: &mut Findings) -> Option<FileRef> {
    let volume = out.take(names::label(&from.volume_name, &path.key("volumeName")));
    let file = out.take(paths::relative(&from.path, &path.key("path")));
    if !names::is_env_name(&from.key) {
        let finding = Finding::new(Reason::InvalidValue, &path.key("key"), format!("{:?} names no variable", from.key));
        out.error(finding.hint("use printable ASCII characters without '='"));
    }
    let optional = from.optional.unwrap_or_default();
    Some(FileRef { volume: volume?, path: file?, key: from.key.clone(), optional })
}

impl std::fmt::Debug for Variable {
    /// A value may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            VariableValue::Text(_) => write!(f, "{}=?", self.name),
            VariableValue::From(reference) => write!(f, "{}={reference:?}", self.name),
        }
    }
}
