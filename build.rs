//! Finds out whether OpenH264 is built with its assembly: its own build script leaves it out without a word.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(fanlight_without_assembly)");
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rerun-if-env-changed=OPENH264_NO_ASM");
    println!("cargo:rerun-if-changed=build.rs");
    let is_x86 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch.starts_with("x86"));
    // Only x86 needs nasm; for ARM the C compiler assembles.
    let has_nasm = || {
        std::process::Command::new("nasm")
            .arg("-v")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if std::env::var_os("OPENH264_NO_ASM").is_some() || is_x86 && !has_nasm() {
        println!("cargo:rustc-cfg=fanlight_without_assembly");
    }
}
