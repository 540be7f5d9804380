//! The meaning of the kernel's error numbers for a camera, also when a library hides them in a text.

use super::OWN_BACKEND;
use super::device::ANOTHER;
use super::holders::{SANDBOX, holder, who_may};
use crate::capture::{CaptureError, ErrorKind};
use std::any::Any;
use std::fmt::Display;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

/// The kind of failure that an error number stands for while a camera is opened and set up.
pub(super) const fn kind_of(errno: i32) -> ErrorKind {
    match errno {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => ErrorKind::NotFound,
        libc::EBUSY => ErrorKind::Busy,
        libc::EACCES | libc::EPERM => ErrorKind::NoPermission,
        libc::ENOSPC => ErrorKind::NoUsbBandwidth,
        libc::EINVAL | libc::ENOTTY => ErrorKind::Unsupported,
        libc::ENOMEM | libc::EMFILE | libc::ENFILE => ErrorKind::NoResources,
        _ => ErrorKind::Lost,
    }
}

/// The step of the work with a device that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Opening,
    Identifying,
    AskingFormats,
    AskingControls,
    SettingFormat,
    Starting,
}

impl Step {
    /// As the beginning of a sentence.
    const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Identifying => "asking what it is",
            Self::AskingFormats => "asking for its formats",
            Self::AskingControls => "asking for its controls",
            Self::SettingFormat => "setting the format",
            Self::Starting => "starting the capture",
        }
    }
}

/// A failed system call.
pub(super) fn from_io(path: &Path, step: Step, error: &io::Error) -> CaptureError {
    describe(path, step, error.raw_os_error(), error)
}

/// A failure that the camera library reports as a text, with the error number inside as the standard library writes it.
pub(super) fn from_text(path: &Path, step: Step, error: &impl Display) -> CaptureError {
    let text = error.to_string();
    match errno_in(&text) {
        None => describe(path, step, None, &text).curing(OWN_BACKEND),
        errno => describe(path, step, errno, &text),
    }
}

fn describe(
    node: &Path,
    step: Step,
    errno: Option<i32>,
    error: &(impl Display + ?Sized),
) -> CaptureError {
    let kind = errno.map_or(ErrorKind::Unsupported, kind_of);
    let failed = || (format!(": {} failed: {error}", step.name()), None);
    let (what, cure) = match (kind, step) {
        (ErrorKind::NotFound, _) => (": no such device".to_owned(), None),
        (ErrorKind::Busy, _) => {
            let (holder, cure) = holder(node);
            (format!(": {holder}"), cure)
        }
        (ErrorKind::NoPermission, Step::Opening) => {
            let (why, cure) = who_may(node);
            (format!(": permission denied{why}"), cure)
        }
        // A user that may open it may do all else, unless a sandbox filters calls.
        (ErrorKind::NoPermission, _) => (failed().0, Some(SANDBOX)),
        (ErrorKind::NoUsbBandwidth, _) => (": not enough USB bandwidth".to_owned(), None),
        (ErrorKind::Unsupported, Step::Opening | Step::Identifying) => (failed().0, Some(ANOTHER)),
        (ErrorKind::NoResources, _) if matches!(errno, Some(libc::EMFILE | libc::ENFILE)) => {
            let cure = "raise the limit on open files (LimitNOFILE, ulimit -n)";
            (failed().0, Some(cure))
        }
        _ => failed(),
    };
    let error = CaptureError::new(kind, format!("{}{what}", node.display()));
    match cure {
        Some(cure) => error.curing(cure),
        None => error,
    }
}

/// The number in the last "(os error N)" of a text.
fn errno_in(text: &str) -> Option<i32> {
    let (_, rest) = text.rsplit_once("(os error ")?;
    rest.split_once(')')?.0.parse().ok()
}

/// Runs code of a library that panics on what a device may well do: a name that isn't UTF-8, a field order that is new, a
/// step of zero, an unplugged device that refuses to stop.
pub(super) fn catch_panic<T>(path: &Path, run: impl FnOnce() -> T) -> Result<T, CaptureError> {
    // Nothing that `run` borrows is used again after a panic: whoever calls this gives up the device.
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let what = message(payload.as_ref());
        let path = path.display();
        CaptureError::new(
            ErrorKind::Unsupported,
            format!("{path}: the driver's answer makes no sense: {what}"),
        )
        .curing("report it, with the camera's model")
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_numbers_are_found_in_texts() {
        let text = "Could not capture frame: No space left on device (os error 28)";
        assert_eq!(errno_in(text), Some(libc::ENOSPC));
        let twice = "first (os error 5), then (os error 19)";
        assert_eq!(errno_in(twice), Some(libc::ENODEV));
        for none in [
            "",
            "(os error )",
            "(os error 5",
            "Not same/Rejected",
            "(os error x)",
        ] {
            assert_eq!(errno_in(none), None);
        }
    }

    #[test]
    fn each_failure_has_its_kind_and_sentence() {
        let path = Path::new("/dev/video4000");
        let error = |errno| from_io(path, Step::Opening, &io::Error::from_raw_os_error(errno));
        for (errno, kind, detail) in [
            (
                libc::ENOENT,
                ErrorKind::NotFound,
                "/dev/video4000: no such device",
            ),
            (
                libc::EBUSY,
                ErrorKind::Busy,
                "/dev/video4000: another program is using it",
            ),
            (
                libc::EACCES,
                ErrorKind::NoPermission,
                "/dev/video4000: permission denied",
            ),
            (
                libc::ENOSPC,
                ErrorKind::NoUsbBandwidth,
                "/dev/video4000: not enough USB bandwidth",
            ),
            (
                libc::EIO,
                ErrorKind::Lost,
                "/dev/video4000: opening failed: Input/output error",
            ),
        ] {
            let error = error(errno);
            assert_eq!(error.kind, kind);
            assert!(error.detail.starts_with(detail), "{error}");
        }
        let of = |step, errno| from_io(path, step, &io::Error::from_raw_os_error(errno));
        for (step, errno, cure) in [
            (Step::Opening, libc::ENOTTY, ANOTHER),
            (
                Step::SettingFormat,
                libc::EINVAL,
                ErrorKind::Unsupported.cure(),
            ),
            (Step::SettingFormat, libc::EPERM, SANDBOX),
            (Step::Starting, libc::ENOMEM, ErrorKind::NoResources.cure()),
            (
                Step::Opening,
                libc::EMFILE,
                "raise the limit on open files (LimitNOFILE, ulimit -n)",
            ),
            (Step::Starting, libc::EPROTO, ErrorKind::Lost.cure()),
        ] {
            assert_eq!(of(step, errno).cure(), cure, "{step:?} {errno}");
        }
        let hidden = "Could not open device stream: Device or resource busy (os error 16)";
        assert_eq!(
            from_text(path, Step::Starting, &hidden).kind,
            ErrorKind::Busy,
            "{hidden}"
        );
        assert_eq!(
            from_text(path, Step::Starting, &"Rejected").kind,
            ErrorKind::Unsupported
        );
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let path = Path::new("/dev/video0");
        let error = catch_panic(path, || panic!("step {}", 0)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.detail.ends_with("step 0"));
        assert_eq!(catch_panic(path, || 7), Ok(7));
    }
}
