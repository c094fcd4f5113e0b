//! Annotations `notify.barepod.dev/CONTAINER`: whether a container's service speaks to barepod by sd_notify(3). Kubernetes
//! has no such thing: what it has for it, a handler of a probe, asks, and is not told.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_model::{ContainerKind, ContainerName, Notify, NotifyAccess, NotifyRequest, Reason};

use crate::check::nearest;
use crate::container::ParsedContainer;
use crate::error::{Finding, Findings};
use crate::place::FieldPath;

const PREFIX: &str = "notify.barepod.dev/";
const HINT: &str = "write main, all or off; after main or all also start=SECONDS and watchdog=SECONDS, with commas";

/// What the annotation of this container says.
pub(crate) fn of(
    name: &ContainerName,
    kind: ContainerKind,
    annotations: &BTreeMap<String, String>,
    metadata: &FieldPath,
    out: &mut Findings,
) -> Option<NotifyRequest> {
    let key = format!("{PREFIX}{name}");
    let text = annotations.get(&key)?;
    let path = metadata.key("annotations").key(&key);
    match (parse(text), kind) {
        (Ok(NotifyRequest::On(_)), ContainerKind::Init | ContainerKind::Ephemeral) => {
            let message = "it runs to its end, and nobody waits for it to be ready";
            out.error(Finding::new(Reason::InvalidValue, &path, message).hint("remove it"));
            None
        }
        (Ok(request), _) => Some(request),
        (Err(message), _) => {
            out.error(Finding::new(Reason::InvalidValue, &path, message).hint(HINT));
            None
        }
    }
}

/// Each such annotation must be of a container that the pod has.
pub(crate) fn only_of(
    containers: &[ParsedContainer],
    annotations: &BTreeMap<String, String>,
    metadata: &FieldPath,
    out: &mut Findings,
) {
    let names = || containers.iter().map(|container| container.request.name.as_str());
    for (key, name) in annotations.keys().filter_map(|key| Some((key, key.strip_prefix(PREFIX)?))) {
        if !names().any(|known| known == name) {
            let path = metadata.key("annotations").key(key);
            let finding = Finding::new(Reason::InvalidValue, &path, format!("the pod has no container {name:?}"));
            let hint = nearest(name, names()).map(|name| format!("did you mean {name:?}?"));
            out.error(finding.hint(hint.unwrap_or_else(|| "name one of its containers".to_owned())));
        }
    }
}

fn parse(text: &str) -> Result<NotifyRequest, String> {
    let mut words = text.split(',').map(str::trim);
    let access = match words.next().unwrap_or_default() {
        "off" => {
            return match words.next() {
                None => Ok(NotifyRequest::Off),
                Some(word) => Err(format!("{word:?} means nothing after off")),
            };
        }
        "main" => NotifyAccess::Main,
        "all" => NotifyAccess::All,
        other => return Err(format!("{other:?} says not whose words count")),
    };
    let mut notify = Notify { access, ..Notify::default() };
    for word in words {
        let (place, value) = match word.split_once('=') {
            Some(("start", value)) => (&mut notify.start_timeout, value),
            Some(("watchdog", value)) => (&mut notify.watchdog, value),
            _ => return Err(format!("{word:?} means nothing here")),
        };
        if place.is_some() {
            return Err(format!("{word:?} comes twice"));
        }
        *place = Some(seconds(value).ok_or_else(|| format!("{value:?} is no number of seconds"))?);
    }
    Ok(NotifyRequest::On(notify))
}

/// At least one, and no more than fit into a year.
fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| digits && (1..=31_536_000).contains(seconds));
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_words_count_and_how_long_silence_may_be() {
        assert_eq!(parse("off"), Ok(NotifyRequest::Off));
        assert_eq!(parse("main"), Ok(NotifyRequest::On(Notify::default())));
        let all = Notify {
            access: NotifyAccess::All,
            start_timeout: Some(Duration::from_secs(600)),
            watchdog: Some(Duration::from_secs(30)),
        };
        assert_eq!(parse("all, watchdog=30, start=600"), Ok(NotifyRequest::On(all)));
    }

    #[test]
    fn nonsense_is_named() {
        for text in
            ["", "yes", "off, start=1", "main, start", "main, start=0", "main, start=+1", "main,start=1,start=2"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(parse("main, strat=1").unwrap_err(), "\"strat=1\" means nothing here");
    }
}
