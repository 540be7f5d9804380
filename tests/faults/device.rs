//! A camera in memory, which answers V4L2's calls as a driver does, and fails the n-th of a kind if it is told to.

#![expect(unsafe_code, reason = "the structures are the kernel's")]

use super::model::{Call, Fault, Model, SINGLE_PLANAR};
use fanlight::media::{PixelFormat, Size};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use v4l::v4l_sys::*;
use v4l::v4l2::vidioc::*;

pub struct Device {
    model: Model,
    fault: Option<Fault>,
    is_broken: bool,
    /// How often each call was made.
    counts: BTreeMap<Call, usize>,
    /// Open descriptors.
    pub descriptors: usize,
    /// The descriptor that the buffers belong to.
    owner: Option<i32>,
    code: [u8; 4],
    buffers: u32,
    /// Those that may be filled.
    queued: VecDeque<u32>,
    pub is_streaming: bool,
    /// A frame waits.
    is_filled: bool,
    sequence: u32,
    /// Start and length of each buffer that is mapped, by its number.
    pub mappings: BTreeMap<u32, (usize, usize)>,
}

static DEVICE: Mutex<Option<Device>> = Mutex::new(None);

/// Buffers are mapped between these addresses, if any are.
static LOWEST: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

pub struct Locked(MutexGuard<'static, Option<Device>>);

impl std::ops::Deref for Locked {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.0.as_ref().expect("it is made before it is used")
    }
}

impl std::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut Device {
        self.0.as_mut().expect("it is made before it is used")
    }
}

/// The device.
pub fn lock() -> Locked {
    let mut device = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    device.get_or_insert_with(|| Device::new(Model::default()));
    Locked(device)
}

/// Replaces the device, which nobody has open, by one of that model.
pub fn plug_in(model: Model) {
    let mut device = lock();
    assert_eq!((device.descriptors, device.mappings.len()), (0, 0));
    *device = Device::new(model);
}

/// Whether memory may be a buffer.
pub fn may_have_mapped(address: usize) -> bool {
    (LOWEST.load(Ordering::Relaxed)..HIGHEST.load(Ordering::Relaxed)).contains(&address)
        && lock().mappings.values().any(|(start, _)| *start == address)
}

/// Waits for a frame; a limit is not waited for, it is skipped.
pub fn poll(timeout: i32) -> Result<bool, i32> {
    let pace = {
        let mut device = lock();
        device.enters(Call::Poll)?;
        if timeout == 0 || device.is_filled {
            return Ok(device.is_filled);
        }
        device.model.pace
    };
    std::thread::sleep(pace);
    let mut device = lock();
    device.is_filled = device.is_streaming && !device.queued.is_empty();
    if !device.is_filled && device.model.pace > Duration::ZERO {
        drop(device);
        // Whoever asks again and again leaves others the processor.
        std::thread::sleep(Duration::from_millis(1));
        return Ok(false);
    }
    Ok(device.is_filled)
}

impl Device {
    const fn new(model: Model) -> Self {
        Self {
            model,
            fault: None,
            is_broken: false,
            counts: BTreeMap::new(),
            descriptors: 0,
            owner: None,
            code: *b"    ",
            buffers: 0,
            queued: VecDeque::new(),
            is_streaming: false,
            is_filled: false,
            sequence: 0,
            mappings: BTreeMap::new(),
        }
    }

    /// Has calls fail from now on, and counts them anew.
    pub fn fail(&mut self, fault: Option<Fault>) {
        self.fault = fault;
        self.is_broken = false;
        self.counts.clear();
    }

    /// How often each call was made.
    pub fn counts(&self) -> BTreeMap<Call, usize> {
        self.counts.clone()
    }

    fn enters(&mut self, call: Call) -> Result<(), i32> {
        let count = self.counts.entry(call).or_default();
        *count += 1;
        let Some(fault) = self.fault else {
            return Ok(());
        };
        let is_it = (fault.call, fault.nth) == (call, *count);
        self.is_broken |= is_it && fault.lasts;
        // The system closes a descriptor whatever the driver says.
        let is_broken = self.is_broken && call != Call::Close;
        if is_it || is_broken {
            return Err(fault.errno);
        }
        Ok(())
    }

    /// Forgets what a program never gave back.
    pub fn take_back(&mut self) {
        self.release();
        self.mappings.clear();
        self.descriptors = 0;
    }

    pub fn open(&mut self) -> Result<(), i32> {
        self.enters(Call::Open)?;
        self.descriptors += 1;
        Ok(())
    }

    pub fn close(&mut self, fd: i32) -> Result<(), i32> {
        self.descriptors -= 1;
        if self.owner == Some(fd) {
            self.release();
        }
        self.enters(Call::Close)
    }

    fn release(&mut self) {
        (self.owner, self.buffers) = (None, 0);
        (self.is_streaming, self.is_filled) = (false, false);
        self.queued.clear();
    }

    fn stride(&self) -> u32 {
        let format = PixelFormat::of_code(self.code).unwrap();
        format.stride(self.model.size.width, 0) as u32
    }

    fn frame_len(&self) -> usize {
        let format = PixelFormat::of_code(self.code).unwrap();
        let len = format.frame_len(self.model.size, 0);
        len.unwrap_or(self.model.jpeg.len()) + self.model.offset as usize
    }

    fn buffer_len(&self) -> usize {
        (self.frame_len() + 1).next_multiple_of(4096)
    }

    pub fn map(&mut self, len: usize, offset: libc::off_t) -> Result<usize, i32> {
        self.enters(Call::Map)?;
        let index = (offset >> 20) as u32;
        if index >= self.buffers || len != self.buffer_len() || self.mappings.contains_key(&index) {
            return Err(libc::EINVAL);
        }
        let memory = vec![0_u8; len].into_boxed_slice();
        let start = Box::into_raw(memory).cast::<u8>() as usize;
        LOWEST.fetch_min(start, Ordering::Relaxed);
        HIGHEST.fetch_max(start + len, Ordering::Relaxed);
        self.mappings.insert(index, (start, len));
        Ok(start)
    }

    pub fn unmap(&mut self, address: usize, len: usize) {
        let mapped = self
            .mappings
            .iter()
            .find(|(_, mapping)| **mapping == (address, len));
        let index = *mapped.expect("it is unmapped as it was mapped").0;
        self.mappings.remove(&index);
        // SAFETY: made of a box of that length, and no longer known.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(address as *mut u8, len)) });
    }

    /// # Safety
    /// `argument` is what the request takes.
    pub unsafe fn ioctl(
        &mut self,
        fd: i32,
        request: u32,
        argument: *mut c_void,
    ) -> Result<(), i32> {
        const fn number(request: _IOC_TYPE) -> u32 {
            request as u32
        }
        // SAFETY: as the caller promises, for each of them.
        unsafe {
            match request {
                r if r == number(VIDIOC_QUERYCAP) => self.query(&mut *argument.cast()),
                r if r == number(VIDIOC_ENUM_FMT) => self.list_formats(&mut *argument.cast()),
                r if r == number(VIDIOC_ENUM_FRAMESIZES) => self.list_sizes(&mut *argument.cast()),
                r if r == number(VIDIOC_ENUM_FRAMEINTERVALS) => {
                    self.list_intervals(&mut *argument.cast())
                }
                r if r == number(VIDIOC_G_FMT) => {
                    self.enters(Call::GetFormat)?;
                    self.tell_format(&mut *argument.cast())
                }
                r if r == number(VIDIOC_S_FMT) => self.set_format(&mut *argument.cast()),
                r if r == number(VIDIOC_G_PARM) => {
                    self.enters(Call::GetRate)?;
                    self.tell_rate(&mut *argument.cast())
                }
                r if r == number(VIDIOC_S_PARM) => {
                    self.enters(Call::SetRate)?;
                    self.tell_rate(&mut *argument.cast())
                }
                r if r == number(VIDIOC_REQBUFS) => self.request(fd, &mut *argument.cast()),
                r if r == number(VIDIOC_QUERYBUF) => self.query_buffer(&mut *argument.cast()),
                r if r == number(VIDIOC_QBUF) => self.queue(&*argument.cast()),
                r if r == number(VIDIOC_DQBUF) => self.dequeue(&mut *argument.cast()),
                r if r == number(VIDIOC_STREAMON) => {
                    self.enters(Call::Start)?;
                    self.is_streaming = true;
                    Ok(())
                }
                r if r == number(VIDIOC_STREAMOFF) => {
                    self.enters(Call::Stop)?;
                    (self.is_streaming, self.is_filled) = (false, false);
                    self.queued.clear();
                    Ok(())
                }
                _ => {
                    self.enters(Call::Control)?;
                    Err(libc::EINVAL)
                }
            }
        }
    }

    const fn is_multi_planar(&self) -> bool {
        self.model.capabilities & SINGLE_PLANAR & 1 == 0
    }

    /// Whether it is the device's own interface.
    fn knows(&self, buffer_type: u32) -> Result<(), i32> {
        let own = if self.is_multi_planar() { 9 } else { 1 };
        if buffer_type == own {
            Ok(())
        } else {
            Err(libc::EINVAL)
        }
    }

    fn query(&mut self, answer: &mut v4l2_capability) -> Result<(), i32> {
        self.enters(Call::QueryCapabilities)?;
        for (field, text) in [
            (&mut answer.driver[..], "memory"),
            (&mut answer.card[..], "Camera"),
            (&mut answer.bus_info[..], "platform:memory"),
        ] {
            field.fill(0);
            field[..text.len()].copy_from_slice(text.as_bytes());
        }
        answer.device_caps = self.model.capabilities;
        answer.capabilities = self.model.capabilities | 0x8000_0000;
        Ok(())
    }

    fn list_formats(&mut self, asked: &mut v4l2_fmtdesc) -> Result<(), i32> {
        self.enters(Call::ListFormats)?;
        self.knows(asked.type_)?;
        let code = self.model.codes.get(asked.index as usize);
        asked.pixelformat = u32::from_le_bytes(*code.ok_or(libc::EINVAL)?);
        Ok(())
    }

    fn list_sizes(&mut self, asked: &mut v4l2_frmsizeenum) -> Result<(), i32> {
        self.enters(Call::ListSizes)?;
        if asked.index > 0 {
            return Err(libc::EINVAL);
        }
        asked.type_ = 1;
        let Size { width, height } = self.model.size;
        asked.__bindgen_anon_1.discrete = v4l2_frmsize_discrete { width, height };
        Ok(())
    }

    fn list_intervals(&mut self, asked: &mut v4l2_frmivalenum) -> Result<(), i32> {
        self.enters(Call::ListIntervals)?;
        let rates = [30, 15];
        let denominator = *rates.get(asked.index as usize).ok_or(libc::EINVAL)?;
        asked.type_ = 1;
        asked.__bindgen_anon_1.discrete = v4l2_fract {
            numerator: 1,
            denominator,
        };
        Ok(())
    }

    fn set_format(&mut self, format: &mut v4l2_format) -> Result<(), i32> {
        self.enters(Call::SetFormat)?;
        self.knows(format.type_)?;
        // SAFETY: the part that the interface means.
        let code = unsafe {
            match self.is_multi_planar() {
                true => format.fmt.pix_mp.pixelformat,
                false => format.fmt.pix.pixelformat,
            }
        };
        let code = code.to_le_bytes();
        self.code = match self.model.codes.contains(&code) {
            true => code,
            false => self.model.codes[0],
        };
        self.tell_format(format)
    }

    fn tell_format(&self, format: &mut v4l2_format) -> Result<(), i32> {
        self.knows(format.type_)?;
        let Size { width, height } = self.model.size;
        let pixelformat = u32::from_le_bytes(self.code);
        // SAFETY: structures of numbers.
        unsafe {
            if self.is_multi_planar() {
                let mut told: v4l2_pix_format_mplane = std::mem::zeroed();
                (told.width, told.height) = (width, height);
                (told.pixelformat, told.num_planes) = (pixelformat, self.model.pieces);
                let mut plane: v4l2_plane_pix_format = std::mem::zeroed();
                plane.bytesperline = self.stride();
                plane.sizeimage = self.buffer_len() as u32;
                told.plane_fmt[0] = plane;
                (told.field, told.colorspace) = (1, 8);
                format.fmt.pix_mp = told;
            } else {
                let mut told: v4l2_pix_format = std::mem::zeroed();
                (told.width, told.height, told.pixelformat) = (width, height, pixelformat);
                (told.bytesperline, told.sizeimage) = (self.stride(), self.buffer_len() as u32);
                (told.field, told.colorspace) = (1, 8);
                format.fmt.pix = told;
            }
        }
        Ok(())
    }

    /// It grants every rate.
    fn tell_rate(&self, parameters: &mut v4l2_streamparm) -> Result<(), i32> {
        self.knows(parameters.type_)?;
        // SAFETY: the part that captures.
        let capture = unsafe { &mut parameters.parm.capture };
        if capture.timeperframe.denominator == 0 {
            capture.timeperframe = v4l2_fract {
                numerator: 1,
                denominator: 30,
            };
        }
        Ok(())
    }

    fn request(&mut self, fd: i32, request: &mut v4l2_requestbuffers) -> Result<(), i32> {
        self.enters(Call::RequestBuffers)?;
        self.knows(request.type_)?;
        if self.owner.is_some_and(|owner| owner != fd) || !self.mappings.is_empty() {
            return Err(libc::EBUSY);
        }
        request.count = request.count.min(4);
        self.release();
        self.buffers = request.count;
        self.owner = (request.count > 0).then_some(fd);
        Ok(())
    }

    fn query_buffer(&mut self, buffer: &mut v4l2_buffer) -> Result<(), i32> {
        self.enters(Call::QueryBuffer)?;
        let (len, offset) = (self.buffer_len() as u32, buffer.index << 20);
        if let Some(plane) = self.plane(buffer)? {
            plane.length = len;
            plane.m.mem_offset = offset;
        } else {
            buffer.length = len;
            buffer.m.offset = offset;
        }
        Ok(())
    }

    /// The plane of a buffer, if the interface has it.
    fn plane<'a>(&self, buffer: &v4l2_buffer) -> Result<Option<&'a mut v4l2_plane>, i32> {
        self.knows(buffer.type_)?;
        if buffer.index >= self.buffers {
            return Err(libc::EINVAL);
        }
        if !self.is_multi_planar() {
            return Ok(None);
        }
        // SAFETY: the caller's own plane, of which it tells how many there are.
        match unsafe { (buffer.length, buffer.m.planes.as_mut()) } {
            (1, Some(plane)) => Ok(Some(plane)),
            _ => Err(libc::EINVAL),
        }
    }

    fn queue(&mut self, buffer: &v4l2_buffer) -> Result<(), i32> {
        self.enters(Call::Queue)?;
        self.plane(buffer)?;
        if self.queued.contains(&buffer.index) {
            return Err(libc::EINVAL);
        }
        self.queued.push_back(buffer.index);
        Ok(())
    }

    fn dequeue(&mut self, buffer: &mut v4l2_buffer) -> Result<(), i32> {
        self.enters(Call::Dequeue)?;
        let plane = self.plane(buffer)?;
        let lies = (self.model.lies_after).is_some_and(|after| self.sequence >= after);
        if lies || !std::mem::take(&mut self.is_filled) {
            return Err(libc::EAGAIN);
        }
        let index = self.queued.pop_front().ok_or(libc::EAGAIN)?;
        let (start, len) = self.mappings[&index];
        // SAFETY: a buffer that the program gave back.
        let memory = unsafe { slice::from_raw_parts_mut(start as *mut u8, len) };
        let (offset, end) = (self.model.offset as usize, self.frame_len());
        memory.fill(0xee);
        match PixelFormat::of_code(self.code) {
            Some(PixelFormat::Mjpeg) => memory[offset..end].copy_from_slice(&self.model.jpeg),
            _ => memory[offset..end].fill(0x80),
        }
        buffer.index = index;
        buffer.sequence = self.sequence;
        buffer.flags = 0;
        self.sequence += 1;
        match plane {
            Some(plane) => (plane.bytesused, plane.data_offset) = (end as u32, offset as u32),
            None => buffer.bytesused = end as u32,
        }
        Ok(())
    }
}
