//! The last steps before exec, put off: a process that has done all else waits until it is told to go on.
//!
//! Such a process may wait for days, so it keeps next to nothing: what the last steps need is packed into one small region,
//! and the rest of the memory it was made with, a copy of its parent's, is given back. From then on it makes only system
//! calls on that region.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use crate::process::Program;
use crate::result::c_path;
use crate::seccomp;

/// How a process ends that was never told to go on: whoever could tell it is gone. No program ends so by chance often.
pub const NEVER_TOLD: i32 = 213;

/// How a process ends that could not become its program.
const FAILED: i32 = 127;

const PAGE: usize = 4096;

/// Room for the list of the process's own mappings, of which a static program has some twenty.
const LIST: usize = 4 * PAGE;

/// What a process says when one of its last steps fails: bytes, of which the two at `errno_at` become the errno, its lower
/// seven bits with the highest bit set, then the upper ones (a number as protobuf has it, of fixed length).
#[derive(Debug, Clone)]
pub struct Complaint {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where the errno goes.
    pub errno_at: usize,
}

/// What is to be done.
#[derive(Debug)]
pub struct LastSteps<'a> {
    /// The directory to go to, said if that fails.
    pub directory: (&'a Path, Complaint),
    /// The filter of system calls that is put on last before exec, with its flags, as [`crate::seccomp::filter`] takes
    /// them; said if that fails.
    pub filter: Option<((&'a [u8], u32), Complaint)>,
    /// What is executed.
    pub program: &'a Program,
    /// Where it may lie, in the order in which it is looked for; said if it is nowhere.
    pub places: (&'a [PathBuf], Complaint),
}

/// The same, packed: nothing of it lies elsewhere.
#[derive(Debug)]
pub struct Standby {
    steps: NonNull<Steps>,
}

/// At the begin of the region, pointing into it.
struct Steps {
    region: (usize, usize),
    directory: *const libc::c_char,
    places: *const *const libc::c_char,
    arguments: *const *const libc::c_char,
    environment: *const *const libc::c_char,
    /// Null if there is none.
    filter: *const libc::sock_filter,
    filter_length: u16,
    filter_flags: u32,
    no_directory: Said,
    no_filter: Said,
    no_program: Said,
}

struct Said {
    bytes: *mut u8,
    length: usize,
    errno_at: usize,
}

impl Standby {
    /// Packs it.
    ///
    /// # Errors
    /// `EINVAL` when a path has a NUL inside or a complaint no room for the errno; as mmap(2).
    pub fn new(steps: &LastSteps<'_>) -> io::Result<Self> {
        let directory = c_path(steps.directory.0)?;
        let places = steps.places.0.iter().map(|place| c_path(place)).collect::<io::Result<Vec<CString>>>()?;
        let (arguments, environment) = steps.program.strings();
        let tables = [places.as_slice(), arguments, environment];
        let strings = tables.iter().flat_map(|table| table.iter()).chain([&directory]);
        let (filter, flags) = steps.filter.as_ref().map_or((&[][..], 0), |(filter, _)| *filter);
        let filter_length = seccomp::length(filter)?;
        let no_filter = steps.filter.as_ref().map_or(&steps.places.1, |(_, complaint)| complaint);
        let said = [&steps.directory.1, no_filter, &steps.places.1];
        let text: usize = strings.map(|text| text.as_bytes_with_nul().len()).sum();
        let pointers: usize = tables.iter().map(|table| (table.len() + 1) * size_of::<usize>()).sum();
        let spoken: usize = said.iter().map(|said| said.bytes.len()).sum();
        let mut pack = Pack::new(size_of::<Steps>() + pointers + filter.len() + text + spoken)?;
        let at = pack.take(size_of::<Steps>())?.cast::<Steps>();
        let steps = Steps {
            region: (pack.start.as_ptr().addr(), pack.length),
            // the tables first: they must lie at multiples of a word
            places: pack.table(&places)?,
            arguments: pack.table(arguments)?,
            environment: pack.table(environment)?,
            // then what fills whole words, too
            filter: if filter.is_empty() { std::ptr::null() } else { pack.bytes(filter)?.as_ptr().cast_const().cast() },
            filter_length,
            filter_flags: flags,
            directory: pack.string(&directory)?,
            no_directory: pack.said(said[0])?,
            no_filter: pack.said(said[1])?,
            no_program: pack.said(said[2])?,
        };
        // SAFETY: the region is live, its begin is aligned to a page and was set aside for this.
        unsafe { at.write(steps) };
        Ok(Self { steps: at })
    }

    /// Waits for a byte on `told`, then does the last steps; what fails is said on `report`. If no byte will come, the process
    /// ends with [`NEVER_TOLD`].
    ///
    /// For a copy of a process that runs nothing else any more: what is left of the copy is given back.
    pub fn wait(self, told: BorrowedFd<'_>, report: BorrowedFd<'_>) -> ! {
        // SAFETY: the region is as `new` made it, and this process never comes back to code that uses anything else.
        unsafe { wait(self.steps.as_ptr(), told.as_raw_fd(), report.as_raw_fd()) }
    }
}

/// A region that is filled from its begin.
struct Pack {
    start: NonNull<u8>,
    length: usize,
    used: usize,
}

impl Pack {
    fn new(length: usize) -> io::Result<Self> {
        let length = length.next_multiple_of(PAGE);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length, used: 0 })
    }

    fn take(&mut self, length: usize) -> io::Result<NonNull<u8>> {
        let at = self.used;
        self.used += length;
        if self.used > self.length {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: within the region.
        Ok(unsafe { self.start.add(at) })
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<NonNull<u8>> {
        let at = self.take(bytes.len())?;
        // SAFETY: room for as many was taken just now, in a region that nothing else uses.
        unsafe { at.copy_from_nonoverlapping(NonNull::from_ref(bytes).cast(), bytes.len()) };
        Ok(at)
    }

    fn string(&mut self, text: &CStr) -> io::Result<*const libc::c_char> {
        Ok(self.bytes(text.to_bytes_with_nul())?.as_ptr().cast())
    }

    /// Pointers to strings, and a null pointer. What lies before must fill whole words.
    fn table(&mut self, strings: &[CString]) -> io::Result<*const *const libc::c_char> {
        let word = size_of::<usize>();
        let table = self.take((strings.len() + 1) * word)?.cast::<*const libc::c_char>();
        for (at, text) in strings.iter().enumerate() {
            // the strings of one table stand at the end of the region, behind all tables
            let text = self.string_behind(text)?;
            // SAFETY: within the table, which is aligned to a word.
            unsafe { table.add(at).write(text) };
        }
        Ok(table.as_ptr().cast_const())
    }

    fn string_behind(&mut self, text: &CStr) -> io::Result<*const libc::c_char> {
        let bytes = text.to_bytes_with_nul();
        let at =
            self.length.checked_sub(bytes.len()).filter(|at| *at >= self.used).ok_or(io::ErrorKind::OutOfMemory)?;
        self.length = at;
        // SAFETY: within the region.
        let at = unsafe { self.start.add(at) };
        // SAFETY: room for as many was taken just now, in a region that nothing else uses.
        unsafe { at.copy_from_nonoverlapping(NonNull::from_ref(bytes).cast(), bytes.len()) };
        Ok(at.as_ptr().cast())
    }

    fn said(&mut self, said: &Complaint) -> io::Result<Said> {
        let length = said.bytes.len();
        if length < said.errno_at + 2 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Said { bytes: self.bytes(&said.bytes)?.as_ptr(), length, errno_at: said.errno_at })
    }
}

/// # Safety
/// `steps` as [`Standby::new`] made it, in a process that needs nothing else any more.
#[inline(never)]
unsafe fn wait(steps: *mut Steps, told: RawFd, report: RawFd) -> ! {
    let mut byte = 0_u8;
    // SAFETY: system calls on live memory: this frame, and the region that `steps` begins.
    unsafe {
        give_back((*steps).region, (&raw const byte).addr());
        loop {
            let count = libc::read(told, (&raw mut byte).cast(), 1);
            if count > 0 {
                break;
            }
            if count == 0 || *libc::__errno_location() != libc::EINTR {
                libc::_exit(NEVER_TOLD);
            }
        }
        if libc::chdir((*steps).directory) < 0 {
            complain(&(*steps).no_directory, *libc::__errno_location(), report);
        }
        if !(*steps).filter.is_null() && put_on(steps) < 0 {
            complain(&(*steps).no_filter, *libc::__errno_location(), report);
        }
        complain(&(*steps).no_program, execute(steps), report)
    }
}

/// # Safety
/// As [`wait`], with a filter.
unsafe fn put_on(steps: *mut Steps) -> libc::c_long {
    let mode = libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the program points to as many live instructions, which the kernel copies.
    unsafe {
        let program = libc::sock_fprog { len: (*steps).filter_length, filter: (*steps).filter.cast_mut() };
        libc::syscall(libc::SYS_seccomp, mode, libc::c_ulong::from((*steps).filter_flags), &raw const program)
    }
}

/// As execvp(3) looks for a program: what is not there is looked for in the next place, and so is what may not be executed,
/// which is said if it is nowhere else.
///
/// # Safety
/// As [`wait`].
unsafe fn execute(steps: *mut Steps) -> libc::c_int {
    let mut errno = libc::ENOENT;
    // SAFETY: the tables end with a null pointer, their strings are live.
    unsafe {
        let mut place = (*steps).places;
        let is_only = !(*place).is_null() && (*place.add(1)).is_null();
        while !(*place).is_null() {
            libc::execve(*place, (*steps).arguments, (*steps).environment);
            match *libc::__errno_location() {
                only if is_only => return only,
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => errno = libc::EACCES,
                other => return other,
            }
            place = place.add(1);
        }
    }
    errno
}

/// # Safety
/// `said` as [`Standby::new`] made it. Never comes back.
unsafe fn complain(said: &Said, errno: libc::c_int, report: RawFd) -> ! {
    let errno = errno.unsigned_abs();
    // SAFETY: the two bytes are within the message, whose length was checked.
    unsafe {
        said.bytes.add(said.errno_at).write(0x80 | (errno & 0x7f) as u8);
        said.bytes.add(said.errno_at + 1).write((errno >> 7 & 0x7f) as u8);
        libc::write(report, said.bytes.cast_const().cast(), said.length);
        libc::_exit(FAILED)
    }
}

/// Gives back private memory but `region`, what lies around `frame` on the stack, and the C library's own. Where the list
/// of mappings cannot be read, nothing is given back: that costs memory, and nothing else.
///
/// # Safety
/// As [`wait`].
unsafe fn give_back(region: (usize, usize), frame: usize) {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, and system calls on it. What is given back is never used again: the heap, the stack above and
    // below this frame, and mappings made with mmap but for that of this thread, which `errno` is part of.
    unsafe {
        let own = libc::__errno_location().addr();
        let list = libc::mmap(std::ptr::null_mut(), LIST, access, flags, -1, 0);
        if list == libc::MAP_FAILED {
            return;
        }
        let text = read_list(list.cast());
        let kept = [
            (region.0, region.0 + region.1),
            around(frame, 2 * PAGE),
            around(own, PAGE),
            (list.addr(), list.addr() + LIST),
        ];
        for (start, end) in Given::of(text) {
            without(start, end, kept, |start, end| {
                libc::madvise(std::ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED);
            });
        }
        libc::munmap(list, LIST);
    }
}

/// # Safety
/// `list` is [`LIST`] bytes long and nobody else's.
unsafe fn read_list<'a>(list: *mut u8) -> &'a [u8] {
    let mut filled = 0;
    // SAFETY: reads into the rest of the list.
    unsafe {
        let file = libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        while filled < LIST {
            match libc::read(file, list.add(filled).cast(), LIST - filled) {
                ..=0 => break,
                count => filled += count.unsigned_abs(),
            }
        }
        libc::close(file);
        std::slice::from_raw_parts(list, filled)
    }
}

/// The pages around an address.
fn around(address: usize, more: usize) -> (usize, usize) {
    let page = address - address % PAGE;
    (page - more, page + PAGE + more)
}

/// Calls `give` for what is left of a range without those that are kept.
fn without<const N: usize>(start: usize, end: usize, mut kept: [(usize, usize); N], give: impl Fn(usize, usize)) {
    kept.sort_unstable();
    let mut from = start;
    for (first, last) in kept {
        let until = first.min(end);
        if from < until {
            give(from, until);
        }
        from = from.max(last);
    }
    if from < end {
        give(from, end);
    }
}

/// The mappings of a list that may be given back: private, writable, of no file, and not the zeroed part of a program's own
/// data, which stands right behind its file. No allocation: what is read is a process that is ending as such.
struct Given<'a> {
    lines: std::slice::Split<'a, u8, fn(&u8) -> bool>,
    /// Where the last mapping of a file, with its zeroed part, ended.
    file_end: usize,
}

impl<'a> Given<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { lines: text.split(|byte| *byte == b'\n'), file_end: 0 }
    }
}

impl Iterator for Given<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.lines.next()?;
            let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
            let (Some(range), Some(access)) = (fields.next(), fields.next()) else { continue };
            let Some((start, end)) = range_of(range) else { continue };
            let inode = fields.nth(2).unwrap_or(b"0");
            let is_named = fields.next().is_some();
            if inode != b"0" || (start == self.file_end && !is_named) {
                self.file_end = end;
            } else if access == b"rw-p" {
                return Some((start, end));
            }
        }
    }
}

fn range_of(field: &[u8]) -> Option<(usize, usize)> {
    let dash = field.iter().position(|byte| *byte == b'-')?;
    Some((hexadecimal(&field[..dash])?, hexadecimal(&field[dash + 1..])?))
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0_usize, |number, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | usize::from(value))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::wait;

    #[test]
    fn heap_stack_and_mappings_are_given_back_and_what_belongs_to_a_file_is_not() {
        let list = b"\
00400000-00401000 r--p 00000000 fe:00 7 /bin/shim
00401000-00402000 rw-p 00001000 fe:00 7 /bin/shim
00402000-00403000 rw-p 00000000 00:00 0
00403000-00404000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f0000002000-7f0000003000 r--p 00000000 00:00 0
7f0000004000-7f0000005000 rw-s 00000000 00:19 9 /run/journal
7f0000006000-7f0000007000 rw-p 00000000 00:00 0 [stack]
";
        let given: Vec<_> = Given::of(list).collect();

        assert_eq!(
            given,
            [(0x403000, 0x404000), (0x7f00_0000_0000, 0x7f00_0000_1000), (0x7f00_0000_6000, 0x7f00_0000_7000)]
        );
    }

    #[test]
    fn what_is_kept_is_left_out_of_a_range() {
        let given = RefCell::new(Vec::new());
        let note = |start, end| given.borrow_mut().push((start, end));
        without(10, 100, [(90, 200), (0, 20), (40, 50), (45, 60)], note);
        without(10, 20, [(0, 30)], note);

        assert_eq!(given.into_inner(), [(20, 40), (60, 90)]);
    }

    /// A copy of this process that waits; its output and its complaints.
    struct Waiting {
        pid: u32,
        told: Option<io::PipeWriter>,
        output: io::PipeReader,
        report: io::PipeReader,
    }

    fn complaint() -> Complaint {
        Complaint { bytes: b"errno __!".to_vec(), errno_at: 6 }
    }

    fn waiting(directory: &str, places: &[&str], arguments: &[&str]) -> Waiting {
        filtered(None, directory, places, arguments)
    }

    fn filtered(filter: Option<&[u8]>, directory: &str, places: &[&str], arguments: &[&str]) -> Waiting {
        let words: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let program = Program::new(&words, &["NAME=value".to_owned()]).unwrap();
        let places: Vec<PathBuf> = places.iter().map(PathBuf::from).collect();
        let steps = LastSteps {
            directory: (Path::new(directory), complaint()),
            filter: filter.map(|filter| ((filter, 0), complaint())),
            program: &program,
            places: (&places, complaint()),
        };
        let standby = Standby::new(&steps).unwrap();
        let (hears, told) = io::pipe().unwrap();
        let (output, out) = io::pipe().unwrap();
        let (report, says) = io::pipe().unwrap();
        // SAFETY: the copy makes only system calls.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: takes numbers only.
            unsafe { libc::dup2(out.as_raw_fd(), 1) };
            crate::process::forbid_new_privileges().unwrap();
            drop(told);
            standby.wait(hears.as_fd(), says.as_fd());
        }
        Waiting { pid: pid.unsigned_abs(), told: Some(told), output, report }
    }

    impl Waiting {
        fn go_on(&mut self) {
            self.told.as_mut().unwrap().write_all(b"!").unwrap();
        }

        fn ended(self) -> (String, Vec<u8>, Option<wait::Exit>) {
            let Self { pid, told, mut output, mut report } = self;
            drop(told);
            let (mut text, mut said) = (String::new(), Vec::new());
            output.read_to_string(&mut text).unwrap();
            report.read_to_end(&mut said).unwrap();
            let mut status = 0;
            // SAFETY: the status is live.
            unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) };
            (text, said, Some(wait::Exit::from_wait_status(status)))
        }
    }

    #[test]
    fn a_program_begins_when_it_is_told_to() {
        let script = "echo $NAME $0 $PWD; exit 3";
        let mut waiting = waiting("/usr", &["/no/such", "/etc/passwd/no", "/bin/sh"], &["sh", "-c", script, "name"]);

        waiting.go_on();

        assert_eq!(waiting.ended(), ("value name /usr\n".to_owned(), Vec::new(), Some(wait::Exit::Code(3))));
    }

    #[test]
    fn the_filter_is_put_on_before_the_program_begins_and_one_that_cannot_be_is_said() {
        let refuse_uname = crate::seccomp::testing::refusing(libc::SYS_uname, libc::EOPNOTSUPP);
        let mut allowed = filtered(Some(&refuse_uname), "/", &["/bin/uname"], &["uname"]);
        let mut wrong = filtered(Some(&[0xff; 8]), "/", &["/bin/true"], &["true"]);

        allowed.go_on();
        wrong.go_on();

        assert_eq!(allowed.ended().2, Some(wait::Exit::Code(1)), "uname has been refused");
        assert_eq!(wrong.ended().1, [b"errno ".as_slice(), &[0x80 | libc::EINVAL as u8, 0], b"!"].concat());
    }

    #[test]
    fn one_that_nobody_will_tell_ends() {
        let waiting = waiting("/", &["/bin/sh"], &["sh", "-c", "echo wrong"]);

        assert_eq!(waiting.ended(), (String::new(), Vec::new(), Some(wait::Exit::Code(NEVER_TOLD))));
    }

    #[test]
    fn what_fails_is_said_with_its_errno() {
        let coded = |errno: i32| [b"errno ".as_slice(), &[0x80 | errno as u8, 0], b"!"].concat();
        for (directory, places, errno) in [
            ("/no/such", ["/bin/sh"].as_slice(), libc::ENOENT),
            ("/", ["/no/such"].as_slice(), libc::ENOENT),
            ("/", ["/etc/passwd", "/no/such"].as_slice(), libc::EACCES),
            ("/", [].as_slice(), libc::ENOENT),
        ] {
            let mut waiting = waiting(directory, places, &["sh"]);

            waiting.go_on();

            assert_eq!(waiting.ended(), (String::new(), coded(errno), Some(wait::Exit::Code(FAILED))), "{places:?}");
        }
    }

    #[test]
    fn the_copy_of_the_parents_memory_is_given_back() {
        let mut heap = vec![1_u8; 4 << 20];
        let waiting = waiting("/", &["/bin/true"], &["true"]);
        heap.fill(2);
        let rollup = format!("/proc/{}/smaps_rollup", waiting.pid);
        let dirty = || {
            let text = std::fs::read_to_string(&rollup).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap().to_owned();
            line.trim().trim_end_matches(" kB").parse::<u32>().unwrap()
        };

        let begin = std::time::Instant::now();
        while dirty() > 400 {
            assert!(begin.elapsed().as_secs() < 20, "it still holds {} kB", dirty());
            std::thread::yield_now();
        }

        assert_eq!(heap[0], 2);
        waiting.ended();
    }
}
