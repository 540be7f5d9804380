//! Headless Chromium, driven over WebDriver. The tests of a process share one, since starting it takes longer than most of what is
//! tested; each begins in a new tab.

use super::scratch::Scratch;
use super::{DEADLINE, eventually};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use tokio::runtime::{self, Runtime};
use tokio::sync::{Mutex, MutexGuard};

/// A browser decodes and draws in software here: several at once would starve each other. Between two tests, this holds the browser
/// that they share.
static ONE_AT_A_TIME: Mutex<Option<(Client, Driver)>> = Mutex::const_new(None);

/// Keeps the connections to browsers. Each test has a runtime of its own, which ends before the shared browser does.
static CONNECTIONS: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("the system has room for a thread")
});

/// Nothing that calls home, nothing that asks; WebRTC as users have it.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-proxy-server",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // A name of this machine that is not `localhost`, as others know it by.
    "--host-resolver-rules=MAP camera.lan 127.0.0.1",
    "--window-size=1280,800",
];

/// A browser with one empty tab, and without anything that it would remember of another test. It is kept for the next test when
/// dropped, unless this one failed.
pub struct Browser {
    client: Client,
    /// `None` only while it is dropped.
    driver: Option<Driver>,
    is_shared: bool,
    turn: MutexGuard<'static, Option<(Client, Driver)>>,
}

impl Browser {
    /// The one that tests share, when no other test has it.
    pub async fn start() -> Self {
        let mut turn = ONE_AT_A_TIME.lock().await;
        let kept = turn.take();
        let is_used = kept.is_some();
        let (client, driver) = match kept {
            Some(kept) => kept,
            None => launch(None).await,
        };
        let browser = Self {
            client,
            driver: Some(driver),
            is_shared: true,
            turn,
        };
        if is_used {
            browser.forget().await;
        }
        browser
    }

    /// One of the test's own; its user trusts that certificate authority, in PEM or DER.
    pub async fn start_trusting(authority: &Path) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let (client, driver) = launch(Some(authority)).await;
        Self {
            client,
            driver: Some(driver),
            is_shared: false,
            turn,
        }
    }

    /// Moves to a new tab, which has none of the old one's sizes, scripts and frames, and clears what tabs share.
    async fn forget(&self) {
        let tab = self.client.new_window(true).await.unwrap();
        self.client.close_window().await.unwrap();
        self.client.switch_to_window(tab.handle).await.unwrap();
        for command in ["Network.clearBrowserCookies", "Network.clearBrowserCache"] {
            self.devtools(command, json!({})).await;
        }
    }

    /// Goes to a page, and so leaves the one before.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Runs the body of an async function in the page and brings back what it returns.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let call = format!("return (async function () {{ {script} }})(...arguments)");
        let result = self.client.execute(&call, arguments.to_vec()).await;
        result.unwrap_or_else(|error| panic!("{error}\nin {script}"))
    }

    /// A command of the Chrome DevTools Protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let session = self.client.session_id().await.unwrap().unwrap();
        let path = format!("/session/{session}/goog/cdp/execute");
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let port = self.driver.as_ref().map_or(0, |driver| driver.port);
        let request = Request::post(format!("http://127.0.0.1:{port}{path}"))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let client = HttpClient::builder(TokioExecutor::new()).build_http();
        let reply = client.request(request).await.unwrap();
        let status = reply.status();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{command}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["value"].clone()
    }

    /// Makes the window that large, and its user prefer these values of media features.
    pub async fn look_like(&self, (width, height): (u32, u32), features: &[(&str, &str)]) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
        let features: Vec<_> = features
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// From the next page on, notes what its scripts fail to catch, in `window.failures`.
    pub async fn note_failures(&self) {
        let source = "
            window.failures = [];
            addEventListener('error', ({ message }) => failures.push(message));
            addEventListener('unhandledrejection', ({ reason }) => failures.push(String(reason?.stack ?? reason)));";
        self.run_in_each_page(source).await;
    }

    /// From the next page on, runs this before the page's own scripts.
    pub async fn run_in_each_page(&self, source: &str) {
        let script = json!({ "source": source });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
    }

    /// From now on, scripts run in the page's first frame.
    pub async fn enter_frame(&self) {
        self.client.enter_frame(0).await.unwrap();
    }

    /// Presses a key, whatever has the focus.
    pub async fn press(&self, key: &str) {
        let body = self.client.find(Locator::Css("body")).await.unwrap();
        body.send_keys(key).await.unwrap();
    }

    /// The text of an element, with all that is in it.
    pub async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.run(script, &[json!(selector)]).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's `data-state` is this one.
    pub async fn until_state(&self, selector: &str, state: &str) {
        let script = "const found = document.querySelector(arguments[0]);
            return [found?.dataset.state, found?.innerText]";
        eventually(&format!("{selector} to be {state}"), async || {
            let found = self.run(script, &[json!(selector)]).await;
            if found[0] == state {
                Ok(())
            } else {
                Err(found.to_string())
            }
        })
        .await;
    }

    /// Clicks at an element.
    pub async fn click(&self, selector: &str) {
        let found = self.client.find(Locator::Css(selector)).await;
        let found = found.unwrap_or_else(|error| panic!("{selector}: {error}"));
        found
            .click()
            .await
            .unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Waits until an element's text contains this.
    pub async fn until_text(&self, selector: &str, part: &str) -> String {
        eventually(&format!("{part:?} in {selector}"), async || {
            let text = self.text(selector).await;
            if text.contains(part) {
                Ok(text)
            } else {
                Err(text)
            }
        })
        .await
    }

    /// Keeps a picture of the window, for people to look at, below the build folder.
    pub async fn screenshot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        let file: PathBuf = folder.join(name).with_extension("png");
        std::fs::write(file, picture).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.is_shared && !thread::panicking() {
            *self.turn = self
                .driver
                .take()
                .map(|driver| (self.client.clone(), driver));
        }
    }
}

async fn launch(authority: Option<&Path>) -> (Client, Driver) {
    let driver = Driver::start(authority);
    let profile = driver.scratch.join("profile");
    let mut flags: Vec<_> = FLAGS.map(str::to_owned).into();
    flags.push(format!("--user-data-dir={}", profile.display()));
    let options = json!({ "goog:chromeOptions": { "args": flags } });
    let capabilities: Capabilities = serde_json::from_value(options).unwrap();
    let url = format!("http://127.0.0.1:{}", driver.port);
    let connect = async move {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities).connect(&url).await
    };
    let client = CONNECTIONS.spawn(connect).await.unwrap().unwrap();
    (client, driver)
}

/// chromedriver and all that it starts, which is a process group.
struct Driver {
    shell: Child,
    port: u16,
    reader: Option<JoinHandle<()>>,
    /// Removed by the shell.
    scratch: PathBuf,
}

impl Driver {
    /// chromedriver would leave Chromium behind if it were killed, so a shell watches over both. The end of its standard
    /// input is the end of the whole group, and of their folder, and that comes with the end of the process of tests, whatever
    /// ends it: values that all its tests share are never dropped. The last processes of the group may still write.
    const SCRIPT: &str = "setsid chromedriver --port=0 & read -r _; kill -KILL -$!; \
        for _ in 1 2 3 4 5; do rm -rf \"$HOME\" && exit; done";

    fn start(authority: Option<&Path>) -> Self {
        let scratch = Scratch::new().keep();
        if let Some(authority) = authority {
            trust(&scratch.join(".pki/nssdb"), authority);
        }
        let mut shell = Command::new("sh")
            .args(["-c", Self::SCRIPT])
            .process_group(0)
            .env("TMPDIR", &scratch)
            .env("HOME", &scratch)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(shell.stdout.take().unwrap());
        let mut driver = Self {
            shell,
            port: 0,
            reader: None,
            scratch,
        };
        let (sender, port) = sync_channel(1);
        driver.reader = Some(thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    let _ = sender.try_send(port.trim_end_matches('.').parse().unwrap());
                }
            }
        }));
        let port = port.recv_timeout(DEADLINE);
        driver.port = port.expect("chromedriver starts: is chromium-driver installed?");
        driver
    }
}

/// What a user does in Chromium's settings.
fn trust(database: &Path, authority: &Path) {
    std::fs::create_dir_all(database).unwrap();
    let database = format!("sql:{}", database.display());
    let authority = authority.to_str().unwrap();
    let new = ["-N", "--empty-password"];
    let add = ["-A", "-n", "fanlight", "-t", "C,,", "-i", authority];
    for arguments in [&new as &[_], &add] {
        let mut certutil = Command::new("certutil");
        let status = certutil.args(["-d", &database]).args(arguments).status();
        let status = status.expect("certutil runs: is libnss3-tools installed?");
        assert!(status.success(), "certutil {arguments:?}: {status}");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
        // Every process of the group holds the output: its end is theirs, and then nobody writes to the scratch folder.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
