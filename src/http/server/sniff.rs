//! What a connection begins with: HTTP, TLS, or ICE over TCP, whose connections go over to the media plane.

use super::places::{NoPlace, Places};
use crate::config::Limits;
use crate::rtc::{Arrival, FRAME_HEADER, Plane, announced_frame, is_check};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// HTTP in the clear, or nothing that is known here.
    Http,
    /// A handshake record (RFC 8446, 5.1).
    Tls,
    /// A frame that a check fits into (RFC 4571, 2): the higher byte of its length.
    Ice,
}

impl Opening {
    /// By the first byte. A method of HTTP begins with a letter (RFC 9110, 5.6.2), perhaps behind an empty line, and no
    /// frame that is taken is as long as its length would be if it began with TLS's byte.
    pub const fn of(first: u8) -> Self {
        match first {
            22 => Self::Tls,
            0..=8 => Self::Ice,
            _ => Self::Http,
        }
    }

    /// By the first byte of a connection, of which nothing is taken.
    ///
    /// # Errors
    /// When it ends before.
    pub async fn look(stream: &TcpStream) -> io::Result<Self> {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(Self::of(first[0])),
        }
    }
}

/// Takes the first frame, which is a check that names a viewer.
///
/// # Errors
/// When it is anything else, as soon as that shows.
async fn first_check(mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut header = [0; FRAME_HEADER];
    stream.read_exact(&mut header).await?;
    let len = announced_frame(header).map_err(|_| invalid())?;
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame).await?;
    if is_check(&frame) {
        Ok(frame)
    } else {
        Err(invalid())
    }
}

/// The way of connections to the media plane, and how many there may be: as many as for HTTP, and counted apart from
/// those, so that neither takes the other's places.
pub struct MediaDoor(Arc<Places>);

impl MediaDoor {
    /// Nobody has passed yet.
    pub fn new(limits: &Limits) -> Self {
        Self(Arc::new(Places::new(limits.clone())))
    }

    /// Hands a connection over, once its first frame is there.
    ///
    /// # Errors
    /// When it begins with something else, or ends.
    pub async fn pass(
        &self,
        mut stream: TcpStream,
        remote: SocketAddr,
        plane: &Plane,
    ) -> io::Result<Passed> {
        let check = first_check(&mut stream).await?;
        let peer = remote.ip().to_canonical();
        let place = match self.0.take(peer, Instant::now()) {
            Ok(place) => place,
            Err(NoPlace::AtAll) => return Ok(Passed::Refused("media_connections")),
            Err(NoPlace::OfClient) => {
                return Ok(Passed::Refused("media_connections_per_address"));
            }
        };
        plane.connect(Arrival {
            stream: stream.into_std()?,
            remote: SocketAddr::new(peer, remote.port()),
            check,
            place: Box::new(place),
        });
        Ok(Passed::On)
    }
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// It is the media plane's.
    On,
    /// The limit of that name leaves no place for it.
    Refused(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::ReadBuf;

    /// Bytes that come in pieces of these lengths, again and again, and then end.
    struct Pieces<'a>(&'a [u8], std::iter::Cycle<std::vec::IntoIter<usize>>);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let piece = self.1.next().unwrap();
            let len = piece.min(buffer.remaining()).min(self.0.len());
            let (now, later) = self.0.split_at(len);
            buffer.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    fn read(bytes: &[u8], pieces: Vec<usize>) -> io::Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut stream = Pieces(bytes, pieces.into_iter().cycle());
        runtime.unwrap().block_on(first_check(&mut stream))
    }

    /// A check with that user name and so many bytes of other attributes.
    fn check(name: &str, more: usize) -> Vec<u8> {
        let attribute = |kind: u8, value: &[u8]| {
            let mut bytes = vec![0, kind, 0, value.len() as u8];
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let mut attributes = attribute(6, name.as_bytes());
        (0..more).for_each(|_| attributes.extend(attribute(0x24, &[1; 4])));
        let len = (attributes.len() as u16).to_be_bytes();
        [
            &[0, 1, len[0], len[1], 0x21, 0x12, 0xa4, 0x42][..],
            &[7; 12],
            &attributes,
        ]
        .concat()
    }

    fn framed(datagram: &[u8]) -> Vec<u8> {
        [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
    }

    proptest! {
        #[test]
        fn a_check_is_taken_however_it_is_cut_and_nothing_behind_it(
            (name, more) in ("[a-zA-Z0-9+/]{4,60}:[a-zA-Z0-9+/]{4,60}", 0..200usize),
            pieces in proptest::collection::vec(1..50usize, 1..9),
            behind in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let check = check(&name, more);
            let stream = [framed(&check), behind].concat();
            prop_assert_eq!(Opening::of(stream[0]), Opening::Ice);
            prop_assert_eq!(read(&stream, pieces).unwrap(), check);
        }

        #[test]
        fn what_is_no_check_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert!(read(&bytes, vec![100]).is_err());
            prop_assert!(read(&framed(&bytes), vec![100]).is_err());
        }

        #[test]
        fn a_damaged_check_is_refused_or_as_good(at: prop::sample::Index, put: u8, cut: prop::sample::Index) {
            let mut stream = framed(&check("abcd:efgh", 3));
            prop_assert!(read(&stream[..cut.index(stream.len())], vec![9]).is_err());
            let at = at.index(stream.len());
            stream[at] = put;
            if let Ok(taken) = read(&stream, vec![9]) {
                prop_assert_eq!(&taken, &stream[2..]);
                // Neither the lengths, nor what makes it a check, nor the attribute's head.
                prop_assert!(![0, 1, 2, 3, 4, 5, 6, 7, 8, 9].contains(&at) || taken == check("abcd:efgh", 3));
            }
        }
    }

    #[test]
    fn no_request_and_no_handshake_is_taken_for_anything_else() {
        for method in [
            "GET / HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "\r\nPOST /",
            "PRI * HTTP/2.0",
        ] {
            assert_eq!(Opening::of(method.as_bytes()[0]), Opening::Http, "{method}");
        }
        for token in (0x21..=0x7eu8).filter(u8::is_ascii_graphic) {
            assert_eq!(Opening::of(token), Opening::Http);
        }
        assert_eq!(Opening::of(22), Opening::Tls);
        // The longest frame that is taken.
        assert_eq!(Opening::of(0x08), Opening::Ice);
        assert!(announced_frame([9, 0]).is_err());
    }

    #[test]
    fn a_request_without_a_user_name_names_no_viewer() {
        let nameless = &check("", 0)[..20];
        let mut nameless = nameless.to_vec();
        nameless[2..4].copy_from_slice(&[0, 0]);
        assert!(read(&framed(&nameless), vec![9]).is_err());
    }
}
