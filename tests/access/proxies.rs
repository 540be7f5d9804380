//! Behind Debian's own reverse proxies and forwarded ports, in a network of the test's own: an attacker on another machine sends
//! any headers and gets nothing, and the holder of the token gets in through each of them.

use super::*;
use crate::support::DEADLINE;
use crate::support::namespace::{self, Host, ip};
use crate::support::scratch::Scratch;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The machine of the daemon and the proxies, as the attacker's sees it.
const BOX: &str = "10.97.0.1";

/// A proxy's program, ended when dropped.
struct Program(Child);

impl Program {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{program} can't be started: {error}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Programs, and what they serve: a name and a port.
struct Proxies {
    _programs: Vec<Program>,
    _scratch: Scratch,
    entries: Vec<(&'static str, u16)>,
}

impl Proxies {
    /// All that stand before one daemon.
    fn before(daemon: SocketAddr) -> Self {
        let scratch = Scratch::new();
        let proxies = Self {
            _programs: vec![
                nginx(&scratch, &before_one(daemon)),
                apache(&scratch, daemon),
                haproxy(&scratch, daemon),
                Program::start(
                    "socat",
                    &[
                        &format!("TCP-LISTEN:8030,bind={BOX},fork,reuseaddr"),
                        &format!("TCP:{daemon}"),
                    ],
                ),
            ],
            _scratch: scratch,
            entries: vec![
                ("nginx, bare, HTTP/1.0", 8001),
                ("nginx, bare, HTTP/1.1", 8002),
                ("nginx, X-Forwarded-For", 8003),
                ("nginx, WebSockets", 8004),
                ("Apache, bare", 8010),
                ("HAProxy, bare", 8020),
                ("HAProxy, forwardfor", 8021),
                ("HAProxy, a port", 8022),
                ("socat, a port", 8030),
            ],
        };
        for (_, port) in &proxies.entries {
            wait_for(SocketAddr::new(BOX.parse().unwrap(), *port));
        }
        proxies
    }
}

/// What the manuals and guides of nginx say, one server each. From 1.29.7 on the second is what the first says.
fn before_one(daemon: SocketAddr) -> String {
    let http11 = "proxy_http_version 1.1; proxy_set_header Connection \"\";";
    let forwarded = "proxy_http_version 1.1; \
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
    let sockets = "proxy_http_version 1.1; proxy_set_header Host $http_host; \
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; \
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
    let mut servers = String::new();
    for (port, settings) in [
        (8001, ""),
        (8002, http11),
        (8003, forwarded),
        (8004, sockets),
    ] {
        writeln!(
            servers,
            "server {{ listen {BOX}:{port}; location / {{ proxy_pass http://{daemon}; {settings} }} }}"
        )
        .unwrap();
    }
    servers
}

fn nginx(scratch: &Scratch, servers: &str) -> Program {
    let folder = scratch.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};"))
        .concat();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr crit;\nevents {{}}\n\
         http {{ access_log off; {temporary}\n{servers} }}\n"
    );
    let file = scratch.write("nginx.conf", &config).display().to_string();
    Program::start("nginx", &["-e", "stderr", "-c", &file])
}

fn apache(scratch: &Scratch, daemon: SocketAddr) -> Program {
    let folder = scratch.path().display();
    let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let config = format!(
        "{modules}ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/apache.pid\n\
         ServerName proxy.example\nErrorLog /dev/stderr\nLogLevel crit\nListen {BOX}:8010\n\
         User nobody\nGroup nogroup\nProxyPass / http://{daemon}/\n"
    );
    let file = scratch.write("apache.conf", &config).display().to_string();
    Program::start("apache2", &["-X", "-f", &file])
}

fn haproxy(scratch: &Scratch, daemon: SocketAddr) -> Program {
    let times = "timeout connect 5s\ntimeout client 30s\ntimeout server 30s\n";
    let server = format!("server daemon {daemon}\n");
    let config = format!(
        "defaults\nmode http\n{times}\
         listen bare\nbind {BOX}:8020\n{server}\
         listen forwarding\nbind {BOX}:8021\noption forwardfor\n{server}\
         listen port\nmode tcp\nbind {BOX}:8022\n{server}"
    );
    let file = scratch.write("haproxy.cfg", &config).display().to_string();
    Program::start("haproxy", &["-db", "-f", &file])
}

#[expect(
    clippy::disallowed_methods,
    reason = "another program's port opens without a word to this process"
)]
fn wait_for(address: SocketAddr) {
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nothing listens at {address}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a request with exactly these headers, in bytes, is answered with.
fn send(to: SocketAddr, request: &str, headers: &[(&str, &[u8])]) -> u16 {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut head = format!("{request} HTTP/1.1\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(format!("{name}: ").as_bytes());
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"content-length: 0\r\n\r\n");
    stream.write_all(&head).unwrap();
    let mut reply = Vec::new();
    // An endless reply would be one that must not be.
    let _ = stream.take(1 << 16).read_to_end(&mut reply);
    let text = String::from_utf8_lossy(&reply);
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {text:?}"))
}

/// What an attacker tries: honest headers, those of somebody on the machine, and those that no proxy can read.
fn attempts() -> Vec<Vec<(&'static str, &'static [u8])>> {
    const HONEST: (&str, &[u8]) = ("Host", b"cam.example");
    const LOCAL: (&str, &[u8]) = ("Host", b"localhost");
    let mut attempts = vec![
        vec![HONEST],
        vec![LOCAL],
        vec![("Host", b"127.0.0.1:8080")],
        vec![LOCAL, ("Host", b"ev\xefl")],
        vec![("Host", b"ev\xefl"), LOCAL],
        vec![LOCAL, ("Authorization", b"\xff")],
        vec![
            LOCAL,
            ("Authorization", b"Bearer x"),
            ("Authorization", b"\xff"),
        ],
        vec![
            LOCAL,
            ("Origin", b"\xff"),
            ("Sec-Fetch-Site", b"same-origin"),
        ],
        vec![LOCAL, ("Cookie", b"\xff=\xff; fanlight-8080=x")],
    ];
    for name in [
        "X-Forwarded-For",
        "X-Real-IP",
        "Via",
        "Forwarded",
        "X-Original-Forwarded-For",
        "X-Envoy-External-Address",
        "X-Cluster-Client-IP",
        "Fastly-Client-IP",
        "X-ProxyUser-Ip",
        "X_Forwarded_For",
    ] {
        for value in [&b"\xff"[..], b"127.0.0.1"] {
            attempts.push(vec![HONEST, (name, value)]);
            attempts.push(vec![LOCAL, (name, value)]);
        }
    }
    let all = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server"];
    for host in [HONEST, LOCAL] {
        let hidden = all.map(|name| (name, &b"\xff"[..]));
        attempts.push([&[host][..], &hidden].concat());
    }
    attempts
}

#[test]
fn no_header_lets_anybody_in_through_a_proxy_and_the_token_does() {
    let test = "proxies::no_header_lets_anybody_in_through_a_proxy_and_the_token_does";
    namespace::inside(
        test,
        || (),
        || {
            let attacker = attacker();
            let daemon = Daemon::start(&["--test-pattern"]);
            let proxies = Proxies::before(daemon.address());
            let token = format!("Bearer {}", daemon.token());
            let mut wrong = Vec::new();
            for (name, port) in &proxies.entries {
                let to = SocketAddr::new(BOX.parse().unwrap(), *port);
                for headers in attempts() {
                    for path in [
                        "GET /metrics",
                        "GET /camera",
                        "GET /camera/jpeg",
                        "POST /whep",
                    ] {
                        let status = attacker.run(|| send(to, path, &headers));
                        // 400 from the daemon or the proxy, for what nobody honest sends.
                        if ![400, 401].contains(&status) {
                            wrong.push(format!("{name}: {path}: {status}: {}", shown(&headers)));
                        }
                    }
                }
                for more in [&[][..], &[("X-Forwarded-For", &b"\xff"[..])]] {
                    let proof: [(&str, &[u8]); 2] = [
                        ("Host", b"cam.example"),
                        ("Authorization", token.as_bytes()),
                    ];
                    let headers = [&proof, more].concat();
                    let status = attacker.run(|| send(to, "GET /metrics", &headers));
                    if status != 200 {
                        wrong.push(format!("{name} with the token: {status}: {}", shown(more)));
                    }
                }
            }
            assert!(wrong.is_empty(), "{wrong:#?}");
        },
    );
}

fn shown(headers: &[(&str, &[u8])]) -> String {
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
    lines.collect::<Vec<_>>().join(", ")
}

/// Another machine, beside the one where the daemon and the proxies are.
fn attacker() -> Host {
    let attacker = Host::joined("box0", "attacker0");
    ip(&["address", "add", &format!("{BOX}/24"), "dev", "box0"]);
    ip(&["link", "set", "box0", "up"]);
    attacker.run(|| {
        ip(&["address", "add", "10.97.0.2/24", "dev", "attacker0"]);
        ip(&["link", "set", "attacker0", "up"]);
    });
    attacker
}

#[test]
fn two_daemons_below_two_paths_of_one_host_don_t_log_each_others_viewers_out() {
    let test = "proxies::two_daemons_below_two_paths_of_one_host_don_t_log_each_others_viewers_out";
    namespace::inside(
        test,
        || (),
        || {
            let attacker = attacker();
            // One port number, as in two containers.
            let daemons = ["127.0.0.1:18105", "127.0.0.2:18105"]
                .map(|listen| Daemon::configured_at(listen, TWO_STREAMS));
            let headers = "proxy_http_version 1.1; proxy_set_header Host $http_host; \
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
            let servers = format!(
                "server {{ listen {BOX}:8040; {headers} \
                 location /a/ {{ proxy_pass http://{}/; }} location /b/ {{ proxy_pass http://{}/; }} }}",
                daemons[0].address(),
                daemons[1].address()
            );
            let scratch = Scratch::new();
            let _nginx = nginx(&scratch, &servers);
            let to = SocketAddr::new(BOX.parse().unwrap(), 8040);
            wait_for(to);
            // curl keeps cookies as browsers do.
            let jar = scratch.path().join("jar").display().to_string();
            let get = |path: &str| {
                let url = format!("http://{to}{path}");
                let output = attacker.run(|| {
                    Command::new("curl")
                        .args(["-sL", "-o", "/dev/null", "-b", &jar, "-c", &jar])
                        .args(["-w", "%{http_code}", &url])
                        .output()
                        .unwrap()
                });
                String::from_utf8(output.stdout).unwrap()
            };
            for (prefix, daemon) in ["/a", "/b"].iter().zip(&daemons) {
                assert_eq!(get(&format!("{prefix}/?token={}", daemon.token())), "200");
            }
            for _ in 0..12 {
                assert_eq!(
                    [get("/a/api/streams"), get("/b/api/streams")],
                    ["200", "200"]
                );
            }
        },
    );
}
