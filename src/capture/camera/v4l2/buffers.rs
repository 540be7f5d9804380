//! The buffers that a driver fills, mapped into memory, and the capture that goes on while they exist.
//!
//! The `v4l` crate's stream knows one interface only, and a device that refuses to stop ends the whole process: it panics in a
//! destructor, and while it unwinds from that in another one.

use super::{Descriptor, Interface, again, call, zeroed};
use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;
use v4l::v4l_sys::{v4l2_buffer, v4l2_plane, v4l2_requestbuffers};
use v4l::v4l2::vidioc;

/// `V4L2_MEMORY_MMAP`.
const MAPPED: u32 = 1;

/// The driver's description of a filled buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::capture::camera) struct About {
    /// The offset at which the data begins.
    pub offset: usize,
    /// The offset at which the data ends.
    pub end: usize,
    /// See [`v4l::buffer::Flags`].
    pub flags: u32,
    /// The driver's number for it.
    pub sequence: u32,
    /// By the clock that the flags name; 0 without one.
    pub stamp: Duration,
}

/// A buffer of the driver's.
struct MappedBuffer {
    start: NonNull<u8>,
    len: usize,
}

impl Drop for MappedBuffer {
    #[expect(unsafe_code, reason = "memory is unmapped")]
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and nothing that was lent of it is left.
        let _ = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The buffers. When they are dropped, the capture ends.
pub(in crate::capture::camera) struct Buffers {
    device: Arc<Descriptor>,
    interface: Interface,
    mappings: Vec<MappedBuffer>,
    is_on: bool,
    /// The buffer that is not the driver's now, and may be lent.
    held: Option<(usize, About)>,
}

impl Buffers {
    /// Requests so many buffers, hands them to the driver and starts the capture.
    ///
    /// # Errors
    /// The system's error. Completed steps are undone.
    pub fn start(device: Arc<Descriptor>, interface: Interface, count: u32) -> io::Result<Self> {
        let mut buffers = Self {
            device,
            interface,
            mappings: Vec::new(),
            is_on: false,
            held: None,
        };
        let count = buffers.request(count)?;
        if count == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        for index in 0..count {
            let mapping = buffers.map(index)?;
            buffers.mappings.push(mapping);
        }
        for index in 0..count {
            buffers.give(index)?;
        }
        buffers.switch(vidioc::VIDIOC_STREAMON)?;
        buffers.is_on = true;
        Ok(buffers)
    }

    /// Gives the buffer that was lent back, and takes the next one. `false` if none is filled after all.
    ///
    /// # Errors
    /// The system's error; after that the capture is over.
    pub fn take(&mut self) -> io::Result<bool> {
        self.give_back()?;
        let mut plane: v4l2_plane = zeroed();
        let mut buffer = self.buffer(0, &mut plane);
        // SAFETY: the structure of this request; its pointer is to `plane`, which outlives the call.
        #[expect(unsafe_code, reason = "see above")]
        let taken = unsafe { call(&self.device, vidioc::VIDIOC_DQBUF, &mut buffer) };
        match taken {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            taken => taken?,
        }
        let index = buffer.index as usize;
        if index >= self.mappings.len() {
            let what = format!("the driver filled buffer {index}, of which it has none");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let (offset, end) = match self.interface {
            Interface::SinglePlanar => (0, buffer.bytesused),
            Interface::MultiPlanar => (plane.data_offset, plane.bytesused),
        };
        let seconds = u64::try_from(buffer.timestamp.tv_sec).unwrap_or_default();
        let micros = u64::try_from(buffer.timestamp.tv_usec).unwrap_or_default();
        let stamp = Duration::from_secs(seconds).checked_add(Duration::from_micros(micros));
        let about = About {
            offset: offset as usize,
            end: end as usize,
            flags: buffer.flags,
            sequence: buffer.sequence,
            stamp: stamp.unwrap_or_default(),
        };
        self.held = Some((index, about));
        Ok(true)
    }

    /// Gives the buffer that was lent back to the driver.
    ///
    /// # Errors
    /// The system's error.
    pub fn give_back(&mut self) -> io::Result<()> {
        match self.held.take() {
            // There are never more than 32.
            Some((index, _)) => self.give(index as u32),
            None => Ok(()),
        }
    }

    /// The buffer that was taken, whole, and what the driver says of it.
    #[expect(unsafe_code, reason = "memory that the driver shares is lent")]
    pub fn held(&self) -> Option<(&[u8], About)> {
        let (index, about) = self.held?;
        let mapping = &self.mappings[index];
        // SAFETY: mapped with this length as long as `self` is there. The driver leaves a buffer alone that was taken from it, and it
        // is given back by `&mut self` only, when nothing of it is lent any more.
        let data = unsafe { slice::from_raw_parts(mapping.start.as_ptr(), mapping.len) };
        Some((data, about))
    }

    /// Makes the argument of a request about one buffer. The pointer in it is to `plane`.
    fn buffer(&self, index: u32, plane: &mut v4l2_plane) -> v4l2_buffer {
        let mut buffer: v4l2_buffer = zeroed();
        buffer.index = index;
        buffer.type_ = self.interface.buffer_type();
        buffer.memory = MAPPED;
        if self.interface == Interface::MultiPlanar {
            buffer.m.planes = plane;
            buffer.length = 1;
        }
        buffer
    }

    /// Requests buffers. How many there are.
    fn request(&self, count: u32) -> io::Result<u32> {
        let mut request: v4l2_requestbuffers = zeroed();
        request.count = count;
        request.type_ = self.interface.buffer_type();
        request.memory = MAPPED;
        // SAFETY: the structure of this request.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            call(&self.device, vidioc::VIDIOC_REQBUFS, &mut request)?;
        }
        Ok(request.count)
    }

    fn map(&self, index: u32) -> io::Result<MappedBuffer> {
        let mut plane: v4l2_plane = zeroed();
        let mut buffer = self.buffer(index, &mut plane);
        // SAFETY: the structure of this request; its pointer is to `plane`, which outlives the call. The driver fills the part of the
        // union that the interface and the memory mean.
        #[expect(unsafe_code, reason = "see above")]
        let (len, offset) = unsafe {
            call(&self.device, vidioc::VIDIOC_QUERYBUF, &mut buffer)?;
            match self.interface {
                Interface::SinglePlanar => (buffer.length, buffer.m.offset),
                Interface::MultiPlanar => (plane.length, plane.m.mem_offset),
            }
        };
        let len = len as usize;
        let start = again(|| {
            // SAFETY: a new mapping at an address of the system's choice touches no other memory.
            #[expect(unsafe_code, reason = "memory is mapped")]
            let start = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                    self.device.handle().fd(),
                    libc::off_t::from(offset),
                )
            };
            match start {
                libc::MAP_FAILED => Err(io::Error::last_os_error()),
                start => Ok(start),
            }
        })?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(MappedBuffer { start, len })
    }

    /// Hands a buffer to the driver, to be filled.
    fn give(&self, index: u32) -> io::Result<()> {
        let mut plane: v4l2_plane = zeroed();
        let mut buffer = self.buffer(index, &mut plane);
        // SAFETY: the structure of this request; its pointer is to `plane`, which outlives the call.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            call(&self.device, vidioc::VIDIOC_QBUF, &mut buffer)
        }
    }

    /// Starts or stops the capture.
    fn switch(&self, request: vidioc::_IOC_TYPE) -> io::Result<()> {
        let mut buffer_type = self.interface.buffer_type();
        // SAFETY: the number of this request.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            call(&self.device, request, &mut buffer_type)
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // A device that is gone or broken may refuse each of these; closing it ends the capture all the same.
        if self.is_on {
            let _ = self.switch(vidioc::VIDIOC_STREAMOFF);
        }
        self.mappings.clear();
        let _ = self.request(0);
    }
}
