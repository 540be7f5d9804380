//! Failures of the sockets' system calls, injected by tests at the lowest level. A build that is no test has none of it.

use std::cell::Cell;
use std::io;

/// A system call of the media plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `sendmmsg` on the UDP socket.
    Send,
    /// `recvmmsg` on the UDP socket.
    Receive,
    /// `read` from a TCP connection.
    Read,
    /// `write` to a TCP connection.
    Write,
    /// The options of a TCP connection that is taken over.
    TakeOver,
}

/// What fails.
#[derive(Debug, Clone, Copy)]
struct InjectedFault {
    call: Call,
    /// So many calls succeed before.
    after: u32,
    errno: i32,
}

thread_local! {
    static FAULT: Cell<Option<InjectedFault>> = const { Cell::new(None) };
    static CALLS: Cell<[u32; 5]> = const { Cell::new([0; 5]) };
}

/// From now on, on this thread, the call fails once, after so many that don't. The counts begin anew.
pub fn inject(call: Call, after: u32, errno: i32) {
    FAULT.set(Some(InjectedFault { call, after, errno }));
    CALLS.set([0; 5]);
}

/// How many such calls this thread has made since.
pub fn calls(call: Call) -> u32 {
    CALLS.get()[call as usize]
}

/// Whether the failure is still to come.
pub fn is_pending() -> bool {
    FAULT.get().is_some()
}

/// To be called before a system call: its failure, if it is to fail.
pub fn injected(call: Call) -> io::Result<()> {
    let mut calls = CALLS.get();
    calls[call as usize] += 1;
    CALLS.set(calls);
    match FAULT.get() {
        Some(fault) if fault.call == call && fault.after == 0 => {
            FAULT.set(None);
            Err(io::Error::from_raw_os_error(fault.errno))
        }
        Some(fault) if fault.call == call => {
            let after = fault.after - 1;
            FAULT.set(Some(InjectedFault { after, ..fault }));
            Ok(())
        }
        _ => Ok(()),
    }
}
