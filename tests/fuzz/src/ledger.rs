//! Ledger files: read, and, where they hold a record, taken over by a core as after a start of the daemon.

use std::path::Path;
use std::time::Duration;

use barepod_core::{BackoffFigures, Core, Input, Moment, Restored};
use barepod_model::{BootId, BootTime, WallTime};
use barepod_store::{Ledger, Loaded};
use sha2::{Digest, Sha256};

/// The bytes as a file, and as the record of one whose envelope is sound.
pub(crate) fn ledger(data: &[u8]) {
    let scratch = tempfile::tempdir_in(memory()).expect("a scratch directory");
    let ledger = Ledger::open(scratch.path().join("ledger")).expect("it is empty");
    let write = |name: &str, bytes: &[u8]| {
        fs_err::write(scratch.path().join("ledger").join(name), bytes).expect("room");
    };
    write("uid-1.json", data);
    if let Ok(text) = std::str::from_utf8(data) {
        let text = text.trim();
        write("uid-2.json", sealed(text).as_bytes());
        write("uid-1.lazy", sealed(text).as_bytes());
    }
    let mut pods = Vec::new();
    for loaded in ledger.load().expect("the directory can be read") {
        match loaded {
            Loaded::Record(record) => pods.push(Restored::Record(record)),
            Loaded::Unreadable { uid, error, .. } => {
                assert!(!error.to_string().is_empty());
                pods.push(Restored::Unreadable { pod: uid, name: None, source: None, message: error.to_string() });
            }
            Loaded::Foreign { path } => panic!("{} is the ledger's own", path.display()),
        }
    }
    take_over(pods);
}

/// A record in an envelope that says it is whole.
pub(crate) fn sealed(record: &str) -> String {
    let digest: String = Sha256::digest(record.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{\"format\":1,\"sha256\":\"{digest}\",\"record\":{record}}}")
}

/// Whatever a record says, the core starts with it and comes to rest.
fn take_over(pods: Vec<Restored>) {
    let at =
        |seconds| Moment { boot: BootTime(Duration::from_secs(seconds)), wall: WallTime(jiff::Timestamp::UNIX_EPOCH) };
    let mut core = Core::new(BootId("boot".to_owned()), BackoffFigures::default());
    core.restore(at(1), pods);
    while core.poll_effect().is_some() {}
    for seconds in [2, 1_000_000] {
        core.handle(at(seconds), Input::Wake);
        while core.poll_effect().is_some() {}
    }
    assert!(core.view().all(|view| !view.uid.as_str().is_empty()));
}

/// Where files are not written to a disk.
pub(crate) fn memory() -> &'static Path {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm } else { Path::new("/tmp") }
}
