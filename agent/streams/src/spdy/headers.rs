//! Blocks of headers: names and values, compressed by one zlib stream for the whole connection in each direction.

use bytes::{BufMut as _, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::dictionary::{ID, dictionary};
use crate::wire::{Headers, Violation};

/// Most bytes of one block of headers, decompressed. Kubernetes' are under 100.
pub const MAX_HEADERS: usize = 16 << 10;

/// Most headers in a block.
const MAX_COUNT: u32 = 64;

/// The peer's headers.
pub struct Inflate {
    /// Made with the first block: it takes 40 KiB.
    stream: Option<Decompress>,
}

impl std::fmt::Debug for Inflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflate").finish_non_exhaustive()
    }
}

impl Default for Inflate {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflate {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self { stream: None }
    }

    /// A block, which is all of a frame behind its fixed fields.
    ///
    /// # Errors
    /// It is not compressed with the dictionary, over a limit, or not what it says.
    pub fn block(&mut self, compressed: &[u8]) -> Result<Headers, Violation> {
        parse(&self.inflate(compressed)?)
    }

    fn inflate(&mut self, mut compressed: &[u8]) -> Result<Vec<u8>, Violation> {
        let stream = self.stream.get_or_insert_with(|| Decompress::new(true));
        // One byte over the limit, so that what is over it is seen.
        let mut plain = vec![0; MAX_HEADERS + 1];
        let mut filled = 0;
        while !compressed.is_empty() {
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let outcome = stream.decompress(compressed, &mut plain[filled..], FlushDecompress::Sync);
            let taken = usize::try_from(stream.total_in() - before_in).unwrap_or(usize::MAX);
            let given = usize::try_from(stream.total_out() - before_out).unwrap_or(usize::MAX);
            compressed = compressed.get(taken..).unwrap_or_default();
            filled += given;
            match outcome {
                Ok(Status::Ok | Status::BufError) if filled > MAX_HEADERS => {
                    return Err(Violation::Headers("longer than 16 KiB"));
                }
                Ok(Status::Ok) if taken > 0 || given > 0 => {}
                Ok(Status::Ok | Status::BufError) => {
                    return Err(Violation::Headers("compressed data that goes nowhere"));
                }
                Ok(Status::StreamEnd) => return Err(Violation::Headers("the end of the compression")),
                Err(error) if error.needs_dictionary() == Some(ID) => {
                    let known = stream.set_dictionary(&dictionary());
                    known.map_err(|_| Violation::Headers("another dictionary"))?;
                }
                Err(error) if error.needs_dictionary().is_some() => {
                    return Err(Violation::Headers("another dictionary"));
                }
                Err(_) => return Err(Violation::Headers("not compressed with zlib")),
            }
        }
        plain.truncate(filled);
        Ok(plain)
    }
}

fn parse(mut plain: &[u8]) -> Result<Headers, Violation> {
    let count = number(&mut plain)?;
    if count > MAX_COUNT {
        return Err(Violation::Headers("more than 64"));
    }
    let mut pairs = Vec::new();
    for _ in 0..count {
        let (name, value) = (text(&mut plain)?, text(&mut plain)?);
        pairs.push((name.to_lowercase(), value));
    }
    if plain.is_empty() { Ok(Headers(pairs)) } else { Err(Violation::Headers("bytes behind the last")) }
}

fn number(plain: &mut &[u8]) -> Result<u32, Violation> {
    let (bytes, rest) = plain.split_first_chunk().ok_or(Violation::Headers("cut short"))?;
    *plain = rest;
    Ok(u32::from_be_bytes(*bytes))
}

fn text(plain: &mut &[u8]) -> Result<String, Violation> {
    let length = number(plain)? as usize;
    let (bytes, rest) = plain.split_at_checked(length).ok_or(Violation::Headers("cut short"))?;
    *plain = rest;
    String::from_utf8(bytes.to_vec()).map_err(|_| Violation::Headers("not UTF-8"))
}

/// A stored block of no bytes.
const SYNC: &[u8] = &[0, 0, 0, 0xff, 0xff];

/// Our headers. They are few and hardly worth compressing: they are stored, which zlib allows, and which needs none of the
/// 256 KiB of a compressor.
#[derive(Debug, Default)]
pub struct Deflate {
    begun: bool,
}

impl Deflate {
    /// Appends a block.
    pub fn block(&mut self, headers: &Headers, out: &mut BytesMut) {
        if !self.begun {
            // zlib with a window of 32 KiB and without a dictionary.
            out.put_slice(&[0x78, 0x01]);
            self.begun = true;
        }
        let mut plain = BytesMut::new();
        plain.put_u32(headers.0.len() as u32);
        for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(text.len() as u32);
            plain.put_slice(text.as_bytes());
        }
        for chunk in plain.chunks(usize::from(u16::MAX)) {
            let length = chunk.len() as u16;
            out.put_u8(0);
            out.put_u16_le(length);
            out.put_u16_le(!length);
            out.put_slice(chunk);
        }
        // An empty block, by which a reader knows that there is nothing to wait for before it hands on what it has. Go's reads
        // on without it, meets the end of the frame, and takes that for the end of the stream.
        out.put_slice(SYNC);
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    /// As a client compresses: with the dictionary, and each block flushed.
    struct Client(Compress);

    impl Client {
        fn new() -> Self {
            let mut compress = Compress::new(Compression::best(), true);
            assert_eq!(compress.set_dictionary(&dictionary()).unwrap(), ID);
            Self(compress)
        }

        fn block(&mut self, plain: &[u8]) -> Vec<u8> {
            let mut out = Vec::with_capacity(plain.len() + 1024);
            self.0.compress_vec(plain, &mut out, FlushCompress::Sync).unwrap();
            out
        }
    }

    fn plain(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = (pairs.len() as u32).to_be_bytes().to_vec();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.bytes());
        }
        plain
    }

    #[test]
    fn blocks_of_one_connection_are_read_one_after_the_other() {
        let (mut client, mut inflate) = (Client::new(), Inflate::new());
        for port in ["80", "443", "5432"] {
            let block = client.block(&plain(&[("StreamType", "data"), ("port", port)]));
            let headers = inflate.block(&block).unwrap();
            assert_eq!((headers.get("streamtype"), headers.get("port")), (Some("data"), Some(port)));
        }
    }

    #[test]
    fn a_block_that_grows_without_bound_is_refused_at_the_limit() {
        let bomb = "x".repeat(4 << 20);
        let block = Client::new().block(&plain(&[("a", &bomb)]));
        assert!(block.len() < 64 << 10, "{}", block.len());
        assert_eq!(Inflate::new().block(&block), Err(Violation::Headers("longer than 16 KiB")));
    }

    #[test]
    fn what_is_no_block_is_refused_with_its_fault() {
        let refused = |plain: &[u8]| Inflate::new().block(&Client::new().block(plain)).unwrap_err();
        assert_eq!(refused(&[0, 0, 1, 0]), Violation::Headers("more than 64"));
        assert_eq!(refused(&[0, 0, 0, 1, 0, 0, 0, 9, b'x']), Violation::Headers("cut short"));
        assert_eq!(refused(&[0, 0, 0, 0, 7]), Violation::Headers("bytes behind the last"));
        assert_eq!(refused(&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0]), Violation::Headers("not UTF-8"));
        assert_eq!(Inflate::new().block(b"GET / HTTP/1.1"), Err(Violation::Headers("not compressed with zlib")));
    }

    #[test]
    fn our_blocks_are_read_by_zlib() {
        let (mut deflate, mut out) = (Deflate::default(), BytesMut::new());
        let mut inflate = Inflate::new();
        for headers in [Headers::default(), Headers::from([("a", "1")]), Headers::default()] {
            out.clear();
            deflate.block(&headers, &mut out);
            assert!(out.ends_with(SYNC));
            assert_eq!(inflate.block(&out), Ok(headers));
        }
    }
}
