//! A service that writes numbered lines as fast as they are taken, one write each, and then waits for its end.
//!
//! `lines COUNT LENGTH`: each line is `LENGTH` bytes with its newline and begins with its number in ten digits, from 0.
//! A stamp is sent before the first and after the last.

use std::io::{self, Write as _};

use barepod_test_programs::stamp::Stamp;

const DIGITS: usize = 10;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let (Some(Ok(count)), Some(Ok(length)), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: lines COUNT LENGTH"));
    };
    Stamp::now()?.send()?;
    write(count, length)?;
    Stamp::now()?.send()?;
    loop {
        nix::unistd::pause();
    }
}

/// Past the buffer of `std::io::stdout`, which would join lines into one write.
fn write(count: usize, length: usize) -> io::Result<()> {
    let mut line = vec![b'.'; length.max(DIGITS + 1)];
    if let Some(last) = line.last_mut() {
        *last = b'\n';
    }
    let mut stdout = std::fs::File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
    for number in 0..count {
        put(number, &mut line[..DIGITS]);
        stdout.write_all(&line)?;
    }
    Ok(())
}

/// In as many digits as there is room for. By hand: the writer must not be slower than who reads it.
fn put(number: usize, digits: &mut [u8]) {
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_fills_its_digits() {
        let mut digits = [b'x'; super::DIGITS];
        super::put(1_234_567, &mut digits);
        assert_eq!(&digits, b"0001234567");
    }
}
