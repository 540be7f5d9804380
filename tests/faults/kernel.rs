//! The system calls by which a camera is captured, in place of the C library's: those for one device node that does not exist are
//! answered by [`super::device`], all others by the system.
//!
//! What a program defines comes before what its libraries define, so neither a preloaded library nor a root user is needed.

#![expect(unsafe_code, reason = "functions of the C library are replaced")]

use super::device;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The device node.
pub const NODE: &str = "/dev/video4242";

/// Descriptors up to this number can be the device's.
const MOST: usize = 4096;

/// Which descriptors are the device's.
static OURS: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];

/// Whether a descriptor is the device's.
fn is_ours(fd: c_int) -> bool {
    let ours = usize::try_from(fd).ok().and_then(|fd| OURS.get(fd));
    ours.is_some_and(|ours| ours.load(Ordering::Relaxed))
}

/// As the C library returns it.
fn answer<T: From<i8>>(outcome: Result<T, i32>) -> T {
    outcome.unwrap_or_else(|errno| {
        // SAFETY: the calling thread's own variable.
        unsafe { *libc::__errno_location() = errno };
        T::from(-1)
    })
}

/// The C library's own `syscall`.
unsafe fn system(number: c_long, arguments: [c_long; 6]) -> c_long {
    type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;
    static FOUND: AtomicUsize = AtomicUsize::new(0);
    let mut found = FOUND.load(Ordering::Relaxed);
    if found == 0 {
        // SAFETY: the name ends with zero.
        found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"syscall".as_ptr()) } as usize;
        FOUND.store(found, Ordering::Relaxed);
    }
    // SAFETY: the function of that name has this type; the arguments are the caller's.
    unsafe {
        let syscall: Syscall = std::mem::transmute(found);
        let [a, b, c, d, e, f] = arguments;
        syscall(number, a, b, c, d, e, f)
    }
}

fn is_node(path: *const c_char) -> bool {
    // SAFETY: the caller's path ends with zero, as the system needs it too.
    !path.is_null() && unsafe { CStr::from_ptr(path) }.to_bytes() == NODE.as_bytes()
}

unsafe fn opened(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    if !is_node(path) {
        let arguments = [
            libc::AT_FDCWD.into(),
            path as c_long,
            flags.into(),
            mode.into(),
            0,
            0,
        ];
        // SAFETY: the caller's own call.
        return unsafe { system(libc::SYS_openat, arguments) } as c_int;
    }
    answer(device::lock().open().map(|()| {
        // Any descriptor will do: its number is then nobody else's.
        // SAFETY: it touches no memory.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        OURS[fd as usize].store(true, Ordering::Relaxed);
        fd
    }))
}

/// Replaces the C library's. Its third argument is there for new files only.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: the caller's own call.
    unsafe { opened(path, flags, mode) }
}

/// Replaces the C library's.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: the caller's own call.
    unsafe { opened(path, flags, mode) }
}

/// Replaces the C library's.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    let is_ours = is_ours(fd);
    if is_ours {
        OURS[fd as usize].store(false, Ordering::Relaxed);
    }
    // SAFETY: the caller's own call.
    let closed = unsafe { system(libc::SYS_close, [fd.into(), 0, 0, 0, 0, 0]) } as c_int;
    match is_ours {
        // It is closed whatever is answered, as by the system.
        true => answer(device::lock().close(fd).map(|()| 0)),
        false => closed,
    }
}

/// Replaces the C library's, which has as many arguments as the call takes: what is more is not looked at.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_ioctl && is_ours(a as c_int) {
        // SAFETY: the caller's argument is what the request takes.
        let done = unsafe { device::lock().ioctl(a as c_int, b as u32, c as *mut c_void) };
        return answer(done.map(|()| 0));
    }
    // SAFETY: the caller's own call.
    unsafe { system(number, [a, b, c, d, e, f]) }
}

/// Replaces the C library's.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's structures.
    if count == 1 && is_ours(unsafe { (*fds).fd }) {
        let polled = device::poll(timeout);
        if polled == Ok(true) {
            // SAFETY: as above.
            unsafe { (*fds).revents = libc::POLLIN };
        }
        return answer(polled.map(i32::from));
    }
    let limit = libc::timespec {
        tv_sec: (timeout / 1000).into(),
        tv_nsec: (timeout % 1000 * 1_000_000).into(),
    };
    let limit = if timeout < 0 {
        std::ptr::null()
    } else {
        &raw const limit
    };
    // SAFETY: the caller's own call.
    unsafe { libc::ppoll(fds, count, limit, std::ptr::null()) }
}

/// Replaces the C library's.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    len: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    if is_ours(fd) {
        return answer(device::lock().map(len, offset).map(|at| at as isize)) as *mut c_void;
    }
    let arguments = [
        address as c_long,
        len as c_long,
        protection.into(),
        flags.into(),
        fd.into(),
        offset,
    ];
    // SAFETY: the caller's own call.
    unsafe { system(libc::SYS_mmap, arguments) as *mut c_void }
}

/// Replaces the C library's.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn munmap(address: *mut c_void, len: usize) -> c_int {
    if device::may_have_mapped(address as usize) {
        device::lock().unmap(address as usize, len);
        return 0;
    }
    // SAFETY: the caller's own call.
    unsafe {
        system(
            libc::SYS_munmap,
            [address as c_long, len as c_long, 0, 0, 0, 0],
        ) as c_int
    }
}

/// Replaces the C library's. Rust's standard library passes no buffer.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realpath(path: *const c_char, _: *mut c_char) -> *mut c_char {
    unsafe extern "C" {
        fn canonicalize_file_name(path: *const c_char) -> *mut c_char;
    }
    // SAFETY: the caller's path ends with zero.
    unsafe {
        match is_node(path) {
            true => libc::strdup(path),
            false => canonicalize_file_name(path),
        }
    }
}

/// Replaces the C library's.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mask: u32,
    buffer: *mut libc::statx,
) -> c_int {
    if is_node(path) {
        // SAFETY: the caller's structure, of numbers.
        unsafe {
            *buffer = std::mem::zeroed();
            (*buffer).stx_mode = (libc::S_IFCHR | 0o660) as u16;
        }
        return 0;
    }
    let arguments = [
        folder.into(),
        path as c_long,
        flags.into(),
        mask.into(),
        buffer as c_long,
        0,
    ];
    // SAFETY: the caller's own call.
    unsafe { system(libc::SYS_statx, arguments) as c_int }
}
