//! The false API server: whom it passes on as whom, and how it lies.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barepod_tests::cluster::false_server::{Answer, FalseApiServer, Rule, Times};
use barepod_tests::cluster::{ClusterError, ControlPlane, Recipe, SOON};
use barepod_tests::process::Owned;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
type Said = std::result::Result<String, ClusterError>;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A control plane, and an administrator who asks the false server.
struct Scene {
    // Before the plane it stands before.
    server: FalseApiServer,
    plane: ControlPlane,
    admin: PathBuf,
}

impl Scene {
    fn new() -> Result<Self> {
        let plane = ControlPlane::start(&Recipe::default())?;
        let server = FalseApiServer::start(&plane)?;
        let admin = plane.kubeconfig_of_user_at("admin", Some("system:masters"), &server.server())?;
        Ok(Self { server, plane, admin })
    }

    /// Some ConfigMaps of these names.
    fn with_config_maps(names: &[&str]) -> Result<Self> {
        let scene = Self::new()?;
        names.iter().try_for_each(|name| scene.plane.kubectl(&["create", "configmap", name]).map(drop))?;
        Ok(scene)
    }

    fn kubectl(&self, args: &[&str]) -> Said {
        self.plane.kubectl_as(&self.admin, args)
    }

    /// The names of ConfigMaps that are the test's.
    fn config_maps(&self) -> Result<Vec<String>> {
        let names = self.kubectl(&["get", "configmaps", "-o", "name"])?;
        let names = names.lines().map(|line| line.trim_start_matches("configmap/").to_owned());
        Ok(names.filter(|name| name != "kube-root-ca.crt").collect())
    }

    fn answer(&self, answer: Answer, verb: &'static str) -> Arc<Rule> {
        self.server.answer(answer, Times::First(1), move |asked| asked.is(verb, "configmaps"))
    }
}

#[test]
fn clients_are_passed_on_as_who_they_are_and_requests_are_counted() -> Result {
    let scene = Scene::new()?;
    let node = scene.server.kubeconfig_of_node(&scene.plane, "node-a")?;
    let token = scene.plane.kubeconfig_of_token_at(&scene.server.server())?;
    let who = |kubeconfig: &PathBuf| scene.plane.kubectl_as(kubeconfig, &["auth", "whoami"]);

    assert!(who(&node)?.contains("system:node:node-a") && who(&node)?.contains("system:nodes"));
    assert!(who(&token)?.contains("system:bootstrappers:kubeadm:default-node-token"));
    scene.server.forget();
    let mine = ["get", "pods", "--field-selector", "spec.nodeName=node-a"];
    let foreign = ["get", "pods", "--field-selector", "spec.nodeName=node-b"];
    scene.plane.kubectl_as(&node, &mine)?;
    assert!(scene.plane.kubectl_as(&node, &foreign).unwrap_err().to_string().contains("Forbidden"));

    let key = ("list".to_owned(), "pods".to_owned());
    assert_eq!(scene.server.counts().get(&key), Some(&2));
    let users = scene.server.asked().into_iter().filter(|asked| asked.is("list", "pods")).map(|asked| asked.user);
    assert!(users.into_iter().all(|user| user.as_deref() == Some("system:node:node-a")));
    Ok(())
}

#[test]
fn requests_get_the_answers_that_were_ordered_as_often_as_was_ordered() -> Result {
    let scene = Scene::with_config_maps(&["a", "b", "c"])?;
    let list = || scene.kubectl(&["get", "--raw", CONFIG_MAPS]);
    let fails = |answer: Answer, verb: &'static str, args: &[&str]| -> Result<String> {
        let rule = scene.answer(answer, verb);
        let said = scene.kubectl(args).unwrap_err().to_string();
        assert_eq!(rule.hits(), 1, "{said}");
        Ok(said)
    };

    for (code, reason) in [(500, "InternalError"), (404, "NotFound"), (410, "Expired")] {
        let said = fails(Answer::Status(code), "list", &["get", "--raw", CONFIG_MAPS])?;
        assert!(said.contains(reason), "{code}: {said}");
        list()?;
    }

    // kubectl waits and asks again.
    let (begin, rule) = (Instant::now(), scene.answer(Answer::RetryAfter(1), "list"));
    list()?;
    assert!(begin.elapsed() >= Duration::from_secs(1) && rule.hits() == 1, "{:?}", begin.elapsed());

    let (begin, rule) = (Instant::now(), scene.answer(Answer::Delay(Duration::from_secs(1)), "list"));
    list()?;
    assert!(begin.elapsed() >= Duration::from_secs(1) && rule.hits() == 1, "{:?}", begin.elapsed());

    // The fourth is the authority's certificate that every namespace has.
    scene.answer(Answer::HalfList, "list");
    assert_eq!(scene.config_maps()?, ["a", "b"]);
    scene.answer(Answer::EmptyList, "list");
    assert_eq!(scene.config_maps()?, [""; 0]);
    assert_eq!(scene.config_maps()?, ["a", "b", "c"]);

    let said = fails(Answer::Cut, "list", &["get", "--raw", CONFIG_MAPS])?;
    assert!(said.contains("EOF"), "{said}");
    let said = fails(Answer::Silence, "list", &["get", "--raw", CONFIG_MAPS, "--request-timeout=1s"])?;
    assert!(said.contains("deadline") || said.contains("timeout"), "{said}");
    // It is done, and nobody is told.
    let said = fails(Answer::CutAnswer, "create", &["create", "configmap", "d"])?;
    assert!(said.contains("EOF"), "{said}");
    assert_eq!(scene.config_maps()?, ["a", "b", "c", "d"]);
    Ok(())
}

/// A watch in the background, by a kubectl that writes what it sees to a file.
fn watch(scene: &Scene, file: &str) -> Result<(Owned, PathBuf)> {
    let path = scene.plane.path(file);
    let mut command = scene.plane.command(&scene.admin, &["get", "--raw", &format!("{CONFIG_MAPS}?watch=true")])?;
    command.stdout(std::fs::File::create(&path)?).stderr(std::process::Stdio::null());
    Ok((Owned::spawn(&mut command)?, path))
}

#[test]
fn a_watch_is_cut_where_it_was_ordered_and_whenever() -> Result {
    let scene = Scene::with_config_maps(&["a"])?;
    let ends = |watch: &mut Owned| watch.wait("the watch", SOON);

    scene.answer(Answer::CutAfter(100), "watch");
    let (mut cut, seen) = watch(&scene, "cut")?;
    assert!(!ends(&mut cut)?.success());
    assert_eq!(std::fs::read(&seen)?.len(), 100);

    let (mut whole, seen) = watch(&scene, "whole")?;
    let read = || std::fs::read_to_string(&seen).unwrap_or_default();
    scene.plane.until("the ConfigMap to be seen", SOON, |_| read().contains("\"name\":\"a\"").then_some(()))?;
    scene.plane.kubectl(&["create", "configmap", "b"])?;
    scene.plane.until("the next one as well", SOON, |_| read().contains("\"name\":\"b\"").then_some(()))?;
    assert!(whole.ended()?.is_none());
    scene.server.cut_connections();
    assert!(!ends(&mut whole)?.success());

    scene.answer(Answer::WatchError(410), "watch");
    let (mut expired, seen) = watch(&scene, "expired")?;
    assert!(ends(&mut expired)?.success());
    let said = std::fs::read_to_string(seen)?;
    assert!(said.contains("\"type\":\"ERROR\"") && said.contains("\"code\":410"), "{said}");
    Ok(())
}

#[test]
fn who_asks_while_either_server_is_dead_gets_no_answer() -> Result {
    let scene = Scene::with_config_maps(&["a"])?;

    scene.plane.kill_api_server()?;
    assert!(scene.config_maps().is_err());
    scene.plane.start_api_server()?;

    assert_eq!(scene.config_maps()?, ["a"]);

    let Scene { server, plane, admin } = scene;
    drop(server);
    let said = plane.kubectl_as(&admin, &["get", "--raw", "/readyz"]).unwrap_err().to_string();
    assert!(said.contains("refused"), "{said}");
    Ok(())
}
