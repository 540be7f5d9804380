//! A machine beside the test, which tells it line by line what to do: both halves of that.
//!
//! The machine ends with the connection, so that it tells its log whatever ends the test.

use crate::vm;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The machine's address in the test's network; `vmrun.sh` says so.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

const PORT: u16 = 9;
/// What the machine prints once it can be told something.
const READY: &str = "the machine obeys";
/// The last command.
const END: &str = "end";

/// How long the machine may take to start or to obey. It emulates, on processors that others use as well.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running machine, as the test sees it.
pub struct Machine {
    child: Child,
    reader: Option<JoinHandle<()>>,
    connection: Option<BufReader<TcpStream>>,
}

/// What a machine needs, from where there is a network.
pub fn prepare() {
    assert!(
        Path::new("/dev/net/tun").exists(),
        "no camera was watched from another machine: its network needs /dev/net/tun"
    );
    vm::get_ready();
}

impl Machine {
    /// Starts this test once more in a machine with those kernel modules, and waits until it calls `obey` there.
    pub fn start(test: &str, modules: &[&str]) -> Self {
        let mut command = vm::machine(modules);
        command.args(["-t", "fanlight0"]);
        let mut child = vm::run_test(&mut command, test)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, ready) = sync_channel(1);
        let reader = thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                println!("machine: {line}");
                if line.ends_with(READY) {
                    let _ = sender.try_send(());
                }
            }
        });
        let mut machine = Self {
            child,
            reader: Some(reader),
            connection: None,
        };
        ready.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!(
                "the machine did not start, so no camera was tried; it needs {}",
                vm::NEEDS
            )
        });
        let stream = TcpStream::connect((ADDRESS, PORT)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        machine.connection = Some(BufReader::new(stream));
        machine
    }

    /// Tells the machine to do something, and returns its answer when that is done.
    pub fn tell(&mut self, command: &str) -> String {
        let connection = self.connection.as_mut().unwrap();
        writeln!(connection.get_mut(), "{command}").unwrap();
        let mut answer = String::new();
        let read = connection.read_line(&mut answer);
        assert!(
            read.is_ok_and(|length| length > 0),
            "the machine failed to {command:?}"
        );
        answer
    }

    /// Ends the test in the machine, in which all has to be well.
    pub fn end(mut self) {
        self.tell(END);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the test failed inside the machine");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Without the last command this is how the machine learns that the test has failed.
        drop(self.connection.take());
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Inside the machine: does what the test says, until the end. The answers are lines.
pub fn obey(mut act: impl FnMut(&str) -> String) {
    let listener = TcpListener::bind((ADDRESS, PORT)).unwrap();
    println!("{READY}");
    let (mut stream, _) = listener.accept().unwrap();
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for command in lines.map_while(Result::ok) {
        let is_last = command == END;
        let answer = if is_last {
            String::new()
        } else {
            act(&command)
        };
        writeln!(stream, "{answer}").unwrap();
        if is_last {
            return;
        }
    }
    panic!("the test has failed");
}
