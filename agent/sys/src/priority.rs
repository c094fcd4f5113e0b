//! The place of a thread behind the others.

use std::io;

use crate::result::done;

const WHO_PROCESS: libc::c_int = 1;
const CLASS_IDLE: libc::c_int = 3;
const CLASS_SHIFT: libc::c_int = 13;

/// Puts this thread, and it alone, behind all others: it gets what CPU and disk nobody else wants.
///
/// # Errors
/// As setpriority(2) and ioprio_set(2).
pub fn step_back() -> io::Result<()> {
    // SAFETY: takes numbers only; on Linux 0 is the calling thread.
    done(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) })?;
    // SAFETY: takes numbers only.
    done(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE << CLASS_SHIFT) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_steps_back_and_the_others_do_not() {
        let nice = |id: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
            let rest = stat.rsplit_once(") ").unwrap().1.to_owned();
            rest.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = nice("self");
        let own = std::thread::spawn(move || {
            step_back().unwrap();
            nice("thread-self")
        });
        assert_eq!((own.join().unwrap(), nice("self")), (19, before));
    }
}
