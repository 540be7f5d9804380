//! One token that says that the daemon ends: tasks await it, threads check it.

pub use tokio_util::sync::CancellationToken as Shutdown;
