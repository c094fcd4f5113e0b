//! `barepod cp`: files into a container and out of it, by the container's own tar, as `kubectl cp` does.
//!
//! What comes out of a container is not trusted: plain files and directories are taken, below the destination, and nothing else.

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use barepod_api::v1::{ExecRequest, ExecResponse, ExecStart, exec_request, exec_response};
use tar::EntryType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Client;
use crate::args::Cp;
use crate::refusal::from_status;
use crate::target;

/// A side of the copy.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Here(PathBuf),
    There { pod: String, path: String },
}

/// The container that is copied to or from.
struct There {
    namespace: String,
    pod: String,
    container: String,
}

pub(super) async fn run(client: Client, namespace: String, args: Cp) -> Result<ExitCode> {
    let container = args.container.unwrap_or_default();
    match (side(&args.from)?, side(&args.to)?) {
        (Side::Here(from), Side::There { pod, path }) => {
            upload(client, There { namespace, pod, container }, from, path).await
        }
        (Side::There { pod, path }, Side::Here(to)) => {
            download(client, There { namespace, pod, container }, path, to).await
        }
        (Side::Here(_), Side::Here(_)) => bail!("neither side is in a pod; write it as POD:PATH"),
        (Side::There { .. }, Side::There { .. }) => bail!("both sides are in pods; copy to this host first"),
    }
}

/// `POD:PATH`, or a path of this host: one with a `:` in it begins with `/` or `.`.
fn side(word: &str) -> Result<Side> {
    match word.split_once(':') {
        Some((pod, path)) if !word.starts_with(['/', '.']) => {
            if pod.is_empty() || path.is_empty() {
                bail!("{word:?} names no path in a pod; write POD:PATH, like db:/tmp/dump.sql");
            }
            Ok(Side::There { pod: target::name(pod)?, path: path.to_owned() })
        }
        _ => Ok(Side::Here(PathBuf::from(word))),
    }
}

/// The last part of a path; there is none of `/` and `..`.
fn last_name(path: &Path) -> Result<String> {
    let name = path
        .file_name()
        .with_context(|| format!("{} has no name of its own; name a file or directory", path.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

// ---- into a container ----

async fn upload(mut client: Client, there: There, from: PathBuf, to: String) -> Result<ExitCode> {
    fs_err::symlink_metadata(&from)?;
    let (directory, name) = match to.ends_with('/') || is_directory(&mut client, &there, &to).await? {
        true => (to.clone(), last_name(&std::path::absolute(&from)?)?),
        false => {
            let to = Path::new(&to);
            let above = to.parent().map(|above| above.display().to_string()).unwrap_or_default();
            (if above.is_empty() { ".".to_owned() } else { above }, last_name(to)?)
        }
    };
    let command = ["tar", "-x", "-m", "-o", "-f", "-", "-C", &directory];
    let (sender, answers) = there.exec(&mut client, &command, true).await?;
    let packed = tokio::task::spawn_blocking(move || pack(&from, &name, Sink { sender, pending: Vec::new() }));
    // If the other side ends early, it says why, which is more than that nobody reads.
    let outcome = collect(answers, async |_| Ok(())).await;
    let packed = packed.await.context("packing was cut off")?;
    outcome?.check(&to)?;
    packed?;
    Ok(ExitCode::SUCCESS)
}

fn pack(from: &Path, name: &str, sink: Sink) -> Result<()> {
    let mut archive = tar::Builder::new(sink);
    archive.follow_symlinks(false);
    if fs_err::metadata(from)?.is_dir() {
        archive.append_dir_all(name, from)?;
    } else {
        archive.append_path_with_name(fs_err::canonicalize(from)?, name)?;
    }
    archive.into_inner()?.close();
    Ok(())
}

/// Writes to a command's input.
struct Sink {
    sender: mpsc::Sender<ExecRequest>,
    pending: Vec<u8>,
}

/// As much is sent at once.
const CHUNK: usize = 64 << 10;

impl Sink {
    fn send(&self, request: exec_request::Request) -> io::Result<()> {
        let sent = self.sender.blocking_send(ExecRequest { request: Some(request) });
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn close(mut self) {
        // Whoever does not read any more has said why.
        self.flush().and_then(|()| self.send(exec_request::Request::StdinClosed(true))).ok();
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(data);
        if self.pending.len() >= CHUNK {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let data = std::mem::take(&mut self.pending);
        if data.is_empty() { Ok(()) } else { self.send(exec_request::Request::Stdin(data)) }
    }
}

// ---- out of a container ----

async fn download(mut client: Client, there: There, from: String, to: PathBuf) -> Result<ExitCode> {
    let name = last_name(Path::new(&from))?;
    let to = if to.is_dir() { to.join(&name) } else { to };
    if fs_err::symlink_metadata(&to).is_ok_and(|found| found.is_dir()) {
        bail!("{} is there already; remove it, or name another place", to.display());
    }
    let above = std::path::absolute(&to)?.parent().unwrap_or(Path::new("/")).to_owned();
    let holding = tempfile::Builder::new().prefix(".barepod-cp-").tempdir_in(&above);
    let holding = holding.with_context(|| format!("nothing can be written into {}", above.display()))?;
    let place = holding.path().to_owned();
    let directory = match Path::new(&from).parent().map(|above| above.display().to_string()) {
        Some(above) if !above.is_empty() => above,
        Some(_) | None => ".".to_owned(),
    };
    let command = ["tar", "-c", "-f", "-", "-C", &directory, "--", &name];
    let (_open, answers) = there.exec(&mut client, &command, false).await?;
    let (data, received) = mpsc::channel(16);
    let wanted = name.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack(Source { received, rest: Vec::new() }, &wanted, &place));
    let outcome =
        collect(answers, async |chunk| data.send(chunk).await.map_err(|_| io::ErrorKind::BrokenPipe.into())).await;
    drop(data);
    let left_out = unpacked.await.context("unpacking was cut off")?;
    outcome?.check(&from)?;
    let left_out = left_out?;
    fs_err::rename(holding.path().join(&name), &to)?;
    if left_out > 0 {
        eprintln!("warning: {left_out} links, devices or others that are no plain files were left out");
    }
    Ok(ExitCode::SUCCESS)
}

/// Unpacks what is called `wanted`, and tells how much was left out.
fn unpack(source: Source, wanted: &str, into: &Path) -> Result<u64> {
    let mut archive = tar::Archive::new(source);
    let mut left_out = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut parts = path.components().filter(|part| *part != Component::CurDir);
        if parts.next() != Some(Component::Normal(wanted.as_ref())) {
            bail!("the container's tar sent {}, which nobody asked for", path.display());
        }
        match entry.header().entry_type() {
            // Neither leads out of the directory: `unpack_in` looks, and there are no links on the way.
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Directory => {
                entry.unpack_in(into)?;
            }
            _ => left_out += 1,
        }
    }
    Ok(left_out)
}

/// Reads a command's output.
struct Source {
    received: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.received.blocking_recv().unwrap_or_default();
        }
        let count = self.rest.len().min(into.len());
        into[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

// ---- the command in the container ----

/// How a command ended.
struct Ended {
    code: i32,
    errors: Vec<u8>,
}

/// As much is kept of what a command says.
const MOST_ERRORS: usize = 4 << 10;

impl Ended {
    fn check(&self, path: &str) -> Result<()> {
        if self.code == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&self.errors);
        bail!("{path}: tar in the container ended with {}: {}", self.code, said.trim())
    }
}

impl There {
    /// Starts a command; what is sent must be held until it has ended.
    async fn exec(
        &self,
        client: &mut Client,
        command: &[&str],
        stdin: bool,
    ) -> Result<(mpsc::Sender<ExecRequest>, Streaming<ExecResponse>)> {
        let start = ExecStart {
            namespace: self.namespace.clone(),
            name: self.pod.clone(),
            container: self.container.clone(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            stdin,
            ..ExecStart::default()
        };
        let (sender, requests) = mpsc::channel(16);
        sender.send(ExecRequest { request: Some(exec_request::Request::Start(start)) }).await.ok();
        let answers = client.exec(ReceiverStream::new(requests)).await.map_err(from_status)?.into_inner();
        Ok((sender, answers))
    }
}

async fn is_directory(client: &mut Client, there: &There, path: &str) -> Result<bool> {
    let (_open, answers) = there.exec(client, &["test", "-d", path], false).await?;
    Ok(collect(answers, async |_| Ok(())).await?.code == 0)
}

/// Hands a command's output on, to its end.
async fn collect(
    mut answers: Streaming<ExecResponse>,
    mut output: impl AsyncFnMut(Vec<u8>) -> io::Result<()>,
) -> Result<Ended> {
    let mut errors = Vec::new();
    while let Some(answer) = answers.message().await.map_err(from_status)? {
        match answer.response {
            Some(exec_response::Response::Stdout(data)) => match output(data).await {
                Ok(()) => {}
                // Whoever unpacks has stopped, and says why.
                Err(_) => return Ok(Ended { code: 0, errors }),
            },
            Some(exec_response::Response::Stderr(data)) => {
                errors.extend(data);
                errors.truncate(MOST_ERRORS);
            }
            Some(exec_response::Response::ExitCode(code)) => return Ok(Ended { code, errors }),
            None => {}
        }
    }
    bail!("the connection ended before the command did")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_in_a_pod_is_told_from_a_path_of_this_host() {
        let there = |pod: &str, path: &str| Side::There { pod: pod.to_owned(), path: path.to_owned() };
        assert_eq!(side("db:/tmp/a").unwrap(), there("db", "/tmp/a"));
        assert_eq!(side("pod/db:a:b").unwrap(), there("db", "a:b"));
        for word in ["./a:b", "/a:b", "file"] {
            assert_eq!(side(word).unwrap(), Side::Here(word.into()), "{word}");
        }
        assert!(side("db:").is_err() && side(":/a").is_err());
        assert!(last_name(Path::new("/tmp/..")).is_err() && last_name(Path::new("/")).is_err());
    }

    fn archive(entries: &[(&str, EntryType)]) -> Source {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind) in entries {
            let mut header = tar::Header::new_gnu();
            // As a hostile tar would: the library refuses such names where it writes them itself.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            header.set_size(if *kind == EntryType::Regular { 2 } else { 0 });
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, &b"hi"[..if *kind == EntryType::Regular { 2 } else { 0 }]).unwrap();
        }
        let (sender, received) = mpsc::channel(1);
        sender.try_send(builder.into_inner().unwrap()).unwrap();
        Source { received, rest: Vec::new() }
    }

    #[test]
    fn a_hostile_archive_writes_nothing_outside_and_brings_no_links_devices_or_rights() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (inside, target) = (dir.path().join("in"), dir.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        let good = [
            ("d", EntryType::Directory),
            ("d/file", EntryType::Regular),
            ("d/link", EntryType::Symlink),
            ("d/hard", EntryType::Link),
            ("d/device", EntryType::Char),
            ("d/../../out", EntryType::Regular),
        ];
        assert_eq!(unpack(archive(&good), "d", &inside).unwrap(), 3);
        assert_eq!(std::fs::read(inside.join("d/file")).unwrap(), b"hi");
        assert_eq!(std::fs::metadata(inside.join("d/file")).unwrap().permissions().mode() & 0o7000, 0);
        assert_eq!(std::fs::read_dir(inside.join("d")).unwrap().count(), 1);
        assert!(!target.exists());
        for path in ["../out", "/etc/out", "other"] {
            assert!(unpack(archive(&[(path, EntryType::Regular)]), "d", &inside).is_err(), "{path}");
        }
        assert!(!target.exists());
    }
}
