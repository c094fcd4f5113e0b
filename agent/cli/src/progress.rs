//! What a pod that is not ready is waited for, in a line.

use barepod_api::v1::{Container, Pod};

/// What is waited for now.
pub(crate) fn awaited(pod: &Pod) -> String {
    if !pod.reason.is_empty() {
        return with_message(&pod.reason, &pod.message);
    }
    let is_done = |container: &Container| container.state == "terminated" && container.reason == "Completed";
    let (init, others): (Vec<_>, Vec<_>) = pod.containers.iter().filter(|it| !it.ephemeral).partition(|it| it.init);
    if let Some(first) = init.into_iter().find(|container| !is_done(container)) {
        return format!("init container {}: {}", first.name, state(first));
    }
    let waiting: Vec<_> = others.into_iter().filter(|container| !container.ready).collect();
    match &waiting[..] {
        [] => "its readiness gates".to_owned(),
        [one] => format!("container {}: {}", one.name, state(one)),
        several => several.iter().map(|one| format!("{}: {}", one.name, state(one))).collect::<Vec<_>>().join("; "),
    }
}

fn state(container: &Container) -> String {
    let Container { state, reason, message, .. } = container;
    if state != "running" {
        return with_message(if reason.is_empty() { state } else { reason }, message);
    }
    let own = container.said.as_ref().map(|said| said.status.as_str()).filter(|status| !status.is_empty());
    let own = own.map(|status| format!(": {status:?}")).unwrap_or_default();
    match (container.started, &container.said) {
        (false, Some(said)) if !said.ready => format!("runs, and has not said that it is ready{own}"),
        (false, _) => format!("runs, and its startup probe has not succeeded{own}"),
        (true, _) => format!("has started, and its readiness probe has not succeeded{own}"),
    }
}

fn with_message(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::Said;

    use super::*;

    fn container(name: &str, state: &str, reason: &str) -> Container {
        let [name, state, reason] = [name, state, reason].map(str::to_owned);
        Container { name, state, reason, ..Container::default() }
    }

    fn of(containers: Vec<Container>) -> String {
        awaited(&Pod { containers, ..Pod::default() })
    }

    #[test]
    fn the_line_names_what_stands_in_the_way() {
        let pod = Pod { reason: "OutOfmemory".to_owned(), message: "too little".to_owned(), ..Pod::default() };
        assert_eq!(awaited(&pod), "OutOfmemory: too little");
        let init = Container { init: true, ..container("first", "running", "") };
        let main = container("main", "waiting", "PodInitializing");
        let expected = "init container first: runs, and its startup probe has not succeeded";
        assert_eq!(of(vec![init.clone(), main.clone()]), expected);
        let done = Container { init: true, ..container("first", "terminated", "Completed") };
        assert_eq!(of(vec![done, main]), "container main: PodInitializing");
        let said = Some(Said { status: "replaying".to_owned(), ..Said::default() });
        let speaking = Container { said, ..container("db", "running", "") };
        assert_eq!(of(vec![speaking]), "container db: runs, and has not said that it is ready: \"replaying\"");
        let started = Container { started: true, ..container("db", "running", "") };
        assert_eq!(of(vec![started]), "container db: has started, and its readiness probe has not succeeded");
        let ready = Container { ready: true, ..container("db", "running", "") };
        let crash = Container { message: "back-off 10s".to_owned(), ..container("web", "waiting", "CrashLoopBackOff") };
        assert_eq!(of(vec![ready.clone(), crash]), "container web: CrashLoopBackOff: back-off 10s");
        assert_eq!(of(vec![ready]), "its readiness gates");
    }
}
