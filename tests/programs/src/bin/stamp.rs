//! A service that says when it began, and then waits for its end: see `barepod_test_programs::stamp`.

use barepod_test_programs::stamp::Stamp;

fn main() -> std::io::Result<()> {
    let first = Stamp::now();
    first?.send()?;
    loop {
        nix::unistd::pause();
    }
}
