//! Handing datagrams to the kernel: many destinations with one system call (`sendmmsg`), many datagrams to each
//! (segmentation offload, `UDP_SEGMENT`), each from the address that the viewer spoke to (`IP_PKTINFO`).

use super::batch::Run;
use crate::rtc::wire::outbox::Via;
use socket2::SockAddr;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Runs handed over by one system call.
pub const MESSAGES: usize = 32;

/// Room for a source address and a segment size, with their headers.
const CONTROL: usize = 64;

/// Control messages, aligned as the kernel reads their headers.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct ControlBuffer {
    bytes: [u8; CONTROL],
    len: usize,
}

impl ControlBuffer {
    const EMPTY: Self = Self {
        bytes: [0; CONTROL],
        len: 0,
    };

    /// Appends a control message.
    #[allow(unsafe_code, reason = "control messages are C structures")]
    fn push<T>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        let size = size_of::<T>() as libc::c_uint;
        // SAFETY: computes a number.
        let (space, len) = unsafe { (libc::CMSG_SPACE(size), libc::CMSG_LEN(size)) };
        let end = self.len + space as usize;
        assert!(end <= CONTROL, "there is room for a source and a size");
        // SAFETY: `self.len` is a sum of CMSG_SPACEs and so aligned for a header in the aligned buffer; header and
        // value lie below `end`, within the buffer; the value is written unaligned.
        unsafe {
            let header: *mut libc::cmsghdr = self.bytes.as_mut_ptr().add(self.len).cast();
            (*header).cmsg_len = len as _;
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        self.len = end;
    }

    fn for_run(run: &Run) -> Self {
        let mut control = Self::EMPTY;
        match run.path.via {
            Via::Udp(Some(IpAddr::V4(ip))) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from(ip).to_be(),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Via::Udp(Some(IpAddr::V6(ip))) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            Via::Udp(None) | Via::Tcp(_) => {}
        }
        if run.datagrams() > 1 {
            // A run's segments are datagrams, so they fit.
            control.push(libc::SOL_UDP, libc::UDP_SEGMENT, run.segment as u16);
        }
        control
    }
}

/// Sends up to [`MESSAGES`] runs, each as one segmented datagram, without waiting. Returns how many the kernel took.
///
/// # Errors
/// What the kernel says of the first, if it takes none.
#[allow(unsafe_code, reason = "sendmmsg takes C structures")]
pub fn send<'a>(
    socket: BorrowedFd<'_>,
    is_ipv6: bool,
    runs: impl Iterator<Item = (&'a Run, &'a [u8])>,
) -> io::Result<usize> {
    #[cfg(test)]
    crate::rtc::net::faults::injected(crate::rtc::net::faults::Call::Send)?;
    let mut names = [const { None::<SockAddr> }; MESSAGES];
    let mut controls = [ControlBuffer::EMPTY; MESSAGES];
    // SAFETY: all-zero is a valid value of these C structures.
    let (mut vectors, mut headers): ([libc::iovec; MESSAGES], [libc::mmsghdr; MESSAGES]) =
        unsafe { (zeroed(), zeroed()) };
    let mut count = 0;
    for (run, data) in runs.take(MESSAGES) {
        let name = names[count].insert(for_family(run.path.remote, is_ipv6).into());
        let control = &mut controls[count];
        *control = ControlBuffer::for_run(run);
        vectors[count] = libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };
        let header = &mut headers[count].msg_hdr;
        header.msg_name = name.as_ptr().cast_mut().cast();
        header.msg_namelen = name.len();
        header.msg_iov = &raw mut vectors[count];
        header.msg_iovlen = 1;
        if control.len > 0 {
            header.msg_control = control.bytes.as_mut_ptr().cast();
            header.msg_controllen = control.len as _;
        }
        count += 1;
    }
    // SAFETY: the first `count` headers point to names, vectors, data and control messages that live until the call
    // has returned; the kernel reads them, and writes to the headers only.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// The address as a socket of that family takes it.
fn for_family(remote: SocketAddr, is_ipv6: bool) -> SocketAddr {
    let ip = match remote.ip() {
        IpAddr::V4(ip) if is_ipv6 => ip.to_ipv6_mapped().into(),
        ip => ip,
    };
    SocketAddr::new(ip, remote.port())
}
