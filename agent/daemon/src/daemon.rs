//! Start to end of the daemon: build, run, drain.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use barepod_core::{Core, Restored};
use barepod_linux::Dirs;
use barepod_linux::cgroup::{Groups, Hierarchy};
use barepod_linux::prober::account;
use barepod_linux::users::HostAccounts;
use barepod_model::PodUid;
use barepod_reader::Reader;
use barepod_store::{Ledger, Loaded};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answers::Answers;
use crate::args::Args;
use crate::audit::Audit;
use crate::board::Board;
use crate::booking::{self, Bookings};
use crate::clock;
use crate::config::Config;
use crate::grpc::{self, Access, Gauge, Machine, Service};
use crate::hands::{Confining, Hands, Host, MountTable, Processes};
use crate::journal::Journal;
use crate::notify::Notifier;
use crate::policy::Rules;
use crate::prober::Prober;
use crate::reload::Reload;
use crate::settings::Settings;
use crate::shutdown::Marker;
use crate::source::{ClusterSource, FileSource};
use crate::storage;
use crate::supervisor::{Fuse, Handle, Supervisor};
use crate::survey;
use crate::whole;

/// How long calls may take to end after a signal.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs until a signal; services run on.
///
/// # Errors
/// Why the daemon cannot start.
pub(crate) async fn run(args: &Args, config: Config) -> Result<()> {
    let dirs = args.dirs();
    make(&dirs)?;
    let _lock = lock(&dirs.run.join("barepodd.lock"))?;
    let boot_id = clock::boot_id()?;
    let ledger = Ledger::open(dirs.ledger())?;
    let ledger = ledger.with_sync_delay(Duration::from_millis(args.ledger_sync_delay));
    let groups = groups(&config)?;
    let mut pods = restored(ledger.load()?, &dirs);
    pods.extend(lost(&groups, &pods, &dirs)?);
    let journal = Journal::open(dirs.state.join("history/events.jsonl")).context("events cannot be kept")?;
    let (board, journal) = (Arc::new(Board::new()), Arc::new(journal));
    let audit = Audit::open(dirs.log.join("audit.log")).context("no audit log can be kept")?;
    let settings = Settings::new(config.clone());
    let (prober, keeper) = Prober::new(args.prober_binary(), account(&HostAccounts), settings.clone());
    let host = Arc::new(Host {
        dirs: dirs.clone(),
        groups,
        ledger,
        shim_binary: args.shim_binary(),
        settings: settings.clone(),
        boot_id: boot_id.clone(),
        board: Arc::clone(&board),
        journal: Arc::clone(&journal),
        processes: Processes::default(),
        prober,
        mounts: MountTable::new(&dirs),
        memory: whole::amounts(&dirs.state).memory,
        limits: std::sync::Mutex::default(),
        cpus: std::sync::Mutex::default(),
        confining: Confining::new(dirs.config.join("seccomp")),
        answers: Answers::default(),
    });
    let reader = Arc::new(Reader::new(&dirs, config.node_labels.clone())?);
    let access = Access::new(config.socket_group.as_deref(), config.bridge_user.as_deref())?;

    let rules = Rules::load(args.policy_file());
    let (supervisor, inbox) = Handle::channel(rules.clone(), audit.clone());
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();

    let hands = Hands::new(Arc::clone(&host), supervisor.clone(), tasks.clone());
    let cores = whole::cores(Path::new("/sys/devices/system/cpu"));
    let capacity = config.resources.capacity(whole::amounts(&dirs.state), cores);
    let others = booking::load(&dirs.state);
    board.put_others(others.clone());
    let mut core = Core::new(boot_id.clone(), config.backoff)
        .with_capacity(capacity)
        .with_others(others)
        .with_pressure(config.resources.pressure.clone());
    let marker = Marker::new(&dirs.run, &boot_id);
    if marker.is_set() {
        core = core.with_shutdown();
    }
    let main =
        Supervisor::new(core, hands, inbox, Arc::clone(&board), Arc::clone(&journal), Fuse::new(args.die_at_effect));
    tasks.spawn(main.run(pods, stop.clone()));

    tasks.spawn(keeper.run(stop.clone()));
    tasks.spawn(storage::watch(Arc::clone(&host), supervisor.clone(), stop.clone()));
    tasks.spawn(survey::watch(Arc::clone(&host), supervisor.clone(), stop.clone()));

    tasks.spawn(rules.clone().run(stop.clone()));

    let shown = (Arc::clone(&board), Arc::clone(&journal));
    let cluster = ClusterSource {
        reader: Arc::clone(&reader),
        supervisor: supervisor.clone(),
        board: Arc::clone(&board),
        journal: Arc::clone(&journal),
    };
    let machine = Machine {
        reader: Arc::clone(&reader),
        settings: settings.clone(),
        state: dirs.state.clone(),
        boot_id: boot_id.clone(),
        board: Arc::clone(&board),
    };
    let socket = dirs.run.join("barepod.sock");
    let reload = Reload {
        file: args.config_file(),
        was_there: args.config_file().exists(),
        dirs: dirs.clone(),
        settings: settings.clone(),
        access: access.clone(),
        socket: socket.clone(),
        reader: Arc::clone(&reader),
        supervisor: supervisor.clone(),
        journal: Arc::clone(&journal),
    };
    let (source, files) = FileSource::new(dirs.manifests(), reader, supervisor.clone(), rules.clone(), shown);
    tasks.spawn(source.run(stop.clone()));

    let listener = grpc::bind(&socket, &access).with_context(|| format!("cannot listen on {}", socket.display()))?;
    let service = Service {
        supervisor: supervisor.clone(),
        files,
        cluster,
        machine,
        bookings: Bookings::new(&dirs.state, Arc::clone(&board), supervisor.clone()),
        gauge: Arc::new(Gauge::new(Arc::clone(&host))),
        access: access.clone(),
        audit,
        config_file: args.config_file(),
        settings,
        rules,
        board,
        journal,
        host,
        boot_id,
        marker,
    };
    tasks.spawn(report(grpc::serve(listener, service, access, stop.clone())));
    tasks.close();

    tracing::info!(version = env!("CARGO_PKG_VERSION"), socket = %socket.display(), "ready");
    attend(&supervisor, reload).await?;
    stop.cancel();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::debug!("calls were cut off at the end");
    }
    tracing::info!("ended; services run on");
    Ok(())
}

/// Tells the service manager that all is well, until a signal asks to end. SIGHUP has the configuration read again.
async fn attend(supervisor: &Handle, mut reload: Reload) -> Result<()> {
    let notifier = Notifier::from_env();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    supervisor.pulse().await;
    notifier.tell("READY=1");
    let period = Notifier::watchdog_period();
    loop {
        let beat = async {
            match period {
                Some(period) => tokio::time::sleep(period).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hangup.recv() => {
                notifier.tell("RELOADING=1");
                reload.run().await;
                notifier.tell("READY=1");
            }
            () = beat => {
                // Through the supervisor's own channel: a main loop that hangs is not alive.
                supervisor.pulse().await;
                notifier.tell("WATCHDOG=1");
            }
        }
    }
    notifier.tell("STOPPING=1");
    Ok(())
}

async fn report(serving: impl Future<Output = Result<(), tonic::transport::Error>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "the socket is no longer served");
    }
}

/// Makes barepod's directories: state, configuration and runtime files are root's own, logs may be read.
fn make(dirs: &Dirs) -> Result<()> {
    for (path, mode) in [
        (dirs.state.clone(), 0o711),
        (dirs.state.join("history"), 0o700),
        (dirs.run.clone(), 0o755),
        (dirs.run.join("shims"), 0o700),
        (dirs.log.clone(), 0o755),
        (dirs.config.clone(), 0o755),
        (dirs.config.join("manifests"), 0o700),
        (dirs.container_logs.clone(), 0o755),
    ] {
        if !path.exists() {
            fs_err::create_dir_all(&path)?;
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// barepod's place in the cgroup tree. What the kernel does not hand down is said once; the pods run without it.
fn groups(config: &Config) -> Result<Groups> {
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup"))?;
    if config.resources.groups.reserve_memory && !hierarchy.is_unified() {
        tracing::warn!("memoryReservationPolicy has no effect: only cgroup v2 can reserve memory");
    }
    let groups = Groups::open(hierarchy, &config.cgroup)?.with_rules(config.resources.groups);
    for error in groups.degraded() {
        tracing::warn!("limits of this controller do not hold: {error}");
    }
    Ok(groups)
}

/// Two daemons on one state would fight over every process. A record lock, for it belongs to this process alone: a child
/// of a killed daemon on its way to exec does not hold it.
fn lock(path: &Path) -> Result<std::fs::File> {
    let file = std::fs::File::create(path).with_context(|| format!("cannot open {}", path.display()))?;
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_SETLK(&whole)) {
        Ok(_) => Ok(file),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            bail!("another barepodd holds {}; there can be one for a host", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Pods of which processes run and the ledger knows nothing: it was lost, or is an older copy. They run on like those whose file
/// cannot be read, for what is made from their manifests would be a second process on their data.
fn lost(groups: &Groups, known: &[Restored], dirs: &Dirs) -> Result<Vec<Restored>> {
    let is_known = |uid: &PodUid| {
        known.iter().any(|restored| match restored {
            Restored::Record(record) => record.pod.uid == *uid,
            Restored::Unreadable { pod, .. } => pod == uid,
        })
    };
    let strays = groups.strays().context("cannot see which pods have control groups")?;
    let runs = |uid: &PodUid| !is_known(uid) && !groups.processes(uid).is_empty();
    let lost = strays.into_iter().map(|stray| stray.pod).filter(runs).map(|uid| {
        let path = dirs.ledger().join(format!("{uid}.json"));
        let message = format!("{}: there is no such file, and processes of the pod run", path.display());
        tracing::error!(pod = %uid, message, "a ledger file is gone; its pod runs on and is shown as Unknown");
        let name = dirs.logged_name(&uid);
        Restored::Unreadable { pod: uid, name, source: None, message }
    });
    Ok(lost.collect())
}

fn restored(loaded: Vec<Loaded>, dirs: &Dirs) -> Vec<Restored> {
    let one = |loaded| match loaded {
        Loaded::Record(record) => Some(Restored::Record(record)),
        Loaded::Unreadable { uid, path, error } => {
            let message = format!("{}: {error}", path.display());
            tracing::error!(pod = %uid, message, "a ledger file cannot be read; its pod runs on and is shown as Unknown");
            let name = dirs.logged_name(&uid);
            Some(Restored::Unreadable { pod: uid, name, source: None, message })
        }
        Loaded::Foreign { path } => {
            tracing::warn!(path = %path.display(), "a file in the ledger's directory is not the ledger's; it is left alone");
            None
        }
    };
    loaded.into_iter().filter_map(one).collect()
}
