//! The power fails, at a moment that nobody chose: while a pod starts, runs, makes its database, or stops. What was
//! acknowledged is there after the boot, and ledger and logs are readable.
//!
//! What the guest had acknowledged it has said on its console, which is outside of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use barepod_tests::guest::Installed;
use barepod_tests::host::is_ready;
use barepod_tests::vm::{Recipe, Vm};
use barepod_tests::{Tier, tier};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const EXAMPLE: &str = include_str!("../../examples/postgresql/pod.yaml");
/// The moments of another run: `BAREPOD_TEST_SEED=N`, of a run that failed.
const SEED: &str = "BAREPOD_TEST_SEED";

/// Writes numbers, so that a lost line would be seen.
const WRITER: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers:
  - name: main
    image: host
    command: [sh, -c, 'trap "sleep 1; exit 0" TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done']
"#;

/// What a client was told is said on the console. Each number in the table is a transaction of its own.
const SCRIPTS: &str = r#"cat >/usr/local/bin/acknowledged <<'END'
#!/bin/sh
word=$1; shift
"$@" && echo "<acknowledged $word>" >/dev/ttyS0
END
cat >/usr/local/bin/load <<'END'
#!/bin/sh
export PGPASSWORD=change-me PGHOST=127.0.0.1 PGUSER=postgres
psql -XAtqc 'create table if not exists numbers (n int)' || exit 1
n=$(psql -XAtqc 'select coalesce(max(n), 0) from numbers') || exit 1
while psql -XAtqc "insert into numbers values ($((n + 1)))"; do n=$((n + 1)); echo "<acknowledged row $n>" >/dev/ttyS0; done
END
chmod +x /usr/local/bin/acknowledged /usr/local/bin/load"#;

/// What is wrong with the files of logs: each line is as CRI has it, the numbers are in order and none is missing. The last line
/// may lack its end.
const LOGS: &str = r#"find /var/log/barepod/pods -name '*.log' | while read -r file; do
    case $file in */main/*) numbers=1 ;; *) numbers=0 ;; esac
    sed '$d' "$file" | awk -v file="$file" -v numbers="$numbers" '
        !/^[^ ]+T[^ ]+ (stdout|stderr) [FP] / { print file ": line " NR ": " $0 }
        numbers && $2 == "stdout" { if ($4 != last + 1) print file ": line " NR ": " $4 " after " last; last = $4 }'
done"#;

/// What goes on when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// A pod that is new.
    Starting,
    /// A database under load.
    Running,
    /// A database that is made.
    Initdb,
    /// A pod that is deleted.
    Stopping,
}

impl Moment {
    const ALL: [Self; 4] = [Self::Initdb, Self::Stopping, Self::Starting, Self::Running];

    /// The longest that it goes on before the power fails, with an emulated processor.
    fn longest(self) -> Duration {
        Duration::from_millis(match self {
            Self::Starting | Self::Running => 4_000,
            Self::Stopping => 6_000,
            Self::Initdb => 15_000,
        })
    }
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn thrown() -> Self {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
        println!("{SEED}={seed}");
        Self(seed)
    }

    fn within(&mut self, longest: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis((self.0 >> 33) % millis)
    }
}

#[test]
fn what_was_acknowledged_is_there_after_the_power_failed_at_any_moment() -> Result {
    let rounds = match tier() {
        // A database that is made, and a pod that is deleted.
        Tier::Everyday => 2,
        Tier::All => 20,
    };
    let mut dice = Dice::thrown();
    let mut host = Host::with_a_database_under_load()?;
    for (round, moment) in (0..rounds).zip(Moment::ALL.into_iter().cycle()) {
        host.round(round, moment, dice.within(moment.longest()))?;
    }
    let acknowledged = host.acknowledged()?;
    println!("acknowledged: {} transactions, and {:?}", acknowledged.row, acknowledged.orders);
    Ok(host.guest.destroy()?)
}

/// A guest whose power fails.
struct Host {
    guest: Installed,
}

/// What the console says that somebody was told.
struct Acknowledged {
    row: u32,
    orders: Vec<String>,
}

impl Acknowledged {
    fn has(&self, order: &str) -> bool {
        self.orders.iter().any(|acknowledged| acknowledged == order)
    }
}

impl Host {
    fn with_a_database_under_load() -> Result<Self> {
        let host = Self { guest: Installed::into(Vm::boot(&Recipe::debian_12())?)? };
        host.guest.shell(SCRIPTS)?;
        host.guest.apply(EXAMPLE)?;
        host.guest.apply(&WRITER.replace("NAME", "writer"))?;
        host.guest.ready("writer")?;
        host.guest.ready("postgresql")?;
        // What apt and this test have written is on the disk: what the power takes is barepod's own.
        host.guest.shell("sync")?;
        host.load()?;
        Ok(host)
    }

    /// Something is written all the time.
    fn load(&self) -> Result {
        let before = self.acknowledged()?.row;
        self.guest.shell("systemd-run --quiet --unit=load /usr/local/bin/load")?;
        self.guest.until("a transaction", |_| (self.acknowledged().ok()?.row > before).then_some(())).map_err(|vain| {
            let said = self.guest.shell("systemctl status load || :; journalctl --unit=load --no-pager || :");
            format!("{vain}\n--- the client:\n{}", said.unwrap_or_default()).into()
        })
    }

    /// Begins something, cuts the power after a while, and looks what is there after the boot.
    fn round(&mut self, round: u32, moment: Moment, after: Duration) -> Result {
        let (name, what) = (format!("pod-{round}"), format!("round {round}, {moment:?}, {after:?} after its begin"));
        println!("{what}");
        self.begin(&name, moment)?;
        // Not for luck: a moment is what is tried.
        std::thread::sleep(after);

        self.guest.power_cut()?;

        let acknowledged = self.acknowledged()?;
        self.the_ledger_and_the_logs_are_readable(&what)?;
        self.the_database_has_what_it_said_to_have(&acknowledged, &what)?;
        self.guest.ready("writer")?;
        self.the_order_holds(&name, moment, &acknowledged, &what)?;
        self.load()
    }

    /// The order is given in the background, so that the power may fail before it is acknowledged.
    fn begin(&self, name: &str, moment: Moment) -> Result {
        let manifest = match moment {
            Moment::Initdb => another_database(name),
            Moment::Starting | Moment::Running | Moment::Stopping => WRITER.replace("NAME", name),
        };
        let apply = format!("acknowledged apply-{name} barepod apply -f /run/{name}.yaml");
        self.guest.vm().put(&format!("/run/{name}.yaml"), manifest, 0o600)?;
        let order = match moment {
            Moment::Running => return Ok(()),
            Moment::Starting | Moment::Initdb => apply,
            Moment::Stopping => {
                self.guest.shell(&apply)?;
                self.guest.ready(name)?;
                format!("acknowledged delete-{name} barepod delete {name}")
            }
        };
        self.guest.shell(&format!("systemd-run --quiet --unit=order-{name} /usr/local/bin/{order}"))?;
        Ok(())
    }

    fn acknowledged(&self) -> Result<Acknowledged> {
        let console = String::from_utf8_lossy(&fs_err::read(self.guest.vm().console())?).into_owned();
        let told =
            console.split("<acknowledged ").skip(1).filter_map(|rest| rest.split_once('>')).map(|(word, _)| word);
        let (rows, orders): (Vec<_>, Vec<_>) = told.partition(|word| word.starts_with("row "));
        let row = rows.iter().filter_map(|word| word.strip_prefix("row ")?.parse().ok()).max().unwrap_or(0);
        Ok(Acknowledged { row, orders: orders.into_iter().map(str::to_owned).collect() })
    }

    fn is_there(&self, name: &str) -> Result<bool> {
        let names = self.guest.barepod(&["get", "pods", "-o", "name"])?;
        Ok(names.lines().any(|line| line.strip_prefix("pod/") == Some(name)))
    }

    fn the_ledger_and_the_logs_are_readable(&self, what: &str) -> Result {
        let guest = &self.guest;
        guest.until("the daemon to answer", |guest| guest.barepod(&["get", "pods"]).ok())?;
        let events = guest.barepod(&["events"])?;
        assert!(!events.contains("LedgerUnreadable"), "{what}: {events}");
        let journal = guest.shell("journalctl --unit=barepod --boot --no-pager --priority=warning")?;
        assert!(!journal.contains("ledger"), "{what}: {journal}");
        assert_eq!(guest.shell(LOGS)?, "", "{what}: each line is whole, and none is missing");
        let before = guest.barepod(&["logs", "writer", "--previous"])?;
        assert!(before.lines().all(|line| line.parse::<u32>().is_ok()), "{what}: {before}");
        Ok(())
    }

    fn the_database_has_what_it_said_to_have(&self, acknowledged: &Acknowledged, what: &str) -> Result {
        self.guest.ready("postgresql")?;
        let rows = "PGPASSWORD=change-me psql -h 127.0.0.1 -U postgres -XAtc \
                    'select count(*), coalesce(max(n), 0) from numbers'";
        let answer = self.guest.shell(rows)?;
        let (count, last) = answer.split_once('|').ok_or("two columns")?;
        let last: u32 = last.parse()?;
        assert!(last >= acknowledged.row, "{what}: {last} is in the table, {} was acknowledged", acknowledged.row);
        assert_eq!(count.parse(), Ok(last), "{what}: none is missing before it");
        Ok(())
    }

    /// What was acknowledged holds. What was not is done wholly, or not at all.
    fn the_order_holds(&self, name: &str, moment: Moment, acknowledged: &Acknowledged, what: &str) -> Result {
        let (guest, is_there) = (&self.guest, self.is_there(name)?);
        match moment {
            Moment::Running => return Ok(()),
            Moment::Stopping if acknowledged.has(&format!("delete-{name}")) => {
                assert!(!is_there, "{what}: it came back after its end was acknowledged");
            }
            Moment::Stopping => {
                assert!(acknowledged.has(&format!("apply-{name}")), "{what}: the console says what was told");
                guest.until("it to be gone or ready", |guest| {
                    let is_whole = guest.pod(name).is_ok_and(|pod| is_ready(&pod));
                    (is_whole || !self.is_there(name).ok()?).then_some(())
                })?;
            }
            Moment::Starting | Moment::Initdb => {
                assert!(is_there || !acknowledged.has(&format!("apply-{name}")), "{what}: it was acknowledged");
                if is_there {
                    guest.ready(name)?;
                }
            }
        }
        if moment == Moment::Initdb && is_there {
            let sql =
                guest.barepod(&["exec", name, "--", "psql", "-U", "postgres", "-XAtc", "select 'it is whole'"])?;
            assert_eq!(sql, "it is whole", "{what}");
        }
        if self.is_there(name)? {
            guest.barepod(&["delete", name])?;
        }
        Ok(())
    }
}

/// Beside the first one, in what is left of the guest: with a port and a claim of its own.
fn another_database(name: &str) -> String {
    EXAMPLE
        .replace("name: postgresql\nspec", &format!("name: {name}\nspec"))
        .replace("env:\n", "env:\n        - {name: PGPORT, value: \"5433\"}\n")
        .replace("5432", "5433")
        .replace("cpu: 1\n", "cpu: 500m\n")
        .replace("memory: 512Mi", "memory: 192Mi")
        .replace("claimName: pgdata", &format!("claimName: {name}"))
}
