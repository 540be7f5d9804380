//! Tests of the tables for the whole daemon: addresses, access, limits.

use super::*;

#[test]
fn media_follows_the_http_address_unless_told_otherwise() {
    let config = Config::parse("[http]\nlisten = 9000").unwrap();
    assert_eq!(config.rtc.listen.to_string(), "[::]:9000");
    let config = Config::parse("[http]\nlisten = 9000\n[rtc]\nlisten = 9001").unwrap();
    assert_eq!(config.rtc.listen.to_string(), "[::]:9001");
}

#[test]
fn media_over_tcp_is_where_http_is_unless_told_otherwise() {
    let of = |line: &str| Config::parse(&format!("[rtc]\n{line}"));
    let read = |line| of(line).unwrap().rtc.tcp_listen;
    let at = |text: &str| TcpListen::At(text.parse().unwrap());
    assert_eq!(read(""), TcpListen::Http);
    assert_eq!(read("tcp_listen = \"http\""), TcpListen::Http);
    assert_eq!(read("tcp_listen = \"off\""), TcpListen::Off);
    assert_eq!(read("tcp_listen = 443"), at("[::]:443"));
    assert_eq!(read("tcp_listen = \"192.0.2.1:443\""), at("192.0.2.1:443"));
    let refused = of("tcp_listen = \"on\"").unwrap_err().to_string();
    assert!(
        refused.contains("or \"http\", where HTTP is, or \"off\""),
        "{refused}"
    );
    assert!(of("tcp_listen = true").is_err());
}

#[test]
fn times_are_seconds_or_carry_a_unit() {
    for (written, millis) in [
        ("0", 0),
        ("2", 2000),
        ("1.5", 1500),
        ("\"4s\"", 4000),
        ("\"500ms\"", 500),
        ("\"10\"", 10_000),
        ("\"60m\"", 3_600_000),
        ("\"1h\"", 3_600_000),
    ] {
        let linger = stream(&format!("linger = {written}")).linger;
        assert_eq!(linger, Duration::from_millis(millis), "{written}");
    }
    assert_eq!(told("linger = \"2h\""), "\"2h\" is not in 0 s to 1 h");
    assert_eq!(told("linger = -1"), "-1 is not in 0 s to 1 h");
    assert_eq!(told("linger = nan"), "nan is not in 0 s to 1 h");
    assert_eq!(
        told("keyframe_interval = 0.4"),
        "0.4 is not in 0.5 s to 60 s"
    );
    assert!(told("linger = \"soon\"").contains("such as \"4s\""));
    assert!(told("linger = 07:32:00").contains("is a date or a time of day"));
}

#[test]
fn the_playout_delay_is_one_time_or_two_in_order() {
    let millis = |text: &str| {
        let PlayoutDelay { min, max } = stream(&format!("playout_delay = {text}")).playout_delay;
        (min.as_millis(), max.as_millis())
    };
    for (text, expected) in [
        ("0", (0, 0)),
        ("\"120ms\"", (120, 120)),
        ("0.125", (130, 130)),
        ("[0, \"40.95s\"]", (0, 40_950)),
        ("[\"50ms\", 0.05]", (50, 50)),
    ] {
        assert_eq!(millis(text), expected, "{text}");
    }
    for (text, problem) in [
        ("\"41s\"", "\"41s\" is not in 0 s to 40.95 s"),
        ("[0, 41]", "41 is not in 0 s to 40.95 s"),
        (
            "[0.2, 0.1]",
            "the minimum, 200ms, is greater than the maximum, 100ms",
        ),
        (
            "[0]",
            "this list does not have two values; expected a time or a list of two, the minimum and the maximum, \
             such as \"0ms\" or [\"0ms\", \"200ms\"]",
        ),
        (
            "true",
            "true is a boolean; expected a time, such as \"4s\", \"500ms\" or a number of seconds",
        ),
    ] {
        assert_eq!(told(&format!("playout_delay = {text}")), problem);
    }
}

#[test]
fn addresses_to_listen_on_can_be_short() {
    for (written, address) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        (":8081", "[::]:8081"),
        ("8081", "[::]:8081"),
    ] {
        assert_eq!(listen_address(written).unwrap().to_string(), address);
    }
    for (written, cure) in [
        ("192.168.1.5", "write \"192.168.1.5:8080\""),
        ("::1", "write \"[::1]:8080\""),
        ("localhost:80", "write \"127.0.0.1:80\" or \"[::1]:80\""),
        ("*:80", "write \":80\""),
        (":65536", "no port from 0 to 65535"),
        ("", "ADDRESS:PORT"),
        ("example.org:80", "is not ADDRESS:PORT"),
    ] {
        let message = listen_address(written).unwrap_err();
        assert!(message.contains(cure), "{message}");
    }
}

#[test]
fn external_addresses_are_checked_one_by_one() {
    let complaint = complaint(
        "[rtc]\nexternal_addresses = [\n\"203.0.113.7\",\n\"203.0.113.7\",\n\"0.0.0.0\",\n\"host\"]\n",
    );
    assert_eq!(
        complaint,
        "line 4: rtc.external_addresses[1]: 203.0.113.7 is in the list twice\n\
         line 5: rtc.external_addresses[2]: 0.0.0.0 is not an address that a viewer can reach\n\
         line 6: rtc.external_addresses[3]: \"host\" is not an IP address without a port, such as \"203.0.113.7\", \
         or a STUN server, \"stun:HOST\""
    );
}

#[test]
fn the_state_directory_is_a_path_from_the_root_on() {
    for bad in ["\"state\"", "\"~/state\"", "\"\"", "\"/a\\nb\"", "true"] {
        let complaint = complaint(&format!("[state]\ndirectory = {bad}\n"));
        assert!(
            complaint.starts_with("line 2: state.directory: "),
            "{complaint}"
        );
        assert!(
            complaint.contains("the absolute path of a directory, such as directory = "),
            "{complaint}"
        );
    }
}

#[test]
fn half_a_proof_or_half_a_certificate_is_refused_with_the_cure() {
    for (text, told) in [
        (
            "[auth]\nmode = \"tokens\"",
            "line 2: auth.mode: \"tokens\" is not known; did you mean \"token\"?",
        ),
        (
            "[auth]\nmode = \"open\"",
            "line 2: auth.mode: \"open\" is not one of token, jwt, none",
        ),
        (
            "[auth]\nmode = \"jwt\"",
            "line 1: auth: the mode \"jwt\" needs jwt_keys, the file with the issuer's public keys",
        ),
        (
            "[auth]\njwt_keys = \"/a\"",
            "line 2: auth.jwt_keys: is only for mode = \"jwt\"; set that mode, or remove this key",
        ),
        (
            "[auth]\nmode = \"jwt\"\njwt_keys = \"a\"",
            "line 3: auth.jwt_keys: \"a\" is not the absolute path of a file, such as \"/etc/fanlight/key.pem\"",
        ),
        (
            "[tls]",
            "line 1: tls: needs certificate and key, or self_signed = true",
        ),
        (
            "[tls]\nself_signed = false",
            "line 1: tls: needs certificate and key, or self_signed = true",
        ),
        (
            "[tls]\nself_signed = 1",
            "line 2: tls.self_signed: 1 is a number; expected true or false, without quotes",
        ),
        (
            "[tls]\ncertificate = \"/a\"",
            "line 1: tls: certificate and key belong together; name both files",
        ),
        (
            "[tls]\nkey = \"/a\"\nself_signed = true",
            "line 1: tls: certificate and key belong together; name both files",
        ),
        (
            "[tls]\nkey = \"/a\"\ncertificate = \"/a\"\nself_signed = true",
            "line 4: tls.self_signed: the table also has a certificate; keep only one of the two",
        ),
        (
            "[http]\nframe_ancestors = [\"a; script-src *\"]",
            "line 2: http.frame_ancestors[0]: \"a; script-src *\" is not an origin, such as \"https://example.org\", or \"*\" for all",
        ),
        (
            "[http]\nhosts = [\"cam:80\"]",
            "line 2: http.hosts[0]: \"cam:80\" is not the name of a host without scheme and port, such as \"cam.example.org\"",
        ),
        (
            "[auth]\nloopback = false",
            "line 2: auth.loopback: is no longer a key, as programs on this machine need a token too; remove it, and open the link \
             that `fanlight url` prints, or send the token that `fanlight token` prints",
        ),
    ] {
        assert_eq!(complaint(text), told);
    }
}

#[test]
fn limits_have_their_ranges() {
    for (line, message) in [
        ("viewers = 0", "0 is not a whole number, 1 to 100000"),
        (
            "setups = 2.5",
            "2.5 is a number; expected a whole number, 1 to 100000",
        ),
        (
            "request_size = \"1k\"",
            "\"1k\" is not in 4096 to 1048576 bytes",
        ),
        (
            "request_size = \"big\"",
            "\"big\" is not a number of bytes, such as \"128k\" or 131072",
        ),
        ("header_time = 0", "0 is not in 0.1 s to 60 s"),
        ("idle_time = \"2h\"", "\"2h\" is not in 0.1 s to 1 h"),
    ] {
        let complaint = complaint(&format!("[limits]\n{line}"));
        let key = line.split(' ').next().unwrap();
        assert_eq!(complaint, format!("line 2: limits.{key}: {message}"));
    }
    let complaint = complaint("[limits]\nshared_addresses = [\"10.0.0.0/33\"]");
    assert!(
        complaint.contains("is not an address or a network"),
        "{complaint}"
    );
    let none = Config::parse("[limits]\nshared_addresses = []").unwrap();
    assert!(none.limits.counts("127.0.0.1".parse().unwrap()));
}

#[test]
fn origins_are_what_browsers_send() {
    let told = |origin: &str| complaint(&format!("[http]\ncors_origins = [\"{origin}\"]"));
    for (origin, part) in [
        ("https://example.org/", "without a slash at the end"),
        ("https://example.org/page", "more than an origin"),
        ("example.org", "is not an origin"),
        ("https://", "is not an origin"),
        ("null", "is not an origin"),
        ("ftp://example.org", "is not an origin"),
    ] {
        let complaint = told(origin);
        assert!(complaint.contains(part), "{complaint}");
    }
}

#[test]
fn a_public_url_has_a_host_and_perhaps_a_path() {
    let read = |url: &str| Config::parse(&format!("[http]\npublic_url = {url:?}"));
    for (url, meant) in [
        ("https://cam.example", "https://cam.example/"),
        ("HTTPS://Cam.Example:8443/", "https://cam.example:8443/"),
        ("http://[2001:db8::1]:80", "http://[2001:db8::1]:80/"),
        ("https://example.org/Garden", "https://example.org/Garden/"),
        ("https://example.org/a/b//", "https://example.org/a/b/"),
    ] {
        let config = read(url).unwrap();
        assert_eq!(config.http.public_url.as_deref(), Some(meant));
    }
    for (url, part) in [
        ("cam.example", "is not a URL, such as"),
        ("ftp://cam.example", "is not a URL, such as"),
        ("https://", "is not a URL, such as"),
        ("https://a b/", "is not a URL, such as"),
        ("https://a/b c", "is not a URL, such as"),
        ("https://a:0/", "is not a URL, such as"),
        ("https://a/?token=b", "links add the rest"),
        ("https://a/#b", "links add the rest"),
        ("https://me@a/", "links add the rest"),
    ] {
        let errors = read(url).unwrap_err().to_string();
        assert!(errors.starts_with("line 2: http.public_url: "), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
}

#[test]
fn ice_servers_are_whole_or_refused() {
    let told = |server: &str| complaint(&format!("[whep]\nice_servers = [{server}]"));
    for (server, part) in [
        ("1", "is a number; expected \"stun:HOST\""),
        ("\"http:a\"", "is not the URL of a STUN or TURN server"),
        ("\"turn:a\"", "needs a user name and a password"),
        ("{ url = \"turn:a\", username = \"u\" }", "belong together"),
        ("{ url = \"turn:a\", user = \"u\" }", "unknown key \"user\""),
        ("{ username = \"u\", credential = \"p\" }", "has no url"),
        (
            "{ url = \"stun:a\", username = \"u\", credential = \"p\" }",
            "has no users",
        ),
        (
            "{ url = \"turn:a\", username = \"ü\", credential = \"p\" }",
            "username must be printable ASCII",
        ),
        ("\"stun:a\", \"stun:a\"", "stun:a is in the list twice"),
    ] {
        let complaint = told(server);
        assert!(complaint.contains(part), "{server}: {complaint}");
        assert!(complaint.contains("whep.ice_servers["), "{complaint}");
    }
    let complaint = complaint("[whep]\ncamera_down = \"slate\"");
    assert!(complaint.contains("is not one of wait, refuse"));
}
