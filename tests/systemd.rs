//! What is installed beside the binary: the unit, the service user, the sample configuration, and installing itself.

use fanlight::config::{Config, KEYS};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNIT: &str = include_str!("../systemd/fanlight.service");
const SAMPLE: &str = include_str!("../systemd/fanlight.toml");

/// A folder of this test's own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let name = format!("fanlight-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The unit as it is installed, with a program that exists.
    fn unit(&self) -> PathBuf {
        let path = self.0.join("fanlight.service");
        let program = env!("CARGO_BIN_EXE_fanlight");
        std::fs::write(&path, UNIT.replace("/usr/local/bin/fanlight", program)).unwrap();
        path
    }

    fn exists(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `systemd-analyze`; `None` where it isn't installed. `make test` installs it, so that CI never lacks it.
fn analyze(args: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(args).output() {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("not checked: systemd-analyze can't be run: {error}");
            None
        }
        Err(error) => panic!("systemd-analyze can't be run: {error}"),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let scratch = Scratch::new("verify");
    let unit = scratch.unit();
    let unit = unit.to_str().unwrap();
    if let Some(output) = analyze(&["verify", "--man=no", unit]) {
        // An unknown setting is only a warning to systemd, and a typing error to us.
        let about_us: Vec<_> = text(&output)
            .lines()
            .filter(|line| line.contains("fanlight"))
            .map(str::to_owned)
            .collect();
        assert!(
            output.status.success() && about_us.is_empty(),
            "{about_us:#?}"
        );
    }
}

#[test]
fn the_sandbox_leaves_an_exposure_of_two_at_the_most() {
    let scratch = Scratch::new("security");
    let unit = scratch.unit();
    let unit = unit.to_str().unwrap();
    let args = [
        "security",
        "--no-pager",
        "--offline=true",
        "--threshold=20",
        unit,
    ];
    if let Some(output) = analyze(&args) {
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn the_sandbox_lets_cameras_the_network_the_journal_and_a_directory_through() {
    for needed in [
        "Type=notify",
        "DeviceAllow=char-video4linux rw",
        "Wants=modprobe@videodev.service",
        "SupplementaryGroups=video",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "StateDirectory=fanlight",
        "StateDirectoryMode=0700",
    ] {
        assert!(UNIT.lines().any(|line| line == needed), "{needed}");
    }
    // A /dev of the service's own holds no camera.
    assert!(!UNIT.contains("PrivateDevices=yes"));
}

#[test]
fn the_sample_means_the_defaults() {
    assert_eq!(Config::parse(SAMPLE).unwrap(), Config::default());
}

#[test]
fn every_example_in_the_sample_is_valid_and_no_key_is_missing() {
    // Device and pattern exclude each other.
    assert!(SAMPLE.contains("device = \"/dev/video0\"\n"));
    let text = SAMPLE.replacen("#pattern = true\n", "", 1);
    // An example is a line that begins with `#` and, without a space, a key or a table.
    let examples: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if !example.starts_with(' ') => format!("{example}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    Config::parse(&examples).unwrap_or_else(|errors| panic!("{errors}\n{examples}"));
    let table: toml::Table = examples.parse().unwrap();
    for (name, keys) in KEYS {
        let sections = match &table[name] {
            toml::Value::Array(streams) => streams.as_slice(),
            one => std::slice::from_ref(one),
        };
        for key in keys {
            let documented = sections.iter().any(|section| section.get(key).is_some());
            assert!(documented, "the sample lacks {name}.{key}");
        }
    }
}

#[test]
fn the_user_of_the_unit_is_the_one_that_is_created() {
    let sysusers = include_str!("../systemd/fanlight.sysusers");
    assert!(UNIT.contains("\nUser=fanlight\n"));
    assert!(sysusers.contains("\nu fanlight "));
    assert!(sysusers.contains("\nm fanlight video"));
}

/// `make install` or `make uninstall` below the scratch folder, with the prefix /opt/cam.
fn make(target: &str, scratch: &Scratch) -> String {
    make_with(target, scratch, "/opt/cam")
}

fn make_with(target: &str, scratch: &Scratch, prefix: &str) -> String {
    let output = Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--no-print-directory", target])
        .env("PREFIX", prefix)
        .arg(format!("DESTDIR={}", scratch.0.display()))
        .arg(format!("BINARY={}", env!("CARGO_BIN_EXE_fanlight")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn what_is_installed_is_uninstalled_and_nothing_else() {
    let scratch = Scratch::new("install");
    make("install", &scratch);
    for file in [
        "opt/cam/bin/fanlight",
        "opt/cam/lib/systemd/system/fanlight.service",
        "opt/cam/lib/sysusers.d/fanlight.conf",
        "opt/cam/share/doc/fanlight/config.md",
        "etc/fanlight/fanlight.toml",
    ] {
        assert!(scratch.exists(file), "{file}");
    }
    let unit = scratch
        .0
        .join("opt/cam/lib/systemd/system/fanlight.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    assert!(
        unit.contains(
            "\nExecStart=/opt/cam/bin/fanlight run --config /etc/fanlight/fanlight.toml "
        )
    );
    assert!(!unit.contains("/usr/local"), "{unit}");

    make("uninstall", &scratch);
    assert_eq!(files_below(&scratch.0), Vec::<PathBuf>::new());
}

#[test]
fn the_services_state_survives_uninstalling() {
    let scratch = Scratch::new("state");
    make("install", &scratch);
    let file = scratch.0.join("var/lib/fanlight/dtls.pem");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "secret").unwrap();
    let told = make("uninstall", &scratch);
    assert!(told.contains("var/lib/fanlight: kept"), "{told}");
    assert_eq!(files_below(&scratch.0), [file]);
}

#[test]
fn an_edited_configuration_survives_installing_and_uninstalling() {
    let scratch = Scratch::new("edited");
    make("install", &scratch);
    let config = scratch.0.join("etc/fanlight/fanlight.toml");
    std::fs::write(&config, "# mine\n").unwrap();
    let told = make("install", &scratch);
    assert!(told.contains("etc/fanlight/fanlight.toml: kept"), "{told}");
    let told = make("uninstall", &scratch);
    assert!(told.contains("etc/fanlight/fanlight.toml: kept"), "{told}");
    assert_eq!(files_below(&scratch.0), std::slice::from_ref(&config));
    assert_eq!(std::fs::read_to_string(config).unwrap(), "# mine\n");
}

#[test]
fn a_prefix_is_taken_as_it_is_whatever_characters_it_has() {
    for (number, (prefix, command, documentation)) in [
        ("/opt/r&d", r#""/opt/r&d/bin/fanlight""#, "/opt/r&d/"),
        (
            "/opt/my cam",
            r#""/opt/my cam/bin/fanlight""#,
            "/opt/my%%20cam/",
        ),
        ("/opt/100%", "/opt/100%%/bin/fanlight", "/opt/100%%25/"),
        ("/opt/a|b", r#""/opt/a|b/bin/fanlight""#, "/opt/a|b/"),
    ]
    .into_iter()
    .enumerate()
    {
        let scratch = Scratch::new(&format!("prefix-{number}"));
        make_with("install", &scratch, prefix);
        let below = prefix.trim_start_matches('/');
        assert!(scratch.exists(&format!("{below}/bin/fanlight")), "{prefix}");
        let unit = format!("{below}/lib/systemd/system/fanlight.service");
        let unit = std::fs::read_to_string(scratch.0.join(unit)).unwrap();
        let line = format!("\nExecStart={command} run --config ");
        assert!(unit.contains(&line), "{prefix}: {unit}");
        let line = format!("\nDocumentation=file:{documentation}share/doc/");
        assert!(unit.contains(&line), "{prefix}: {unit}");
        make_with("uninstall", &scratch, prefix);
        assert_eq!(files_below(&scratch.0), Vec::<PathBuf>::new(), "{prefix}");
    }
}

#[test]
fn the_configuration_is_private_and_a_link_in_its_place_is_left_alone() {
    let scratch = Scratch::new("private");
    make("install", &scratch);
    let config = scratch.0.join("etc/fanlight/fanlight.toml");
    let mode = std::fs::metadata(&config).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/nowhere/fanlight.toml", &config).unwrap();
    for target in ["install", "uninstall"] {
        let told = make(target, &scratch);
        assert!(told.contains("etc/fanlight/fanlight.toml: kept"), "{told}");
        let link = std::fs::read_link(&config).unwrap();
        assert_eq!(link, Path::new("/nowhere/fanlight.toml"));
    }
}
