//! Figures of a shim binary on this machine: `measure SHIM LOG-DIRECTORY [LINES]`. As root, with a cgroup2 mount.
//!
//! `measure write LINES` is the service that is measured: lines of 100 bytes, one write(2) each.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use barepod_shim::layout;
use barepod_shim::wire::{
    Cgroup, Event, Hello, Kill, Log, Namespaces, Quit, Reexec, Request, Start, Stats, User, event, read_frame, request,
    write_frame,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "write", lines] => write_lines(lines.parse()?),
        [_, shim, logs] => measure(shim, logs, 3_000_000),
        [_, shim, logs, lines] => measure(shim, logs, lines.parse()?),
        _ => Err("usage: measure SHIM LOG-DIRECTORY [LINES]".into()),
    }
}

fn write_lines(lines: u64) -> Outcome<()> {
    let mut line = [b'x'; 100];
    line[99] = b'\n';
    let mut stdout = fs::File::from(std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned()?);
    for number in 0..lines {
        let mut left = number;
        for digit in line[..12].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        stdout.write_all(&line)?;
    }
    Ok(())
}

struct Bench {
    group: PathBuf,
    directory: PathBuf,
    logs: PathBuf,
    shim: Child,
    stream: UnixStream,
    attempt: u32,
}

fn measure(shim: &str, logs: &str, lines: u64) -> Outcome<()> {
    let mut bench = Bench::new(shim, Path::new(logs))?;
    println!("binary                 {} bytes", fs::metadata(shim)?.len());
    println!("private dirty, idle    {} kB", bench.private_dirty()?);
    bench.starts(200)?;
    bench.restarts(200)?;
    println!("private dirty, then    {} kB", bench.private_dirty()?);
    for _ in 0..3 {
        bench.throughput(lines)?;
    }
    println!("private dirty, loaded  {} kB", bench.private_dirty()?);
    bench.reexec(shim)?;
    println!("private dirty, reexec  {} kB", bench.private_dirty()?);
    bench.end()
}

impl Bench {
    fn new(shim: &str, logs: &Path) -> Outcome<Self> {
        let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter().map(Path::new);
        let mount = unified.into_iter().find(|path| path.join("cgroup.procs").exists()).ok_or("no cgroup2 mount")?;
        let group = mount.join(format!("barepod-measure-{}", std::process::id()));
        let directory = std::env::temp_dir().join(format!("barepod-measure-{}", std::process::id()));
        fs::create_dir(&group)?;
        fs::create_dir(&directory)?;
        fs::write(directory.join(layout::IDENTITY), "uid\nmain\n")?;
        let shim = Command::new(shim).args(["run", "--dir"]).arg(&directory).stdin(Stdio::null()).spawn()?;
        let stream = loop {
            match UnixStream::connect(directory.join(layout::SOCKET)) {
                Ok(stream) => break stream,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let logs = logs.join(format!("barepod-measure-logs-{}", std::process::id()));
        let mut bench = Self { group, directory, logs, shim, stream, attempt: 0 };
        bench.send(request::Request::Hello(Hello { protocol: 1, daemon_version: "measure".into() }))?;
        bench.event()?;
        Ok(bench)
    }

    fn send(&mut self, request: request::Request) -> Outcome<()> {
        Ok(write_frame(&mut self.stream, &Request::from(request))?)
    }

    fn event(&mut self) -> Outcome<event::Event> {
        let event = read_frame::<Event>(&mut self.stream)?.ok_or("the shim has hung up")?;
        event.event.ok_or_else(|| "an unknown event".into())
    }

    /// Events until one is as wanted.
    fn wait(&mut self, wanted: impl Fn(&event::Event) -> bool) -> Outcome<()> {
        loop {
            let event = self.event()?;
            if let event::Event::StartFailed(failed) = &event {
                return Err(format!("{failed:?}").into());
            }
            if wanted(&event) {
                return Ok(());
            }
        }
    }

    fn next(&mut self, argv: &[&str]) -> Outcome<Start> {
        self.attempt += 1;
        let leaf = self.group.join(self.attempt.to_string());
        fs::create_dir(&leaf)?;
        Ok(Start {
            attempt: self.attempt,
            argv: argv.iter().map(ToString::to_string).collect(),
            env: vec!["PATH=/usr/bin:/bin".into()],
            user: Some(User::default()),
            cgroup: Some(Cgroup { unified: leaf.to_string_lossy().into(), ..Cgroup::default() }),
            namespaces: Some(Namespaces { mount: true, uts: true, ipc: true, pid: true, cgroup: true }),
            log: Some(Log {
                directory: self.logs.to_string_lossy().into(),
                max_bytes: 64 << 20,
                max_files: 3,
                ..Log::default()
            }),
            ..Start::default()
        })
    }

    fn leave(&mut self) -> Outcome<()> {
        Ok(fs::remove_dir(self.group.join(self.attempt.to_string()))?)
    }

    /// Request to Started, that is to a successful exec, with all namespaces.
    fn starts(&mut self, rounds: u32) -> Outcome<()> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = self.next(&["/bin/true"])?;
            let begin = Instant::now();
            self.send(request::Request::Start(start))?;
            self.wait(|event| matches!(event, event::Event::Started(_)))?;
            times.push(begin.elapsed());
            self.wait(|event| matches!(event, event::Event::Emptied(_)))?;
            self.leave()?;
        }
        print_times("Start to Started", times);
        Ok(())
    }

    /// kill -9 of the main process to Exited, to Emptied, and to the next exec.
    fn restarts(&mut self, rounds: u32) -> Outcome<()> {
        let (mut exits, mut empties, mut nexts) = (Vec::new(), Vec::new(), Vec::new());
        let start = self.next(&["/bin/sleep", "1000"])?;
        self.send(request::Request::Start(start))?;
        let mut pid = self.started()?;
        for _ in 0..rounds {
            // a crash does not follow a start at once
            std::thread::sleep(Duration::from_millis(30));
            let old = self.attempt;
            let next = self.next(&["/bin/sleep", "1000"])?;
            let pidfd = barepod_sys::pidfd::open(pid)?;
            let begin = Instant::now();
            barepod_sys::pidfd::send_signal(std::os::fd::AsFd::as_fd(&pidfd), 9)?;
            self.wait(|event| matches!(event, event::Event::Exited(_)))?;
            exits.push(begin.elapsed());
            self.wait(|event| matches!(event, event::Event::Emptied(_)))?;
            empties.push(begin.elapsed());
            self.send(request::Request::Start(next))?;
            pid = self.started()?;
            nexts.push(begin.elapsed());
            fs::remove_dir(self.group.join(old.to_string()))?;
        }
        self.send(request::Request::Kill(Kill { attempt: self.attempt }))?;
        self.wait(|event| matches!(event, event::Event::Emptied(_)))?;
        print_times("kill -9 to Exited", exits);
        print_times("kill -9 to Emptied", empties);
        print_times("kill -9 to next exec", nexts);
        self.leave()
    }

    fn started(&mut self) -> Outcome<u32> {
        loop {
            match self.event()? {
                event::Event::Started(started) => return Ok(started.pid),
                event::Event::StartFailed(failed) => return Err(format!("{failed:?}").into()),
                _ => {}
            }
        }
    }

    fn throughput(&mut self, lines: u64) -> Outcome<()> {
        let program = std::env::current_exe()?;
        let start = self.next(&[&program.to_string_lossy(), "write", &lines.to_string()])?;
        let (before, begin) = (self.cpu()?, Instant::now());
        self.send(request::Request::Start(start))?;
        self.wait(|event| matches!(event, event::Event::Emptied(_)))?;
        let (time, cpu) = (begin.elapsed(), self.cpu()? - before);
        self.send(request::Request::Stats(Stats {}))?;
        let event::Event::LogStats(stats) = self.event()? else { return Err("LogStats expected".into()) };
        println!(
            "{lines} lines of 100 bytes  {:.0} lines/s, {:.2} s CPU of the shim ({:.2} s a GB), {} in all out, {} dropped, {} rotations",
            lines as f64 / time.as_secs_f64(),
            cpu,
            cpu / (lines as f64 * 100.0 / 1e9),
            stats.lines_out,
            stats.lines_dropped,
            stats.rotations,
        );
        self.leave()
    }

    /// User and system seconds of the shim.
    fn cpu(&self) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.shim.id()))?;
        let fields: Vec<&str> = text.split(' ').collect();
        let ticks: u64 = fields[13].parse::<u64>()? + fields[14].parse::<u64>()?;
        Ok(ticks as f64 / 100.0)
    }

    fn private_dirty(&self) -> Outcome<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.shim.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).ok_or("no such line")?;
        if std::env::var_os("SMAPS").is_some() {
            self.mappings()?;
        }
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// What is dirty, mapping by mapping.
    fn mappings(&self) -> Outcome<()> {
        let text = fs::read_to_string(format!("/proc/{}/smaps", self.shim.id()))?;
        let mut name = "";
        for line in text.lines() {
            if line.split(' ').next().is_some_and(|word| word.contains('-')) {
                name = line;
            }
            if let Some(dirty) = line.strip_prefix("Private_Dirty:").filter(|dirty| dirty.trim() != "0 kB") {
                println!("    {} {name}", dirty.trim());
            }
        }
        Ok(())
    }

    fn reexec(&mut self, shim: &str) -> Outcome<()> {
        let path = fs::canonicalize(shim)?.to_string_lossy().into_owned();
        let begin = Instant::now();
        self.send(request::Request::Reexec(Reexec { path }))?;
        self.wait(|event| matches!(event, event::Event::Welcome(_)))?;
        println!("Reexec to Welcome      {:?}", begin.elapsed());
        Ok(())
    }

    fn end(mut self) -> Outcome<()> {
        self.send(request::Request::Quit(Quit {}))?;
        self.shim.wait()?;
        fs::remove_dir_all(&self.directory)?;
        fs::remove_dir_all(&self.logs)?;
        fs::remove_dir(&self.group)?;
        Ok(())
    }
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what:<22} median {:?}, 95 % {:?}, longest {:?} of {}", at(50), at(95), at(100), times.len());
}
