//! Field selectors: `metadata.name=db,status.phase!=Running`. As in Kubernetes each kind has some fields that can be selected
//! by, and no others.

use serde_json::Value;

use crate::jsonpath::Shown;

/// The fields of a pod; those of the API server that mean something on one host.
pub(crate) const POD_FIELDS: [&str; 8] = [
    "metadata.name",
    "metadata.namespace",
    "spec.hostNetwork",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
];

/// The fields of an event.
pub(crate) const EVENT_FIELDS: [&str; 8] = [
    "involvedObject.fieldPath",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.uid",
    "metadata.namespace",
    "reason",
    "type",
];

/// What must be true of fields: all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<Requirement>);

/// What must be true of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    field: String,
    value: String,
    /// Whether the field must have the value, or another one.
    equal: bool,
}

impl FieldSelector {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, and what is right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for term in split(text) {
            let term = term.trim();
            if term.is_empty() {
                continue;
            }
            let Some(at) = term.find('=') else {
                return Err(format!(
                    "{term:?}: a field is compared with a value by =, == or !=; write status.phase=Running"
                ));
            };
            let (field, value) = (&term[..at], &term[at + 1..]);
            let (field, equal) = field.strip_suffix('!').map_or((field, true), |field| (field, false));
            let value = if equal { value.strip_prefix('=').unwrap_or(value) } else { value };
            let [field, value] = [field.trim(), value.trim()];
            all.push(Requirement { field: field.to_owned(), value: unescaped(value)?, equal });
        }
        Ok(Self(all))
    }

    /// Refuses fields that this kind of object cannot be selected by.
    ///
    /// # Errors
    /// The field, and those that there are.
    pub(crate) fn check(&self, kind: &str, known: &[&str]) -> Result<(), String> {
        let unknown = self.0.iter().find(|requirement| !known.contains(&requirement.field.as_str()));
        unknown.map_or(Ok(()), |requirement| {
            let field = &requirement.field;
            Err(format!("{field:?} is no field to select {kind} by; there are {}", known.join(", ")))
        })
    }

    /// Whether an object is meant.
    pub(crate) fn picks(&self, object: &Value) -> bool {
        self.0.iter().all(|Requirement { field, value, equal }| (field_of(object, field) == *value) == *equal)
    }
}

/// As the API server compares it: as text, and empty where there is nothing.
fn field_of(object: &Value, field: &str) -> String {
    let found = field.split('.').try_fold(object, |value, name| value.get(name));
    match found {
        // A pod is on the host's network here whether it says so or not; what it says is what is compared.
        None | Some(Value::Null) if field == "spec.hostNetwork" => "false".to_owned(),
        None | Some(Value::Null) => String::new(),
        Some(value) => Shown(value).to_string(),
    }
}

/// At commas that have no `\` before them.
fn split(text: &str) -> Vec<&str> {
    let (mut terms, mut begin, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if c == ',' && !escaped {
            terms.push(&text[begin..at]);
            begin = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(&text[begin..]);
    terms
}

/// `\,`, `\=` and `\\` are what stands after the first of them (`fields.UnescapeValue`).
fn unescaped(value: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => c,
                _ => return Err(format!("{value:?}: a \\ stands only before , = and \\")),
            },
            '=' => return Err(format!("{value:?}: write \\= for a = within a value")),
            c => c,
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_compared_as_text() {
        let pod = json!({
            "metadata": {"name": "db", "namespace": "shop"},
            "status": {"phase": "Running"}, "spec": {"nodeName": "a,b=c"},
        });
        for (selector, is) in [
            ("", true),
            ("metadata.name=db", true),
            ("metadata.name==db,status.phase=Running", true),
            ("metadata.name=db,status.phase!=Running", false),
            (" metadata.name = web ", false),
            ("metadata.name!=web,", true),
            (r"spec.nodeName=a\,b\=c", true),
            ("spec.serviceAccountName=", true),
            ("spec.serviceAccountName!=x", true),
            ("spec.hostNetwork=false", true),
        ] {
            let selector = FieldSelector::parse(selector).unwrap();
            selector.check("pods", &POD_FIELDS).unwrap();
            assert_eq!(selector.picks(&pod), is, "{selector:?}");
        }
    }

    #[test]
    fn a_wrong_selector_is_answered_with_what_is_right() {
        for (selector, said) in
            [("status.phase", "by =, == or !="), ("a=b=c", "write \\= for"), (r"a=b\c", "a \\ stands only before")]
        {
            let fault = FieldSelector::parse(selector).unwrap_err();
            assert!(fault.contains(said), "{selector}: {fault}");
        }
        let unknown = FieldSelector::parse("spec.image=x").unwrap().check("pods", &POD_FIELDS).unwrap_err();
        assert!(unknown.contains("\"spec.image\"") && unknown.contains("status.phase"), "{unknown}");
    }
}
