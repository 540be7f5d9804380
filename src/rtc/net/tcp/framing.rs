//! Datagrams on a byte stream: each behind its length, two bytes, the higher first (RFC 4571, 2).

/// Bytes before each datagram.
pub const HEADER: usize = 2;

/// The longest datagram that a viewer may send. It sends checks, handshakes and reports, which fit into UDP datagrams of
/// any network; whoever announces more is no viewer.
pub const LONGEST: usize = 2048;

/// A frame that is longer than [`LONGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// The length that a frame's header announces.
///
/// # Errors
/// When that is longer than any frame that is taken.
pub fn announced(header: [u8; HEADER]) -> Result<usize, TooLong> {
    let len = usize::from(u16::from_be_bytes(header));
    (len <= LONGEST).then_some(len).ok_or(TooLong)
}

/// What came in and was not taken out yet: whole frames, and the beginning of one.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    start: usize,
}

impl Frames {
    /// Adds what came in.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next datagram, if it is whole. Empty frames are passed over: RTP over TCP has them to keep a connection alive.
    ///
    /// # Errors
    /// When the next one is too long. Nothing behind it can be read.
    pub fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        loop {
            let rest = &self.bytes[self.start..];
            let Some((header, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let len = announced(*header)?;
            if rest.len() < len {
                return Ok(None);
            }
            let begin = self.start + HEADER;
            self.start = begin + len;
            if len > 0 {
                return Ok(Some(&self.bytes[begin..begin + len]));
            }
        }
    }
}

/// Appends a frame of `len` bytes, which `write` appends. `false` if it failed to, and nothing was added: half a frame
/// would be the end of the stream.
pub fn append<E>(
    out: &mut Vec<u8>,
    len: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> bool {
    let start = out.len();
    let Ok(announced) = u16::try_from(len) else {
        return false;
    };
    out.extend_from_slice(&announced.to_be_bytes());
    let written = write(out);
    if written.is_err() || out.len() != start + HEADER + len || len == 0 {
        out.truncate(start);
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for datagram in datagrams {
            append(&mut stream, datagram.len(), |out| {
                out.extend_from_slice(datagram);
                Ok::<_, ()>(())
            });
        }
        stream
    }

    fn taken(frames: &mut Frames) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut all = Vec::new();
        while let Some(datagram) = frames.next()? {
            all.push(datagram.to_vec());
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut(
            datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..=LONGEST), 0..12),
            cuts in proptest::collection::vec(1..3000usize, 1..40),
        ) {
            let stream = framed(&datagrams);
            let (mut frames, mut found, mut rest) = (Frames::default(), Vec::new(), &stream[..]);
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                frames.extend(now);
                found.extend(taken(&mut frames).unwrap());
                prop_assert!(frames.bytes.len() - frames.start < HEADER + LONGEST);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, datagrams);
        }

        #[test]
        fn no_bytes_make_it_panic_or_wait_for_more_than_the_longest_frame(
            stream in proptest::collection::vec(any::<u8>(), 0..20_000),
        ) {
            let mut frames = Frames::default();
            frames.extend(&stream);
            if taken(&mut frames).is_ok() {
                prop_assert!(frames.bytes.len() - frames.start < HEADER + LONGEST);
            }
        }
    }

    #[test]
    fn one_byte_too_many_ends_the_stream_and_what_came_before_it_is_good() {
        let mut frames = Frames::default();
        let longest = [&(LONGEST as u16).to_be_bytes()[..], &[7; LONGEST]].concat();
        frames.extend(&longest);
        frames.extend(&(LONGEST as u16 + 1).to_be_bytes());
        assert_eq!(frames.next().unwrap().unwrap().len(), LONGEST);
        assert_eq!(frames.next(), Err(TooLong));
    }

    #[test]
    fn empty_frames_are_passed_over() {
        let mut frames = Frames::default();
        frames.extend(&[0, 0, 0, 0, 0, 1, 7, 0, 0]);
        assert_eq!(taken(&mut frames), Ok(vec![vec![7]]));
    }

    #[test]
    fn what_can_not_be_written_as_announced_leaves_no_trace() {
        let mut out = vec![9];
        assert!(!append(&mut out, 2, |_| Err(())));
        assert!(!append(&mut out, 2, |out| {
            out.push(1);
            Ok::<_, ()>(())
        }));
        assert!(!append(&mut out, 1 << 16, |_| Ok::<_, ()>(())));
        assert!(!append(&mut out, 0, |_| Ok::<_, ()>(())));
        assert_eq!(out, [9]);
    }
}
