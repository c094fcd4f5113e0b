//! Settings that follow the limits: what is set, by whom, and why.

use barepod_model::{ContainerRequest, RequestError};
use minijinja::Value;

use crate::arguments;
use crate::file::TuningFile;
use crate::template::{self, Scope};

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Who decides, and what.
    pub verdict: Verdict,
    /// How the preset computes it: a template.
    pub formula: String,
    /// What the formula reads, with its values.
    pub inputs: Vec<(String, String)>,
    /// Why.
    pub why: String,
    /// Where that is documented.
    pub source: Option<String>,
    /// Where the rule stands: `file:line`.
    pub rule: String,
}

/// Who decides a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The preset.
    Preset {
        /// The value.
        value: String,
        /// How the service is told: `argument`, `variable GOMEMLIMIT`, `file`.
        by: String,
    },
    /// The manifest, which always wins.
    Manifest {
        /// Where: `args`, `env[GOMEMLIMIT]`.
        field: String,
    },
    /// Nobody: the service keeps its own default.
    Nobody {
        /// The condition that does not hold.
        when: String,
    },
}

/// Names whose values an explanation shows. Others may hold secrets.
const SHOWN: [&str; 3] = ["memory", "cpu", "version"];

/// Settings with what they mean for the command line.
#[derive(Debug, Default)]
pub(crate) struct Tuned {
    pub(crate) settings: Vec<Setting>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

impl Tuned {
    /// Works out every rule.
    pub(crate) fn of(
        rules: &[TuningFile],
        args: &[String],
        request: &ContainerRequest,
        scope: &Scope,
    ) -> Result<Self, RequestError> {
        let mut tuned = Self::default();
        for rule in rules {
            let verdict = verdict(rule, args, request, scope)?;
            if let Verdict::Preset { value, .. } = &verdict {
                tuned.give(rule, value, scope)?;
            }
            tuned.settings.push(Setting {
                name: rule.set.value.clone(),
                verdict,
                formula: rule.value.value.trim().to_owned(),
                inputs: scope.inputs(&rule.value, &SHOWN),
                why: rule.why.trim().to_owned(),
                source: rule.source.clone(),
                rule: format!("{}:{}", rule.set.spot.origin.file, rule.set.spot.place.line),
            });
        }
        Ok(tuned)
    }

    fn give(&mut self, rule: &TuningFile, value: &str, scope: &Scope) -> Result<(), RequestError> {
        if let Some(flag) = &rule.flag {
            self.args.push(format!("{flag}={value}"));
        }
        self.args.extend(scope.with("value", value).render_all(&rule.args)?);
        self.env.extend(rule.env.iter().map(|name| (name.clone(), value.to_owned())));
        Ok(())
    }

    /// Those that the preset sets, as templates see them: a list, and by name.
    pub(crate) fn values(&self) -> (Value, Value) {
        let set = |setting: &Setting| match &setting.verdict {
            Verdict::Preset { value, .. } => Some((setting.name.clone(), value.clone(), setting.why.clone())),
            Verdict::Manifest { .. } | Verdict::Nobody { .. } => None,
        };
        let all: Vec<_> = self.settings.iter().filter_map(set).collect();
        let row = |(name, value, why): &(String, String, String)| {
            template::map([("name", name), ("value", value), ("why", why)].map(|(k, v)| (k, Value::from(v.as_str()))))
        };
        let by_name = template::map(all.iter().map(|(name, value, _)| (name.clone(), Value::from(value.as_str()))));
        (Value::from(all.iter().map(row).collect::<Vec<_>>()), by_name)
    }
}

fn verdict(
    rule: &TuningFile,
    args: &[String],
    request: &ContainerRequest,
    scope: &Scope,
) -> Result<Verdict, RequestError> {
    if let Some(field) = given(rule, args, request, scope)? {
        return Ok(Verdict::Manifest { field });
    }
    if !scope.holds(rule.when.as_ref())? {
        let when = rule.when.as_ref().map(|text| text.value.trim().to_owned()).unwrap_or_default();
        return Ok(Verdict::Nobody { when });
    }
    let by = match (&rule.env, rule.flag.is_some() || !rule.args.is_empty()) {
        (Some(name), _) => format!("variable {name}"),
        (None, true) => "argument".to_owned(),
        (None, false) => "file".to_owned(),
    };
    Ok(Verdict::Preset { value: scope.render(&rule.value)?.trim().to_owned(), by })
}

/// The manifest's field that gives it already.
fn given(
    rule: &TuningFile,
    args: &[String],
    request: &ContainerRequest,
    scope: &Scope,
) -> Result<Option<String>, RequestError> {
    if let Some(name) = rule.env.as_ref().filter(|name| request.env.0.contains_key(*name)) {
        return Ok(Some(format!("env[{name}]")));
    }
    let flag = rule.flag.as_deref().or_else(|| rule.args.first().map(|text| text.value.as_str()));
    if flag.is_some_and(|flag| arguments::has(args, flag.split('=').next().unwrap_or(flag))) {
        return Ok(Some("args".to_owned()));
    }
    let given = rule.given.as_ref().map(|text| scope.value(text)).transpose()?;
    Ok(given.filter(|value| !value.is_undefined() && !value.is_none()).map(|_| "args".to_owned()))
}
