//! A real Nomad agent, server and client in one or each a process of its own, whose task driver is barepod's.
//!
//! Its data are kept over its deaths. All its processes know whose they are by a variable of their environment; what is left of
//! them is killed when it is dropped.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::ClusterError;
use crate::host::{Host, HostError, SOON, signal};
use crate::peers::{NOMAD, NotBuilt};
use crate::process::{self, Owned, ProcessError, tail};
use crate::scratch::steady_port;
use crate::wait::{WaitedInVain, wait_for};

mod apart;
mod configuration;
mod counting;
mod tls;

pub use configuration::{ONE, Options};
pub use counting::{raw_exec, settings};

/// What went wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum NomadError {
    /// A file, or the connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not built.
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Its certificates.
    #[error(transparent)]
    Certificates(#[from] ClusterError),
    /// An answer is no JSON.
    #[error("an answer is no JSON")]
    Json(#[from] serde_json::Error),
    /// The agent refused.
    #[error("{request}: {answer}")]
    Refused {
        /// What was asked.
        request: String,
        /// What it said.
        answer: String,
    },
    /// Nobody listens.
    #[error("the agent does not answer: {0}\n--- its last words:\n{1}")]
    Silent(io::Error, String),
    /// Something did not come to pass.
    #[error("{0}\n--- the agent's last words:\n{1}")]
    Vain(WaitedInVain, String),
}

/// The variable by which its processes are known.
const MARK: &str = "BAREPOD_TEST_NOMAD";

/// The agent.
#[derive(Debug)]
pub struct Nomad {
    agent: Option<Owned>,
    /// Where it is a client alone.
    server: Option<apart::Server>,
    program: PathBuf,
    driver: PathBuf,
    directory: PathBuf,
    socket: PathBuf,
    ports: [u16; 3],
    options: Options,
    token: Option<String>,
    tls: Option<tls::Tls>,
}

impl Nomad {
    /// Starts an agent beside a host's daemon, and waits until it has taken the driver for healthy.
    ///
    /// # Errors
    /// What does not come up.
    pub fn start(host: &Host) -> Result<Self, NomadError> {
        let nomad = Self::start_with(host, Options::default())?;
        nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
        Ok(nomad)
    }

    /// The same as is wanted, and waits for nothing but its node.
    ///
    /// # Errors
    /// What does not come up.
    pub fn start_with(host: &Host, options: Options) -> Result<Self, NomadError> {
        let directory = host.path("nomad");
        let port = || steady_port(Ipv4Addr::LOCALHOST.into());
        let mut nomad = Self {
            agent: None,
            server: options.apart.then(apart::Server::new).transpose()?,
            program: NOMAD.program("nomad")?,
            driver: host.program("barepod-nomad-driver")?,
            socket: host.path("run/barepod/barepod.sock"),
            ports: [port()?, port()?, port()?],
            directory,
            options,
            token: None,
            tls: options.tls.then(|| tls::Tls::new(host)).transpose()?,
        };
        for name in ["data", "plugins", "tmp", "nomad.d"] {
            std::fs::create_dir_all(nomad.directory.join(name))?;
        }
        if !options.bare {
            std::os::unix::fs::symlink(&nomad.driver, nomad.directory.join("plugins/barepod-nomad-driver"))?;
        }
        nomad.write_configuration()?;
        nomad.start_server()?;
        nomad.start_agent()?;
        if options.acl {
            let made =
                nomad.until("ACLs to begin", |nomad| nomad.ask("PUT", "/v1/acl/bootstrap", &Value::Null).ok())?;
            nomad.token = made["SecretID"].as_str().map(str::to_owned);
        }
        // A client that has come before its server has a leader tries again after up to half a minute.
        let ready = |nomad: &Self| nomad.node().filter(|node| node["Status"] == "ready");
        nomad.within(2 * SOON, "the node to be ready", ready)?;
        Ok(nomad)
    }

    /// Where its files are: `nomad.d` is read when it starts.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its address: that of the client, where the server is another process.
    pub fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls.is_some() { "https" } else { "http" }, self.ports[0])
    }

    /// Its certificates, where it has any.
    pub fn tls(&self) -> Option<&tls::Tls> {
        self.tls.as_ref()
    }

    /// The management token, where there are ACLs.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Starts the agent, and waits until it answers and has a leader.
    ///
    /// # Errors
    /// It does not.
    pub fn start_agent(&mut self) -> Result<(), NomadError> {
        self.launch_agent()?;
        self.has_leader()
    }

    /// Starts the agent, and waits for nothing.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch_agent(&mut self) -> Result<(), NomadError> {
        let files = ["agent.json", "nomad.d"].map(|name| self.directory.join(name));
        self.agent = Some(self.spawn(&files, "agent.log")?);
        Ok(())
    }

    fn spawn(&self, configuration: &[PathBuf], log: &str) -> Result<Owned, NomadError> {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.directory.join(log))?;
        let mut command = Command::new(&self.program);
        command.arg("agent").args(configuration.iter().flat_map(|file| [Path::new("-config"), file]));
        command
            .env_remove("AWS_CA_BUNDLE")
            .env("TMPDIR", self.directory.join("tmp"))
            .env("AGENT_SECRET", "of the agent");
        command.env(MARK, &self.directory);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Owned::spawn(&mut command)?)
    }

    fn has_leader(&self) -> Result<(), NomadError> {
        let leads = |answer: Value| answer.as_str().is_some_and(|leader| !leader.is_empty());
        self.until("the servers to have a leader", |nomad| {
            nomad.get("/v1/status/leader").ok().filter(|it| leads(it.clone()))
        })
        .map(drop)
    }

    /// SIGKILL to the agent alone.
    ///
    /// # Errors
    /// As kill(2).
    pub fn kill_agent(&mut self) -> Result<(), NomadError> {
        self.agent.take().map_or(Ok(()), |mut agent| Ok(agent.kill()?))
    }

    /// SIGTERM to the agent, and waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop_agent(&mut self) -> Result<(), NomadError> {
        if let Some(mut agent) = self.agent.take() {
            signal(agent.id(), "TERM")?;
            agent.wait("the Nomad agent", SOON)?;
        }
        Ok(())
    }

    /// The driver's process: one, unless it is being replaced.
    pub fn plugins(&self) -> Vec<u32> {
        self.processes()
            .into_iter()
            .filter(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.driver))
            .collect()
    }

    /// Processes of its own program that it has started for tasks: `logmon` collects logs, `executor` is who `raw_exec` runs
    /// a task by.
    pub fn helpers(&self, verb: &str) -> Vec<u32> {
        let is_one = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(verb.as_bytes())
        };
        self.processes().into_iter().filter(is_one).collect()
    }

    /// All that it or a predecessor has started. Pods are none of them.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.directory.display());
        let is_its = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_its).collect()
    }

    /// What the agent answers.
    ///
    /// # Errors
    /// It does not, or refuses.
    pub fn get(&self, path: &str) -> Result<Value, NomadError> {
        self.ask("GET", path, &Value::Null)
    }

    /// Asks the agent for something; or the server, where that is another process.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, NomadError> {
        self.ask_as(self.token.as_deref(), method, path, body)
    }

    /// The same by another token.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn ask_as(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Result<Value, NomadError> {
        if self.tls.is_some() {
            return self.ask_by_command(token, method, path, body);
        }
        let token = token.map(|token| format!("X-Nomad-Token: {token}\r\n")).unwrap_or_default();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let port = self.server.as_ref().map_or(self.ports[0], |server| server.ports[0]);
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let mut stream = stream.map_err(|error| NomadError::Silent(error, self.last_words()))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "{method} {path} HTTP/1.0\r\n{token}Content-Length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if head.split(' ').nth(1) != Some("200") {
            return Err(NomadError::Refused { request: format!("{method} {path}"), answer: format!("{head}\n{text}") });
        }
        // Some answers have no body.
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(text)?) }
    }

    /// Runs a job, as HCL.
    ///
    /// # Errors
    /// The agent refuses it.
    pub fn run(&self, hcl: &str) -> Result<(), NomadError> {
        let job = self.ask("PUT", "/v1/jobs/parse", &json!({"JobHCL": hcl, "Canonicalize": true}))?;
        self.ask("PUT", "/v1/jobs", &json!({"Job": job})).map(drop)
    }

    /// Stops a job, and forgets it if that is wanted.
    ///
    /// # Errors
    /// The agent refuses.
    pub fn stop(&self, job: &str, purge: bool) -> Result<(), NomadError> {
        self.ask("DELETE", &format!("/v1/job/{job}?purge={purge}"), &Value::Null).map(drop)
    }

    /// The command line.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn command(&self, args: &[&str]) -> Result<Output, NomadError> {
        Ok(process::output(&mut self.line(args), &format!("nomad {}", args.join(" ")), SOON)?)
    }

    /// The command line, not begun.
    pub fn line(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("NOMAD_ADDR", self.address()).env_remove("AWS_CA_BUNDLE");
        command.envs(self.token().map(|token| ("NOMAD_TOKEN", token)));
        if let Some(tls) = &self.tls {
            let files = [("NOMAD_CACERT", tls.authority()), ("NOMAD_CLIENT_CERT", tls.certificate().clone())];
            command.envs(files).env("NOMAD_CLIENT_KEY", tls.key()).env("NOMAD_TLS_SERVER_NAME", tls::SERVER);
        }
        command
    }

    /// What the command line prints, which must succeed.
    ///
    /// # Errors
    /// It fails.
    pub fn says(&self, args: &[&str]) -> Result<String, NomadError> {
        let output = self.command(args)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let answer = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        Err(NomadError::Refused { request: args.join(" "), answer })
    }

    /// The youngest allocation of a job.
    pub fn allocation(&self, job: &str) -> Option<Value> {
        let all = self.get(&format!("/v1/job/{job}/allocations")).ok()?;
        all.as_array()?.iter().max_by_key(|one| one["CreateIndex"].as_u64()).cloned()
    }

    /// Waits until the youngest allocation of a job, not this one, has this status, and gives it.
    ///
    /// # Errors
    /// It does not.
    pub fn has(&self, job: &str, status: &str, other_than: Option<&str>) -> Result<Value, NomadError> {
        self.until(&format!("an allocation of {job} to be {status}"), |nomad| {
            let allocation = nomad.allocation(job)?;
            let id = allocation["ID"].as_str();
            (allocation["ClientStatus"] == status && id != other_than).then_some(allocation)
        })
    }

    /// Whether the client takes the driver for healthy, or for not.
    pub fn driver_is(&self, healthy: bool) -> Option<Value> {
        let node = self.node()?;
        let driver = &node["Drivers"]["barepod"];
        let is_so = driver["Healthy"] == healthy && node["Status"] == "ready";
        is_so.then(|| driver.clone())
    }

    /// The one node there is.
    pub fn node(&self) -> Option<Value> {
        let nodes = self.get("/v1/nodes").ok()?;
        self.get(&format!("/v1/node/{}", nodes[0]["ID"].as_str()?)).ok()
    }

    /// Waits for something of it.
    ///
    /// # Errors
    /// It does not come to pass.
    pub fn until<T>(&self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> Result<T, NomadError> {
        self.within(SOON, what, condition)
    }

    /// The same with a limit of one's own.
    ///
    /// # Errors
    /// It does not come to pass.
    pub fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        condition: impl Fn(&Self) -> Option<T>,
    ) -> Result<T, NomadError> {
        wait_for(what, limit, || condition(self)).map_err(|vain| NomadError::Vain(vain, self.last_words()))
    }

    fn last_words(&self) -> String {
        let log = read(&self.directory.join("agent.log"));
        // What it was asked says nothing of what it did.
        let told: String = log.lines().filter(|line| !line.contains(" http: ")).flat_map(|line| [line, "\n"]).collect();
        tail(&told, 40)
    }

    /// All that the agent has logged.
    pub fn log(&self) -> String {
        read(&self.directory.join("agent.log"))
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

impl Drop for Nomad {
    fn drop(&mut self) {
        self.kill_agent().ok();
        self.kill_server().ok();
        for pid in self.processes() {
            signal(pid, "KILL").ok();
        }
        if let Ok(table) = std::fs::read_to_string("/proc/self/mounts") {
            // The client mounts the tasks' secrets.
            let mounts = table.lines().filter_map(|line| line.split(' ').nth(1));
            for mount in mounts.filter(|at| Path::new(at).starts_with(&self.directory)) {
                Command::new("umount").arg("-l").arg(mount).status().ok();
            }
        }
    }
}
