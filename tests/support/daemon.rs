//! The daemon as users run it: a process of its own, ended with the test.

use super::scratch::Scratch;
use super::{DEADLINE, http};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A daemon, on a loopback port that was free unless the test says otherwise. Killed when dropped; its log is then shown if the test failed.
pub struct Daemon {
    arguments: Vec<String>,
    address: SocketAddr,
    process: Process,
    /// Holds the state directory, and the configuration file if there is one.
    scratch: Scratch,
}

impl Daemon {
    /// Starts it with these arguments besides `--listen`, and waits until it can be opened.
    pub fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        Self::spawn(arguments.collect(), "127.0.0.1:0", Scratch::new())
    }

    /// Starts it with the test pattern, and with everything in its log that it can say.
    pub fn that_logs_all() -> Self {
        let arguments = vec!["--test-pattern".to_owned()];
        Self::spawn_with(arguments, "127.0.0.1:0", Scratch::new(), Some("trace"))
    }

    /// Starts it with a configuration file of that content.
    pub fn configured(toml: &str) -> Self {
        Self::configured_at("127.0.0.1:0", toml)
    }

    /// The same, with what that filter lets into its log.
    pub fn configured_that_logs(filter: &str, toml: &str) -> Self {
        let scratch = Scratch::new();
        let file = scratch.write("fanlight.toml", toml);
        let arguments = vec!["--config".to_owned(), file.display().to_string()];
        Self::spawn_with(arguments, "127.0.0.1:0", scratch, Some(filter))
    }

    /// The same, with media at another address than HTTP.
    pub fn configured_with_media_at(rtc_listen: &str, toml: &str) -> Self {
        let scratch = Scratch::new();
        let file = scratch.write("fanlight.toml", toml);
        let file = file.display().to_string();
        let arguments = ["--config", &file, "--rtc-listen", rtc_listen].map(str::to_owned);
        Self::spawn(arguments.into(), "127.0.0.1:0", scratch)
    }

    /// The same at an address of the test's choice, for `--listen`.
    pub fn configured_at(listen: &str, toml: &str) -> Self {
        let scratch = Scratch::new();
        let file = scratch.write("fanlight.toml", toml);
        let arguments = vec!["--config".to_owned(), file.display().to_string()];
        Self::spawn(arguments, listen, scratch)
    }

    fn spawn(arguments: Vec<String>, listen: &str, scratch: Scratch) -> Self {
        Self::spawn_with(arguments, listen, scratch, None)
    }

    fn spawn_with(
        arguments: Vec<String>,
        listen: &str,
        scratch: Scratch,
        filter: Option<&str>,
    ) -> Self {
        let process = Process::spawn(&arguments, listen, &scratch, filter);
        let address = process.address();
        Self {
            arguments,
            address,
            process,
            scratch,
        }
    }

    /// Where it serves HTTP, and media over UDP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of it, with its token if it has one and the path has none; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        let url = self.bare_url(path);
        if path.contains("token=") || !self.state_dir().join("token").exists() {
            return url;
        }
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{url}{mark}token={}", self.token())
    }

    /// A URL of it as it stands.
    pub fn bare_url(&self, path: &str) -> String {
        let is_secure = self.log().contains("open https://");
        let scheme = if is_secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// What `/api/streams` says of a stream.
    pub fn stream(&self, name: &str) -> serde_json::Value {
        http::get(self.address, &format!("/api/streams/{name}")).json()
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        state_dir(&self.scratch)
    }

    /// The token that opens it.
    pub fn token(&self) -> String {
        let file = std::fs::read_to_string(self.state_dir().join("token"));
        file.unwrap().trim().to_owned()
    }

    /// A URL of it by a name that is not `localhost`, as from another machine. Only a browser of the tests knows it.
    pub fn lan_url(&self, path: &str) -> String {
        let own = self.address.to_string();
        let port = self.address.port();
        self.bare_url(path)
            .replace(&own, &format!("camera.lan:{port}"))
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log.lock().unwrap().clone()
    }

    /// Everything that it ever logged. It must have ended.
    pub fn whole_log(&mut self) -> String {
        for reader in self.process.readers.drain(..) {
            reader.join().unwrap();
        }
        self.log()
    }

    /// Kills it without warning, as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }

    /// Starts it again after its end, at the address that it had.
    pub fn start_again(&mut self) {
        let listen = self.address.to_string();
        self.process = Process::spawn(&self.arguments, &listen, &self.scratch, None);
        assert_eq!(self.process.address(), self.address);
    }
}

fn state_dir(scratch: &Scratch) -> PathBuf {
    scratch.path().join("state")
}

struct Process {
    child: Child,
    /// The URLs on its standard output; disconnected when it has ended.
    urls: Receiver<String>,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    state_dir: PathBuf,
}

impl Process {
    fn spawn(arguments: &[String], listen: &str, scratch: &Scratch, filter: Option<&str>) -> Self {
        let mut child = Command::new(Path::new(env!("CARGO_BIN_EXE_fanlight")))
            .envs(filter.map(|filter| ("RUST_LOG", filter)))
            .args(arguments)
            .args(["--listen", listen])
            .env("STATE_DIRECTORY", state_dir(scratch))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        // It prints one URL for each address that it can be opened at; more than these are not waited for.
        let (urls, receiver) = sync_channel(16);
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let readers = vec![
            read_lines(stdout, log.clone(), move |line| {
                if let Some(url) = line.strip_prefix("fanlight: open ") {
                    let _ = urls.try_send(url.to_owned());
                }
            }),
            read_lines(stderr, log.clone(), |_| ()),
        ];
        Self {
            child,
            urls: receiver,
            log,
            readers,
            state_dir: state_dir(scratch),
        }
    }

    /// The first that is a number: `localhost` may be another machine's, seen from where this is used.
    fn address(&self) -> SocketAddr {
        loop {
            let url = self.urls.recv_timeout(DEADLINE);
            let url = url.expect("the daemon prints its URL");
            let (scheme, address) = url.split_once("://").unwrap();
            let address = address.trim_end_matches('/');
            if let Ok(address) = address.parse() {
                // Nobody sends a token in the clear to one that speaks HTTPS.
                if scheme == "http" {
                    http::note(address, &self.state_dir);
                }
                return address;
            }
        }
    }

    /// By its number, and by the shell: the standard library can only kill.
    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{kill}: {status}");
    }

    fn kill(&mut self) {
        // It fails for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self) -> ExitStatus {
        loop {
            match self.urls.recv_timeout(DEADLINE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the daemon does not end"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log.lock().unwrap());
        }
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    mut each: impl FnMut(&str) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
            drop(log);
            each(&line);
        }
    })
}
