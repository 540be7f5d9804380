//! Tells when a camera may have been plugged in, by the kernel's and udev's own word. Without one, by what appears in `/dev`.
//!
//! A stream that waits for a camera tries again then instead of waiting longer. A message too many costs an attempt, so
//! no message heard here needs to be trusted.

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;

const DEVICES: Token = Token(0);
const END: Token = Token(1);

/// netlink(7): 1 is what the kernel tells, 2 is what udev has dealt with: links are made and groups are set then.
const GROUPS: u32 = 1 | 2;

/// The mark of a video device in a message of either.
const VIDEO: &[u8] = b"SUBSYSTEM=video4linux\0";
const ADDED: &[u8] = b"ACTION=add\0";

/// A thread that listens until this is dropped. It makes no system call while nothing is told.
pub struct Hotplug {
    end: Waker,
    thread: Option<JoinHandle<()>>,
}

enum EventSource {
    Netlink(OwnedFd),
    Dev(Inotify),
}

impl Hotplug {
    /// Calls `added` each time that a camera may have been plugged in.
    ///
    /// # Errors
    /// When the system lets nothing be heard, or has no thread.
    pub fn listen(added: impl Fn() + Send + 'static) -> io::Result<Self> {
        let source = match netlink() {
            Ok(socket) => EventSource::Netlink(socket),
            Err(error) => {
                tracing::info!(%error, "no word of the kernel on devices; /dev is watched instead");
                EventSource::Dev(watch(Path::new("/dev"))?)
            }
        };
        Self::listen_to(source, added)
    }

    fn listen_to(source: EventSource, added: impl Fn() + Send + 'static) -> io::Result<Self> {
        let mut poll = Poll::new()?;
        let fd = source.fd();
        let registry = poll.registry();
        registry.register(&mut SourceFd(&fd), DEVICES, Interest::READABLE)?;
        let end = Waker::new(registry, END)?;
        let run = move || {
            let mut events = Events::with_capacity(2);
            loop {
                match poll.poll(&mut events, None) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                        return tracing::warn!(%error, "newly connected cameras are noticed late");
                    }
                    _ if events.iter().any(|event| event.token() == END) => return,
                    _ if source.tells_of_video() => added(),
                    _ => {}
                }
            }
        };
        let thread = std::thread::Builder::new().name("hotplug".into());
        Ok(Self {
            end,
            thread: Some(thread.spawn(run)?),
        })
    }
}

impl Drop for Hotplug {
    fn drop(&mut self) {
        // It fails only without a poller, and then the thread has ended.
        let _ = self.end.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl EventSource {
    fn fd(&self) -> std::os::fd::RawFd {
        match self {
            Self::Netlink(socket) => socket.as_raw_fd(),
            Self::Dev(inotify) => inotify.as_fd().as_raw_fd(),
        }
    }

    /// Reads all that was told. Whether any of it is of a new video device.
    fn tells_of_video(&self) -> bool {
        let mut is_video = false;
        loop {
            let told = match self {
                Self::Netlink(socket) => heard(socket),
                Self::Dev(inotify) => appeared(inotify),
            };
            match told {
                Ok(told) => is_video |= told,
                Err(Errno::EINTR) => {}
                // More was told than there was room for, so it may have been that.
                Err(Errno::ENOBUFS) => is_video = true,
                // Nothing more; or it is broken, which the next wait tells.
                Err(_) => return is_video,
            }
        }
    }
}

fn netlink() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkKObjectUEvent;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    Ok(socket)
}

/// Reads one message. Whether it tells of a new video device.
fn heard(socket: &OwnedFd) -> nix::Result<bool> {
    // The kernel's own limit is 2 kB; udev's messages are longer by the properties of its rules.
    let mut buffer = [0; 16_384];
    let len = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    Ok(tells_of_video(&buffer[..len]))
}

fn tells_of_video(message: &[u8]) -> bool {
    let says = |part| memchr::memmem::find(message, part).is_some();
    says(VIDEO) && says(ADDED)
}

/// Nodes that appear, and those whose group or mode udev sets afterwards.
fn watch(folder: &Path) -> nix::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ATTRIB;
    inotify.add_watch(folder, changes)?;
    Ok(inotify)
}

fn appeared(inotify: &Inotify) -> nix::Result<bool> {
    let events = inotify.read_events()?;
    let is_video = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("video");
    Ok(events.iter().any(|event| {
        // Without a name the queue was too long, and it may have been that.
        event.name.as_ref().is_none_or(is_video)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_new_video_device_is_told_from_others() {
        let kernel = "add@/devices/platform/vivid.0/video4linux/video0\0ACTION=add\0\
            DEVPATH=/devices/platform/vivid.0/video4linux/video0\0SUBSYSTEM=video4linux\0MAJOR=81\0\
            MINOR=0\0DEVNAME=video0\0SEQNUM=1234\0";
        assert!(tells_of_video(kernel.as_bytes()));
        let udev = format!("libudev\0\u{1}\u{2}{kernel}ID_V4L_CAPABILITIES=:capture:\0");
        assert!(tells_of_video(udev.as_bytes()));
        let gone = kernel.replace("add", "remove");
        assert!(!tells_of_video(gone.as_bytes()));
        let disk = kernel.replace("video4linux\0", "block\0");
        assert!(!tells_of_video(disk.as_bytes()));
        assert!(!tells_of_video(b""));
    }

    #[test]
    fn the_kernel_can_be_listened_to_and_no_more() {
        assert!(netlink().is_ok());
        drop(Hotplug::listen(|| ()).unwrap());
    }

    #[test]
    fn a_node_that_appears_is_noticed_without_the_kernels_word() {
        let name = format!("fanlight-hotplug-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let inotify = watch(&folder).unwrap();
        std::fs::write(folder.join("null"), "").unwrap();
        assert_eq!(appeared(&inotify), Ok(false));
        let (sender, added) = std::sync::mpsc::sync_channel(8);
        let tell = move || sender.try_send(()).unwrap();
        let hotplug = Hotplug::listen_to(EventSource::Dev(inotify), tell).unwrap();
        std::fs::write(folder.join("video7"), "").unwrap();
        added
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap();
        drop(hotplug);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
