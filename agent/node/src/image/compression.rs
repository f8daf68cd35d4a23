//! Plain, gzip and zstd streams, told apart by their first bytes.
//!
//! Must never use more memory than a window of 8 MiB, whatever the stream asks for.

use std::io::{self, BufReader, Chain, Cursor, Read};

/// Largest zstd window that is accepted: 8 MiB, which the format asks every decoder to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Enough to keep system calls rare, little beside the decoders' own windows.
const INPUT_BUFFER: usize = 32 * 1024;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Tells by the first four bytes.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // Skippable frames may come first (zstd:chunked, pzstd).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// The stream with the first bytes, which were read to look at them, put back.
type Restored<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A decompressed stream. Several members or frames behind one another are one stream.
pub(crate) enum Decompressed<R: Read> {
    None(Restored<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Restored<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Restored<R>>>),
}

impl<R: Read> Decompressed<R> {
    /// Reads the first bytes of `inner` to know what it is.
    pub fn new(mut inner: R) -> io::Result<Self> {
        let mut start = Vec::with_capacity(4);
        inner.by_ref().take(4).read_to_end(&mut start)?;
        let compression = Compression::of(&start);
        let reader = BufReader::with_capacity(INPUT_BUFFER, Cursor::new(start).chain(inner));
        Ok(match compression {
            Compression::None => Self::None(reader),
            Compression::Gzip => Self::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(reader))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// The raw stream. Bytes that the decoder has buffered are lost.
    pub fn into_inner(self) -> R {
        let reader = match self {
            Self::None(reader) => reader,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        reader.into_inner().into_inner().1
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(reader) => reader.read(buf),
            Self::Gzip(decoder) => decoder.read(buf),
            Self::Zstd(decoder) => decoder.read(buf),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decompressed::new(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    /// One byte for each read, as a slow network gives them.
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(buf.len()).min(1);
            self.0.read(&mut buf[..n])
        }
    }

    #[test]
    fn every_form_yields_the_same_bytes() {
        let text = b"holm ".repeat(50_000);
        for form in [text.clone(), gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
            assert_eq!(read(&form).unwrap(), text);
            let mut out = Vec::new();
            Decompressed::new(Drip(&form)).unwrap().read_to_end(&mut out).unwrap();
            assert_eq!(out, text);
        }
    }

    #[test]
    fn members_and_frames_behind_one_another_are_one_stream() {
        assert_eq!(read(&[gzip(b"one"), gzip(b"two")].concat()).unwrap(), b"onetwo");
        let frame = |b: &[u8]| zstd::encode_all(b, 1).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9].to_vec();
        let stream = [skippable.clone(), frame(b"one"), skippable, frame(b"two")].concat();
        assert_eq!(read(&stream).unwrap(), b"onetwo");
    }

    #[test]
    fn truncated_streams_are_errors() {
        let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
            for cut in [5, whole.len() / 2, whole.len() - 1] {
                assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn zstd_window_above_the_bound_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(25).unwrap();
        encoder.write_all(b"x").unwrap();
        let bytes = encoder.finish().unwrap();
        assert!(read(&bytes).unwrap_err().to_string().contains("memory"));
    }

    #[test]
    fn short_and_empty_streams_are_plain() {
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(b"abc").unwrap(), b"abc");
    }
}
