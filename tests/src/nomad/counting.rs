//! An agent and a host that know of each other: `barepod nomad setup`, the jobs that count pods, and tasks that are no pods.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use super::{Nomad, NomadError, Options};
use crate::bridge::{self, Bridge};
use crate::host::{Host, SOON};
use crate::pods::IDLE;
use crate::process;

impl Nomad {
    /// `barepod nomad setup` for this agent, with a management token or without.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn setup(&self, host: &Host, token: Option<&str>, more: &[&str]) -> Result<Output, NomadError> {
        let (config, root, driver) = (self.directory.join("nomad.d"), host.path(""), &self.driver);
        let mut command = host.command(&["nomad", "setup", "--address", &self.address()])?;
        command.arg("--nomad-config").arg(config).arg("--root").arg(root).arg("--driver").arg(driver).args(more);
        if let Some(tls) = self.tls() {
            command.arg("--ca-file").arg(tls.authority()).arg("--cert-file").arg(tls.certificate());
            command.arg("--key-file").arg(tls.key()).args(["--tls-server-name", super::tls::SERVER]);
        }
        command.env_remove("NOMAD_TOKEN").envs(token.map(|token| ("NOMAD_TOKEN", token)));
        Ok(process::output(&mut command, "barepod nomad setup", SOON)?)
    }

    /// Asks the agent as its own command line does.
    pub(super) fn ask_by_command(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, NomadError> {
        let text = body.to_string();
        let mut args = vec!["operator", "api", "-X", method];
        args.extend(if body.is_null() { vec![path] } else { vec!["-d", &text, path] });
        let mut command = self.line(&args);
        command.env_remove("NOMAD_TOKEN").envs(token.map(|token| ("NOMAD_TOKEN", token)));
        let output = process::output(&mut command, &format!("{method} {path}"), SOON)?;
        serde_json::from_slice(&output.stdout).map_err(|_| NomadError::Refused {
            request: format!("{method} {path}"),
            answer: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        })
    }

    /// A host and an agent that are prepared for each other, and the bridge between them.
    ///
    /// # Errors
    /// What does not come up.
    pub fn with_bridge(options: Options) -> Result<(Host, Self, Bridge), NomadError> {
        let mut host = Host::in_view(bridge::CONFIG)?;
        host.start()?;
        let mut nomad = Self::start_with(&host, Options { bare: true, acl: true, ..options })?;
        nomad.prepare(&host)?;
        let bridge = Bridge::of_nomad(&host)?;
        Ok((host, nomad, bridge))
    }

    /// Has `barepod nomad setup` prepare agent and host for each other, and waits until the driver is healthy.
    ///
    /// # Errors
    /// It fails.
    pub fn prepare(&mut self, host: &Host) -> Result<(), NomadError> {
        let output = self.setup(host, self.token(), &[])?;
        if !output.status.success() {
            let answer = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(NomadError::Refused { request: "barepod nomad setup".to_owned(), answer });
        }
        self.stop_agent()?;
        self.start_agent()?;
        self.until("the driver to be healthy", |nomad| nomad.driver_is(true)).map(drop)
    }

    /// The job that counts a pod of the namespace `default`, as it is listed.
    pub fn job_of(&self, pod: &str) -> Option<Value> {
        let jobs = self.get("/v1/jobs?namespace=barepod&meta=true").ok()?;
        let ends = format!("default.{pod}");
        jobs.as_array()?.iter().find(|job| job["ID"].as_str().is_some_and(|id| id.ends_with(&ends))).cloned()
    }

    /// Waits until such a pod has an allocation that runs and is so.
    ///
    /// # Errors
    /// It has none.
    pub fn counted(&self, pod: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value, NomadError> {
        self.until(&format!("pod {pod} to be counted"), |nomad| {
            let id = nomad.job_of(pod)?["ID"].take();
            let all = nomad.get(&format!("/v1/job/{}/allocations?namespace=barepod", id.as_str()?)).ok()?;
            let running = |one: &&Value| one["ClientStatus"] == "running" && one["DesiredStatus"] == "run";
            let one = all.as_array()?.iter().find(running)?["ID"].clone();
            let one = nomad.get(&format!("/v1/allocation/{}?namespace=barepod", one.as_str()?)).ok()?;
            is_so(&one).then_some(one)
        })
    }
}

/// Where `barepod nomad setup` says how Nomad is found.
pub fn settings(host: &Host) -> PathBuf {
    host.path("etc/barepod/nomad/registrar.yaml")
}

/// A job of a process of the host, of this priority and memory in MiB, with a port.
pub fn raw_exec(name: &str, priority: u32, memory: u32, port: u16) -> String {
    format!(
        r#"
job "{name}" {{
  type = "service"
  priority = {priority}
  group "main" {{
    network {{
      port "main" {{
        static = {port}
      }}
    }}
    task "main" {{
      driver = "raw_exec"
      config {{
        command = "/bin/sh"
        args    = ["-c", {script}]
      }}
      resources {{
        cpu    = 50
        memory = {memory}
      }}
    }}
  }}
}}
"#,
        script = Value::from(IDLE)
    )
}
