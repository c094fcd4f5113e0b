//! What is run: lines of shell on `$PLACE`, which is where the ground's files are for whoever runs them.

use std::path::{Path, PathBuf};

use crate::args::BenchWork;

/// What is run in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task(pub(crate) String);

/// What the tasks of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Seconds of one measurement.
    pub(crate) runtime: u32,
    /// Clients of PostgreSQL.
    pub(crate) clients: usize,
    /// The directory of PostgreSQL's programs.
    pub(crate) postgresql: Option<PathBuf>,
}

/// As the notes of every fio job here. The seed is the same in each run, so that all arms ask for the same blocks.
const FIO: &str = "--direct=1 --bs=8k --norandommap --group_reporting --time_based --fallocate=none \
                   --output-format=json --output=\"$PLACE/out/result\"";

/// Whoever begins a process may still write down that it has: a ledger, a state. That is not what is measured.
const CALM: &str = "sleep 0.3";

impl Task {
    fn new(script: &str) -> Self {
        // What a task complains of is read where it was begun.
        Self(format!("set -e\nexec 2>\"$PLACE/out/errors\"\numask 077\n{script}\n"))
    }

    /// Says what the data directory lies on, as the task sees it.
    pub(crate) fn look() -> Self {
        Self::new("\"$PLACE/tools/barepod\" bench look \"$PLACE/data\" >\"$PLACE/out/result\"")
    }

    /// Writes the file once, so that no measurement meets blocks that were never written.
    pub(crate) fn fill(course: &Course) -> Self {
        let size = course.size;
        Self::new(&format!(
            "fio --name=fill --filename=\"$PLACE/data/file\" --size={size} --rw=write --bs=1M --direct=1 --fallocate=none \
             --end_fsync=1 --output=\"$PLACE/out/result\""
        ))
    }

    /// A second one, which is the image's where a container has to copy it up.
    pub(crate) fn fill_image() -> Self {
        Self::new(
            "cp --sparse=never --reflink=never \"$PLACE/data/file\" \"$PLACE/image/file\"\nsync -f \"$PLACE/image/file\"\n: >\"$PLACE/out/result\"",
        )
    }

    /// A cluster of PostgreSQL with pgbench's tables.
    pub(crate) fn create_cluster(course: &Course, programs: &Path) -> Self {
        let (programs, scale) = (programs.display(), course.scale());
        let initdb = format!(
            "\"{programs}/initdb\" -D \"$PLACE/data/postgresql\" -U postgres -A trust -E UTF8 --no-locale --no-sync >&2"
        );
        let fill = format!("\"{programs}/pgbench\" -h \"$socket\" -U postgres -i -q -s {scale} postgres >&2");
        Self::new(&format!("{initdb}\n{}\n{fill}\n: >\"$PLACE/out/result\"", server(&course.postgresql)))
    }

    /// One measurement.
    pub(crate) fn of(work: BenchWork, course: &Course) -> Self {
        let (size, runtime) = (course.size, course.runtime);
        let file = format!("--filename=\"$PLACE/data/file\" --size={size} --runtime={runtime}");
        match work {
            BenchWork::Log => Self::new(&format!(
                "{CALM}\nexec fio --name=log {file} --rw=randwrite --ioengine=psync --iodepth=1 --fdatasync=1 {FIO}"
            )),
            BenchWork::Heap => Self::new(&format!(
                "{CALM}\nexec fio --name=heap {file} --rw=randrw --ioengine=libaio --iodepth=32 {FIO}"
            )),
            BenchWork::FirstWrite => Self::new(&format!(
                "{CALM}\nexec \"$PLACE/tools/barepod\" bench first-write \"$PLACE/data/file\" >\"$PLACE/out/result\""
            )),
            BenchWork::Postgresql => {
                let programs = course.postgresql.as_deref().unwrap_or(Path::new("/usr/bin")).display();
                let clients = course.clients;
                Self::new(&format!(
                    "{}\n\"{programs}/pgbench\" -h \"$socket\" -U postgres -M prepared -n -c {clients} -T {runtime} postgres \
                     >\"$PLACE/out/result\"",
                    server(&course.postgresql)
                ))
            }
        }
    }
}

impl Course {
    /// pgbench's: of 16 MB each, a quarter of the file's size, and not so much that it would take minutes to make.
    pub(crate) fn scale(&self) -> u64 {
        (self.size / (64 << 20)).clamp(1, 50)
    }

    /// Bytes that a cluster of that scale takes, with its log.
    pub(crate) fn cluster_bytes(&self) -> u64 {
        (self.scale() << 24) + (1 << 30)
    }
}

/// Begins a server on a socket that is its own user's alone, waits until it answers, and ends it with the shell. The buffers are
/// small, so that tables are read and written, and nothing is done on the side whose time would be chance.
fn server(programs: &Option<PathBuf>) -> String {
    let programs = programs.as_deref().unwrap_or(Path::new("/usr/bin")).display();
    format!(
        r#"socket=$(mktemp -d)
"{programs}/postgres" -D "$PLACE/data/postgresql" -k "$socket" -c listen_addresses= -c shared_buffers=16MB \
    -c autovacuum=off -c checkpoint_timeout=1h -c max_wal_size=512MB -c max_connections=500 >&2 &
server=$!
trap 'kill -INT $server; wait $server || :; rm -rf "$socket"' EXIT
trap 'exit 1' TERM INT
until "{programs}/pg_isready" -q -h "$socket" -U postgres; do kill -0 $server; sleep 0.05; done"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> Course {
        Course { size: 1 << 30, runtime: 5, clients: 8, postgresql: Some(PathBuf::from("/usr/lib/postgresql/15/bin")) }
    }

    #[test]
    fn what_is_run_is_this() {
        let works = [BenchWork::Log, BenchWork::Heap, BenchWork::FirstWrite, BenchWork::Postgresql];
        let mut all: Vec<_> = works.map(|work| Task::of(work, &course()).0).into();
        all.extend([Task::look().0, Task::fill(&course()).0, Task::fill_image().0]);
        all.push(Task::create_cluster(&course(), Path::new("/usr/lib/postgresql/15/bin")).0);
        insta::assert_snapshot!(all.join("----\n"));
    }

    #[test]
    fn tables_are_a_quarter_of_the_file_and_neither_none_nor_endless() {
        let scale = |size| Course { size, ..course() }.scale();
        assert_eq!([1 << 20, 1 << 30, 1 << 40].map(scale), [1, 16, 50]);
    }
}
