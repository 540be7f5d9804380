//! The command `fanlight`.

fn main() {}
