//! What stands beside a container's main process arrives as it was written: probes over the network, hooks, rules.

use std::time::Duration;

use barepod_manifest::{ParsedPod, read};
use barepod_model::{
    ContainerKind, ExitCodes, Hook, HttpGet, HttpScheme, Notify, NotifyAccess, NotifyRequest, ProbeHandler,
    RestartAction, RestartPolicy, TerminationMessagePolicy,
};

const TEXT: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  annotations: {barepod.dev/depends-on: "db-0, other/cache"}
spec:
  activeDeadlineSeconds: 3600
  initContainers:
    - {name: proxy, image: host, command: ["true"], restartPolicy: Always, startupProbe: {tcpSocket: {port: 15000}}}
  containers:
    - name: main
      image: host
      command: ["true"]
      restartPolicy: Never
      restartPolicyRules:
        - {action: RestartAllContainers, exitCodes: {operator: NotIn, values: [0, 1]}}
      ports: [{name: http, containerPort: 8080}]
      terminationMessagePath: /tmp/words
      terminationMessagePolicy: FallbackToLogsOnError
      livenessProbe:
        httpGet: {port: http, path: healthz, scheme: HTTPS, httpHeaders: [{name: Host, value: example}]}
        terminationGracePeriodSeconds: 5
      readinessProbe: {grpc: {port: 9000, service: ready}}
      lifecycle:
        postStart: {httpGet: {port: 8080, host: 10.0.0.1}}
        preStop: {sleep: {seconds: 3}}
        stopSignal: SIGUSR1
"#;

fn parse() -> ParsedPod {
    read("web.yaml", TEXT).expect("valid").remove(0)
}

#[test]
fn probes_name_ports_by_number_or_by_name() {
    let pod = parse();
    let main = &pod.containers[1];
    let liveness = main.liveness.as_ref().expect("a probe");
    let expected = HttpGet {
        scheme: HttpScheme::Https,
        host: None,
        port: 8080,
        path: "/healthz".to_owned(),
        headers: vec![("Host".to_owned(), "example".to_owned())],
    };
    assert_eq!(liveness.handler, ProbeHandler::Http(expected));
    assert_eq!(liveness.termination_grace, Some(Duration::from_secs(5)));
    let grpc = ProbeHandler::Grpc { port: 9000, service: "ready".to_owned() };
    assert_eq!(main.readiness.as_ref().expect("a probe").handler, grpc);
    let tcp = ProbeHandler::Tcp { host: None, port: 15000 };
    assert_eq!(pod.containers[0].startup.as_ref().expect("a probe").handler, tcp);
}

#[test]
fn an_init_container_that_is_always_restarted_is_a_sidecar() {
    assert_eq!(parse().containers[0].request.kind, ContainerKind::Sidecar);
    let never = TEXT.replace("restartPolicy: Always, startupProbe: {tcpSocket: {port: 15000}}", "restartPolicy: Never");
    let pod = read("web.yaml", &never).expect("valid").remove(0);
    assert_eq!(pod.containers[0].request.kind, ContainerKind::Init);
    assert_eq!(pod.containers[0].restart.policy, Some(RestartPolicy::Never));
}

#[test]
fn hooks_rules_and_last_words_arrive() {
    let pod = parse();
    let main = &pod.containers[1];
    assert!(matches!(&main.lifecycle.post_start, Some(Hook::Http(get)) if get.host.as_deref() == Some("10.0.0.1")));
    assert_eq!(main.lifecycle.pre_stop, Some(Hook::Sleep(Duration::from_secs(3))));
    assert_eq!(main.stop_signal, Some(10));
    assert_eq!(main.restart.policy, Some(RestartPolicy::Never));
    assert_eq!(main.restart.rules[0].codes, ExitCodes::NotIn(vec![0, 1]));
    assert_eq!(main.restart.rules[0].action, RestartAction::RestartAllContainers);
    assert_eq!(main.termination_message.path.to_str(), Some("/tmp/words"));
    assert_eq!(main.termination_message.policy, TerminationMessagePolicy::FallbackToLogsOnError);
}

#[test]
fn deadline_and_dependencies_arrive() {
    let pod = parse();
    assert_eq!(pod.active_deadline, Some(Duration::from_secs(3600)));
    let names: Vec<_> = pod.depends_on.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
    assert_eq!(names, ["shop/db-0", "other/cache"]);
}

#[test]
fn a_probe_without_figures_has_those_of_kubernetes() {
    let text =
        TEXT.replace("readinessProbe: {grpc: {port: 9000, service: ready}}", "readinessProbe: {tcpSocket: {port: 1}}");
    let pod = read("web.yaml", &text).expect("valid").remove(0);
    let probe = pod.containers[1].readiness.as_ref().expect("a probe");
    assert_eq!((probe.initial_delay, probe.period), (Duration::ZERO, Duration::from_secs(10)));
    assert_eq!((probe.timeout, probe.success_threshold, probe.failure_threshold), (Duration::from_secs(1), 1, 3));
    assert_eq!(probe.termination_grace, None);
}

#[test]
fn gates_and_services_that_speak_arrive_as_they_are_written() {
    let text = TEXT
        .replace("spec:\n", "spec:\n  readinessGates: [{conditionType: example.com/one}, {conditionType: Two}]\n")
        .replace(
            "annotations: {",
            "annotations: {notify.barepod.dev/main: \"all, watchdog=5\", notify.barepod.dev/proxy: \"off\", ",
        );
    let pod = read("web.yaml", &text).expect("valid").remove(0);
    assert_eq!(pod.readiness_gates, ["example.com/one", "Two"]);
    let watchdog = Some(Duration::from_secs(5));
    let notify = Notify { access: NotifyAccess::All, watchdog, start_timeout: None };
    assert_eq!(pod.containers[1].notify, Some(NotifyRequest::On(notify)));
    assert_eq!(pod.containers[0].notify, Some(NotifyRequest::Off));
}
