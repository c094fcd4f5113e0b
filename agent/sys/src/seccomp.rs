//! The filter of system calls (seccomp(2)).

use std::io;

use crate::result::done;

/// `struct sock_filter`: code, two jumps, operand.
const INSTRUCTION: usize = 8;

/// Puts a filter on this process and what it becomes. Needs `no_new_privs` or `CAP_SYS_ADMIN`. The program is one
/// `sock_filter` after another in this machine's byte order, the flags are those of the kernel.
///
/// # Errors
/// `EINVAL` for what is no program, `EACCES` without the right to it; as seccomp(2).
pub fn filter(program: &[u8], flags: u32) -> io::Result<()> {
    let length = length(program)?;
    let mut instructions: Vec<_> = program.chunks_exact(INSTRUCTION).map(instruction).collect();
    let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    let mode = libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the program points to `len` live instructions, which the kernel copies.
    done(unsafe { libc::syscall(libc::SYS_seccomp, mode, libc::c_ulong::from(flags), &raw const program) })
}

/// How many instructions a program has.
///
/// # Errors
/// `EINVAL` for what is no program.
pub(crate) fn length(program: &[u8]) -> io::Result<u16> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    if !program.len().is_multiple_of(INSTRUCTION) {
        return Err(invalid());
    }
    u16::try_from(program.len() / INSTRUCTION).map_err(|_| invalid())
}

fn instruction(bytes: &[u8]) -> libc::sock_filter {
    let operand = [bytes[4], bytes[5], bytes[6], bytes[7]];
    libc::sock_filter {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes(operand),
    }
}

/// Filters for tests.
#[cfg(test)]
pub(crate) mod testing {
    /// One that answers this call with this errno, and lets all others through.
    pub(crate) fn refusing(call: libc::c_long, errno: i32) -> Vec<u8> {
        let instructions = [
            (0x20_u16, 0, 0, 0_u32),                          // load the number of the call
            (0x15, 0, 1, call as u32),                        // is it that one?
            (0x06, 0, 0, 0x0005_0000 | errno.unsigned_abs()), // it fails
            (0x06, 0, 0, 0x7fff_0000),                        // everything else is let through
        ];
        let bytes = |(code, yes, no, operand): (u16, u8, u8, u32)| {
            [&code.to_ne_bytes()[..], &[yes, no], &operand.to_ne_bytes()].concat()
        };
        instructions.into_iter().flat_map(bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_instruction_is_no_program() {
        assert_eq!(filter(&[0; 12], 0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_filter_answers_for_the_kernel() {
        let program = testing::refusing(libc::SYS_uname, 95);
        // A filter is its thread's own.
        let thread = std::thread::spawn(move || {
            crate::process::forbid_new_privileges()?;
            filter(&program, 0)?;
            // SAFETY: all-zero is a valid value of this plain structure of bytes.
            let mut name: libc::utsname = unsafe { std::mem::zeroed() };
            // SAFETY: `name` is live and written within its bounds.
            done(unsafe { libc::uname(&raw mut name) })
        });

        assert_eq!(thread.join().unwrap().unwrap_err().raw_os_error(), Some(95));
    }
}
