//! How pods are named on the command line: `db`, `pod db` or `pod/db`, or by selectors instead.

use anyhow::{Result, bail};
use barepod_api::v1::{ListRequest, Pod};

use crate::args::{Chosen, Selectors};
use crate::commands::Client;
use crate::refusal::from_status;
use crate::select::POD_FIELDS;

const KINDS: [&str; 3] = ["pod", "pods", "po"];

/// A pod that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Whether `word` names the type.
fn is_kind(word: &str) -> bool {
    KINDS.contains(&word)
}

/// One pod's name from `NAME` or `pod/NAME`.
pub(crate) fn name(word: &str) -> Result<String> {
    match word.split_once('/') {
        None => Ok(word.to_owned()),
        Some((kind, name)) if is_kind(kind) && !name.is_empty() => Ok(name.to_owned()),
        Some((kind, _)) => bail!("{word:?}: there is no type {kind:?} here; write pod/NAME or just NAME"),
    }
}

/// Pods' names from `NAME...`, `pod NAME...` or `pod/NAME...`.
pub(crate) fn names(words: &[String]) -> Result<Vec<String>> {
    let words = match words {
        [kind, rest @ ..] if is_kind(kind) && !rest.is_empty() => rest,
        all => all,
    };
    words.iter().map(|word| name(word)).collect()
}

/// Whether selectors go with these words: with the type alone, as in `delete pods -l app=db`.
///
/// # Errors
/// What to write.
pub(crate) fn check(words: &[String], selectors: &Selectors) -> Result<(), String> {
    if selectors.are_given() && !is_type_alone(words) {
        return Err("names and selectors exclude each other: leave one of them out".to_owned());
    }
    selectors.field_selector.as_ref().map_or(Ok(()), |fields| fields.check("pods", &POD_FIELDS))
}

/// Nothing is named.
pub(crate) fn is_type_alone(words: &[String]) -> bool {
    match words {
        [] => true,
        [word] => is_kind(word),
        _ => false,
    }
}

/// The pods that a line means: those it names, without a look whether they are there, or those it selects.
pub(crate) async fn chosen(
    client: &mut Client,
    namespace: &str,
    words: &[String],
    selectors: &Selectors,
) -> Result<Vec<Target>> {
    if !selectors.are_given() {
        let of = |name| Target { namespace: namespace.to_owned(), name };
        return Ok(names(words)?.into_iter().map(of).collect());
    }
    let pods = selected(client, namespace, selectors).await?;
    if pods.is_empty() {
        say_none(namespace);
    }
    Ok(pods.into_iter().map(|pod| Target { namespace: pod.namespace, name: pod.name }).collect())
}

/// The same, of a line that must have the one or the other.
pub(crate) async fn meant(client: &mut Client, namespace: &str, line: &Chosen) -> Result<Vec<Target>> {
    chosen(client, namespace, &line.pods, &line.selectors).await
}

/// The pods of a namespace, or of all if it is empty, that are selected, in the order of their names.
pub(crate) async fn selected(client: &mut Client, namespace: &str, selectors: &Selectors) -> Result<Vec<Pod>> {
    let request = ListRequest { namespace: namespace.to_owned(), ..ListRequest::default() };
    let mut pods = client.list(request).await.map_err(from_status)?.into_inner().pods;
    selectors.retain(&mut pods);
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(pods)
}

/// That nobody is meant is no failure, and should not look like work that was done.
fn say_none(namespace: &str) {
    let of = if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") };
    eprintln!("No such pods{of}.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::{FieldSelector, LabelSelector};

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    fn of(named: &[&str]) -> Result<Vec<String>> {
        names(&words(named))
    }

    #[test]
    fn all_three_ways_name_the_same_pod() {
        for words in [&["db"][..], &["pod", "db"], &["pod/db"], &["po/db"]] {
            assert_eq!(of(words).unwrap(), ["db"], "{words:?}");
        }
    }

    #[test]
    fn a_pod_may_be_called_pod() {
        assert_eq!(of(&["pod"]).unwrap(), ["pod"]);
    }

    #[test]
    fn other_types_are_refused_by_name() {
        assert!(of(&["svc/db"]).unwrap_err().to_string().contains("svc"));
    }

    #[test]
    fn selectors_stand_in_the_place_of_names_and_know_the_fields_of_pods() {
        let by_label = Selectors { selector: LabelSelector::parse("a").ok(), field_selector: None };
        assert_eq!(check(&words(&["pods"]), &by_label), Ok(()));
        assert_eq!(check(&[], &by_label), Ok(()));
        assert!(check(&words(&["db"]), &by_label).is_err());
        assert!(check(&words(&["pods", "db"]), &by_label).is_err());
        let by_field = Selectors { selector: None, field_selector: FieldSelector::parse("spec.image=x").ok() };
        assert!(check(&[], &by_field).unwrap_err().contains("spec.image"));
    }
}
