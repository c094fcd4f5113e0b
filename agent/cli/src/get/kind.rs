//! The kinds of things that can be shown, and which of them the command line names.

use crate::select::{EVENT_FIELDS, FieldSelector, LabelSelector, POD_FIELDS};

/// A kind of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pods,
    Events,
    Volumes,
    Presets,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Pods, Kind::Events, Kind::Volumes, Kind::Presets];

    /// What it may be called, the usual name first.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Kind::Pods => &["pods", "pod", "po"],
            Kind::Events => &["events", "event", "ev"],
            // To Kubernetes a claim and the directory that it is are two things.
            Kind::Volumes => &["volumes", "volume", "pvc", "persistentvolumeclaims", "persistentvolumeclaim"],
            Kind::Presets => &["presets", "preset"],
        }
    }

    /// Of one, as in pod/NAME.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Kind::Pods => "pod",
            Kind::Events => "event",
            Kind::Volumes => "volume",
            Kind::Presets => "preset",
        }
    }

    /// Of several.
    pub(crate) fn plural(self) -> &'static str {
        self.words()[0]
    }

    /// The fields that it can be selected by.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Pods => &POD_FIELDS,
            Kind::Events => &EVENT_FIELDS,
            Kind::Volumes => &["metadata.name", "metadata.namespace"],
            Kind::Presets => &["metadata.name"],
        }
    }

    /// Whether things of this kind may have labels.
    fn has_labels(self) -> bool {
        match self {
            Kind::Pods => true,
            Kind::Events | Kind::Volumes | Kind::Presets => false,
        }
    }

    /// Whether each belongs to a namespace, rather than to the host.
    pub(crate) fn has_namespaces(self) -> bool {
        match self {
            Kind::Pods | Kind::Events | Kind::Volumes => true,
            Kind::Presets => false,
        }
    }

    /// Whether somebody tells of its changes.
    pub(crate) fn can_be_watched(self) -> bool {
        match self {
            Kind::Pods | Kind::Events => true,
            Kind::Volumes | Kind::Presets => false,
        }
    }

    /// The usual names of all, for the tab key.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Kind::plural)
    }

    fn of(word: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.words().contains(&word));
        known.ok_or_else(|| format!("there is no type {word:?} here; {}", instead(word)))
    }
}

/// What shows it.
fn instead(kind: &str) -> String {
    let known = match kind.trim_end_matches('s') {
        "image" => "write `barepod preset list --images`",
        "node" | "no" => "write `barepod kube status`, or kubectl on its cluster",
        "policy" => "write `barepod policy show`",
        "port" | "service" | "svc" => "write `barepod port list`: services listen on the host's own addresses",
        "secret" | "configmap" | "cm" => "they lie in /etc/barepod/manifests",
        "pv" | "persistentvolume" | "claim" => "write `barepod get volumes`",
        "deployment" | "deploy" | "statefulset" | "st" | "daemonset" | "job" | "all" => {
            "what makes pods is shown as its pods: write `barepod get pods`"
        }
        _ if kind.contains(',') => "write one type at a time",
        _ => {
            let kinds: Vec<_> = Kind::names().collect();
            return format!(
                "there are {}; write for example `barepod get pods` or `barepod get pod NAME`",
                kinds.join(", ")
            );
        }
    };
    known.to_owned()
}

/// What the command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    /// None: all that are selected.
    pub(crate) names: Vec<String>,
}

impl Wanted {
    /// `pods`, `pod NAME...`, `pod/NAME...`.
    ///
    /// # Errors
    /// What to write.
    pub(crate) fn read(first: &str, others: &[String]) -> Result<Self, String> {
        if !first.contains('/') {
            let kind = Kind::of(first)?;
            let with_kind = others.iter().find(|name| name.contains('/'));
            return match with_kind {
                Some(name) => {
                    Err(format!("{name:?} after {first:?}: write either {} NAME or {0}/NAME", kind.singular()))
                }
                None => Ok(Self { kind, names: others.to_vec() }),
            };
        }
        let mut wanted: Option<Self> = None;
        for word in std::iter::once(first).chain(others.iter().map(String::as_str)) {
            let Some((kind, name)) = word.split_once('/').filter(|(_, name)| !name.is_empty()) else {
                return Err(format!("{word:?}: write a type and a name: pod/{word}"));
            };
            let kind = Kind::of(kind)?;
            let wanted = wanted.get_or_insert(Self { kind, names: Vec::new() });
            if wanted.kind != kind {
                return Err(format!("{word:?}: write one type at a time"));
            }
            wanted.names.push(name.to_owned());
        }
        wanted.ok_or_else(|| "nothing is named".to_owned())
    }

    /// Whether these selectors have a meaning for it.
    ///
    /// # Errors
    /// What to write.
    pub(crate) fn check(&self, labels: Option<&LabelSelector>, fields: Option<&FieldSelector>) -> Result<(), String> {
        if !self.names.is_empty() && (labels.is_some() || fields.is_some()) {
            return Err("names and selectors exclude each other: leave one of them out".to_owned());
        }
        if labels.is_some() && !self.kind.has_labels() {
            return Err(format!("{} have no labels to be selected by", self.kind.plural()));
        }
        fields.map_or(Ok(()), |fields| fields.check(self.kind.plural(), self.kind.fields()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Wanted, String> {
        let others: Vec<_> = words[1..].iter().map(|word| (*word).to_owned()).collect();
        Wanted::read(words[0], &others)
    }

    #[test]
    fn a_type_comes_before_its_names_or_before_each_of_them() {
        assert_eq!(read(&["pods"]).unwrap().names, [""; 0]);
        for words in [&["pod", "a", "b"][..], &["po", "a", "b"], &["pod/a", "pods/b"]] {
            assert_eq!(read(words).unwrap(), Wanted { kind: Kind::Pods, names: vec!["a".to_owned(), "b".to_owned()] });
        }
    }

    #[test]
    fn what_is_no_type_is_answered_with_what_shows_it() {
        for (words, said) in [
            (&["svc"][..], "barepod port list"),
            (&["nodes"], "barepod kube status"),
            (&["secrets"], "/etc/barepod/manifests"),
            (&["pv"], "barepod get volumes"),
            (&["images"], "barepod preset list --images"),
            (&["statefulsets"], "barepod get pods"),
            (&["pods,svc"], "one type at a time"),
            (&["db"], "barepod get pod NAME"),
            (&["pod/"], "a type and a name"),
            (&["pod/a", "b"], "pod/b"),
            (&["pod", "pod/a"], "either pod NAME or pod/NAME"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_selector_stands_in_for_names() {
        let fields = FieldSelector::parse("status.phase=Running").unwrap();
        let labels = LabelSelector::parse("a").unwrap();
        assert_eq!(read(&["pods"]).unwrap().check(Some(&labels), Some(&fields)), Ok(()));
        assert!(read(&["pod", "a"]).unwrap().check(None, Some(&fields)).is_err());
        assert!(read(&["pod", "a"]).unwrap().check(Some(&labels), None).is_err());
        assert!(read(&["events"]).unwrap().check(Some(&labels), None).unwrap_err().contains("no labels"));
        assert!(read(&["events"]).unwrap().check(None, Some(&fields)).unwrap_err().contains("involvedObject.name"));
    }
}
