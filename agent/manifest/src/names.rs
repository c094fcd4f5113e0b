//! Kubernetes' rules for names that are not those of pods and containers.

use std::collections::BTreeMap;

use barepod_model::{ContainerName, PodName, Reason};

use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// A DNS-1123 label, as a volume's name or a host name.
pub(crate) fn label(value: &str, path: &FieldPath) -> Result<String, Finding> {
    match ContainerName::new(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(e) => Err(Finding::new(Reason::InvalidValue, path, format!("{value:?} is not a name")).hint(e.rule)),
    }
}

/// A DNS-1123 subdomain, as a claim's name.
pub(crate) fn subdomain(value: &str, path: &FieldPath) -> Result<String, Finding> {
    match PodName::new(value) {
        Ok(_) => Ok(value.to_owned()),
        Err(e) => Err(Finding::new(Reason::InvalidValue, path, format!("{value:?} is not a name")).hint(e.rule)),
    }
}

/// The name of a port, as apimachinery's `IsValidPortName`.
pub(crate) fn is_port_name(value: &str) -> bool {
    (1..=15).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && value.bytes().any(|b| b.is_ascii_lowercase())
        && !value.contains("--")
        && !value.starts_with('-')
        && !value.ends_with('-')
}

/// The name of an environment variable, as apimachinery's `IsRelaxedEnvVarName`.
pub(crate) fn is_env_name(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}

const MAX_ANNOTATIONS: usize = 256 << 10;

pub(crate) fn labels(labels: &BTreeMap<String, String>, path: &FieldPath, out: &mut Findings) {
    for (key, value) in labels {
        label_key(key, &path.key(key), out);
        if !(value.is_empty() || is_label_name(value)) {
            let finding =
                Finding::new(Reason::InvalidValue, &path.key(key), format!("{value:?} is not a label's value"));
            out.error(finding.hint(NAME_RULE));
        }
    }
}

pub(crate) fn annotations(annotations: &BTreeMap<String, String>, path: &FieldPath, out: &mut Findings) {
    for key in annotations.keys() {
        label_key(&key.to_lowercase(), &path.key(key), out);
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATIONS {
        let message = format!("the annotations hold {size} bytes; Kubernetes takes {MAX_ANNOTATIONS}");
        out.error(Finding::new(Reason::InvalidValue, path, message).hint("keep large things in a file"));
    }
}

const NAME_RULE: &str = "use at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit";

/// The key of a label: a name, or a DNS subdomain, a slash and a name.
pub(crate) fn label_key(key: &str, path: &FieldPath, out: &mut Findings) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !is_label_name(name) || prefix.is_some_and(|p| PodName::new(p).is_err()) {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{key:?} is not a label's key"));
        out.error(finding.hint(format!("{NAME_RULE}, after an optional DNS name and '/'")));
    }
}

/// A key of a ConfigMap or Secret, as apimachinery's `IsConfigMapKey`.
pub(crate) fn data_key(key: &str, path: &FieldPath, out: &mut Findings) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let valid = (1..=253).contains(&key.len()) && key.bytes().all(plain) && key != "." && !key.starts_with("..");
    if !valid {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{key:?} is not a key"));
        out.error(finding.hint("use at most 253 letters, digits, '-', '_' and '.', not beginning with '..'"));
    }
}

fn is_label_name(value: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = value.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|&b| inner(b))
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_follow_the_service_name_registry() {
        assert!(is_port_name("postgresql"));
        assert!(!is_port_name("5432"));
        assert!(!is_port_name("a--b"));
        assert!(!is_port_name("more-than-fifteen"));
    }

    #[test]
    fn environment_names_are_printable_and_have_no_equals_sign() {
        assert!(is_env_name("my.VAR-1"));
        assert!(!is_env_name("A=B"));
        assert!(!is_env_name(""));
        assert!(!is_env_name("A\n"));
    }
}
