//! Tests of the certificates, as a client of ours sees them.

use super::*;
use std::net::IpAddr;
use std::time::SystemTime;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

fn scratch(test: &str) -> (PathBuf, StateDir) {
    let name = format!("fanlight-tls-{test}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let state = StateDir::open(&path).unwrap();
    (path, state)
}

/// Whether a client that trusts the authority takes the certificate for a server of that name.
fn is_trusted(authority: &Authority, certificate: &CertificateDer<'_>, name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().to_vec().into()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let name = ServerName::try_from(name).unwrap();
    let verified =
        verifier
            .build()
            .unwrap()
            .verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
    verified.is_ok()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_authority_is_made_once_and_vouches_for_this_machine() {
    let (path, state) = scratch("once");
    let own = names(&["box.local", "box"]);
    let authority = Authority::load(Some(&state), &own, &[]).unwrap();
    let again = Authority::load(Some(&state), &own, &[]).unwrap();
    assert_eq!(authority.der(), again.der());
    let address: IpAddr = "192.168.1.5".parse().unwrap();
    // Signed by the one that was read.
    let (certificate, _) = again.sign(&own, &[address], SystemTime::now()).unwrap();
    for name in [
        "192.168.1.5",
        "127.0.0.1",
        "::1",
        "localhost",
        "box",
        "box.local",
    ] {
        assert!(is_trusted(&authority, &certificate, name), "{name}");
    }
    for name in ["192.168.1.6", "other.local", "example.org"] {
        assert!(!is_trusted(&authority, &certificate, name), "{name}");
    }
    // A damaged one is replaced, and kept.
    std::fs::write(path.join("ca.pem"), "half a fi").unwrap();
    let told = Authority::kept(&state).unwrap_err().to_string();
    assert!(
        told.contains("ca.pem: ") && told.contains("delete it"),
        "{told}"
    );
    let new = Authority::load(Some(&state), &own, &[]).unwrap();
    assert_ne!(new.der(), authority.der());
    let kept = Authority::kept(&state).unwrap().unwrap();
    assert_eq!(kept.der(), new.der());
    assert_eq!(state.read("ca.pem.bad").unwrap().unwrap(), b"half a fi");
    assert!(Authority::load(None, &own, &[]).is_ok());
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn an_authority_of_before_vouches_for_what_its_certificate_says() {
    let (path, state) = scratch("before");
    let authority = Authority::load(Some(&state), &[], &[]).unwrap();
    let file = state.read("ca.pem").unwrap().unwrap();
    let text = String::from_utf8(file).unwrap();
    let without: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("networks:"))
        .collect();
    state
        .write("ca.pem", without.join("\n").as_bytes())
        .unwrap();
    let read = Authority::kept(&state).unwrap().unwrap();
    assert_eq!(read.der(), authority.der());
    // It may sign any address, as its certificate then says.
    let public: IpAddr = "8.8.8.8".parse().unwrap();
    let (certificate, _) = read.sign(&[], &[public], SystemTime::now()).unwrap();
    assert!(names_address(&certificate, public));
    let (certificate, _) = authority.sign(&[], &[public], SystemTime::now()).unwrap();
    assert!(!names_address(&certificate, public));
    std::fs::remove_dir_all(path).unwrap();
}

/// Whether the address stands in the certificate as bytes.
fn names_address(certificate: &CertificateDer<'_>, address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else {
        unreachable!()
    };
    // An iPAddress of four bytes (RFC 5280, 4.2.1.6).
    let entry = [&[0x87, 4][..], &address.octets()].concat();
    certificate.windows(entry.len()).any(|bytes| bytes == entry)
}

#[test]
fn the_authority_can_not_vouch_for_public_sites_even_if_its_key_is_stolen() {
    let (path, state) = scratch("constrained");
    let own: [IpAddr; 2] = ["203.0.113.9", "192.168.1.5"].map(|ip| ip.parse().unwrap());
    let mut authority = Authority::load(Some(&state), &names(&["box"]), &own).unwrap();
    let bank = names(&["bank.example"]);
    let sign = |authority: &Authority| authority.sign(&bank, &[], SystemTime::now()).unwrap().0;
    assert!(
        !is_trusted(&authority, &sign(&authority), "bank.example"),
        "left out"
    );
    authority.pretend(&bank);
    let forged = sign(&authority);
    assert!(
        !is_trusted(&authority, &forged, "bank.example"),
        "constrained"
    );
    let sign = |addresses: &[IpAddr]| {
        let signed = authority.sign(&[], addresses, SystemTime::now());
        signed.unwrap().0
    };
    let honest = sign(&own);
    for address in ["203.0.113.9", "192.168.1.5"] {
        assert!(is_trusted(&authority, &honest, address), "{address}");
    }
    for public in ["203.0.113.10", "8.8.8.8", "2606:4700::1111"] {
        let forged = sign(&[public.parse().unwrap()]);
        assert!(!is_trusted(&authority, &forged, public), "{public}");
    }
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn half_a_change_of_files_leaves_the_old_certificate() {
    let (path, _state) = scratch("files");
    let (chain, key) = (path.join("chain.pem"), path.join("key.pem"));
    let pair = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let load = |files: &mut Files| files.load().map(|key| key.cert[0].to_vec());
    let mut files = Files::new(&chain, &key);
    assert!(
        load(&mut files)
            .unwrap_err()
            .to_string()
            .contains("chain.pem: can't be read")
    );
    let (first, second) = (pair(), pair());
    std::fs::write(&chain, first.cert.pem()).unwrap();
    std::fs::write(&key, first.signing_key.serialize_pem()).unwrap();
    assert!(files.has_changed());
    assert_eq!(load(&mut files).unwrap(), first.cert.der().to_vec());
    assert!(!files.has_changed());
    std::fs::write(&chain, second.cert.pem()).unwrap();
    assert!(files.has_changed());
    let told = load(&mut files).unwrap_err().to_string();
    assert!(told.contains("key.pem: is not the key of"), "{told}");
    assert!(files.has_changed(), "until it can be used");
    std::fs::write(&key, second.signing_key.serialize_pem()).unwrap();
    assert_eq!(load(&mut files).unwrap(), second.cert.der().to_vec());
    for (chain_text, told) in [
        ("", "has no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\n*", "is damaged"),
    ] {
        std::fs::write(&chain, chain_text).unwrap();
        let error = load(&mut files).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    std::fs::remove_dir_all(path).unwrap();
}
