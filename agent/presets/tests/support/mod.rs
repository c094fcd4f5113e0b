//! A host that does not exist, and requests as a manifest makes them.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its part, so no expectation holds for all")]

use std::path::Path;

use barepod_model::{
    Bytes, CapabilityRequest, ContainerKind, ContainerName, ContainerRequest, Env, MilliCpu, NamespaceUse,
    RequestError, Resolved, Resources, UserRequest,
};
use barepod_presets::{Account, Catalogue, Host};

/// A host with some files and accounts.
#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) files: Vec<&'static str>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) version: &'static str,
    /// What some files hold.
    pub(crate) texts: Vec<(&'static str, &'static str)>,
    /// What other programs say of their version.
    pub(crate) versions: Vec<(&'static str, &'static str)>,
    pub(crate) clock: Option<bool>,
}

/// Debian with PostgreSQL 13 and 15.
pub(crate) fn debian() -> FakeHost {
    FakeHost {
        files: vec![
            "/usr/bin/apt-get",
            "/usr/lib/postgresql/13/bin/postgres",
            "/usr/lib/postgresql/15/bin/postgres",
            "/usr/lib/postgresql/16/share",
        ],
        accounts: vec![
            Account { name: "postgres".into(), uid: 101, gid: 104, groups: vec![103] },
            Account { name: "nobody".into(), uid: 65534, gid: 65534, groups: vec![] },
            Account { name: "daemon".into(), uid: 1, gid: 1, groups: vec![] },
            Account { name: "root".into(), uid: 0, gid: 0, groups: vec![] },
        ],
        version: ".20",
        texts: vec![("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")],
        versions: Vec::new(),
        clock: Some(true),
    }
}

impl Host for FakeHost {
    fn exists(&self, path: &Path) -> bool {
        self.files.iter().any(|f| Path::new(f).starts_with(path))
    }

    fn list_dir(&self, path: &Path) -> Vec<String> {
        let below = self.files.iter().filter_map(|f| Path::new(f).strip_prefix(path).ok());
        let mut names: Vec<String> =
            below.filter_map(|f| f.iter().next()).map(|name| name.to_string_lossy().into_owned()).collect();
        names.dedup();
        names
    }

    fn read(&self, path: &Path) -> Option<String> {
        self.texts.iter().find(|(file, _)| Path::new(file) == path).map(|(_, text)| (*text).to_owned())
    }

    fn read_inside(&self, tree: &Path, path: &Path) -> Option<String> {
        self.read(&tree.join(path.strip_prefix("/").unwrap_or(path)))
    }

    fn clock_synchronised(&self) -> Option<bool> {
        self.clock
    }

    fn run_version(&self, argv: &[String]) -> Result<String, String> {
        if let Some((_, text)) = self.versions.iter().find(|(program, _)| argv[0] == *program) {
            return Ok((*text).to_owned());
        }
        let major: String = argv[0].chars().filter(char::is_ascii_digit).collect();
        if self.version.is_empty() {
            return Err(format!("{} could not be run: Permission denied", argv[0]));
        }
        Ok(format!("postgres (PostgreSQL) {major}{} (Debian {major}{}-0+deb12u1)\n", self.version, self.version))
    }

    fn account(&self, name: &str) -> Option<Account> {
        self.accounts.iter().find(|a| a.name == name).cloned()
    }

    fn account_of(&self, uid: u32) -> Option<Account> {
        self.accounts.iter().find(|a| a.uid == uid).cloned()
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.account(name).map(|a| a.gid)
    }
}

/// A request for `image` without anything else.
pub(crate) fn request(image: &str) -> ContainerRequest {
    ContainerRequest {
        name: ContainerName::new("main").expect("a name"),
        kind: ContainerKind::Regular,
        image: image.to_owned(),
        command: Vec::new(),
        args: Vec::new(),
        env: Env::default(),
        working_dir: None,
        resources: Resources::default(),
        mounts: Vec::new(),
        user: UserRequest::default(),
        read_only_root: false,
        capabilities: CapabilityRequest::default(),
        allow_privilege_escalation: None,
        namespaces: NamespaceUse::default(),
        tty: false,
        stdin: barepod_model::Stdin::Closed,
        env_files: Vec::new(),
        hostname: "db".to_owned(),
        network: barepod_model::NetworkFiles::default(),
        confinement: barepod_model::Confinement::default(),
    }
}

/// A request for PostgreSQL with a password and, where they are not 0, limits.
pub(crate) fn postgres(image: &str, memory_mib: u64, milli_cpu: u64) -> ContainerRequest {
    let mut request = request(image);
    set(&mut request, "POSTGRES_PASSWORD", "secret");
    request.resources.memory_limit = (memory_mib > 0).then_some(Bytes(memory_mib << 20));
    request.resources.cpu_limit = (milli_cpu > 0).then_some(MilliCpu(milli_cpu));
    request
}

pub(crate) fn set(request: &mut ContainerRequest, name: &str, value: &str) {
    request.env.0.insert(name.to_owned(), value.to_owned());
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

pub(crate) fn resolve(request: &ContainerRequest) -> Result<Resolved, RequestError> {
    Catalogue::built_in().expect("the built-in presets are valid").resolve(request, &debian())
}

pub(crate) fn file<'a>(resolved: &'a Resolved, path: &str) -> &'a str {
    let file = resolved.launch.files.iter().find(|f| f.path == Path::new(path));
    &file.expect("the file is rendered").contents
}
