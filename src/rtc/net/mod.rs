//! The sockets, the paths to each viewer, and the owner of each datagram.

pub mod demux;
#[cfg(test)]
pub mod faults;
pub mod network;
pub mod paths;
pub mod probes;
pub mod tcp;
pub mod udp;
