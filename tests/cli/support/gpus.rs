//! Devices for `gpu`: `nvml.c`, compiled, beside what its devices say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Server;
use super::services::append;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/support/nvml.c");

/// A machine with devices that say what the scene says.
pub struct Gpus {
    pub server: Server,
    pub library: PathBuf,
}

impl Gpus {
    pub fn new(scene: &str) -> Self {
        Self::compiled(scene, &[], "")
    }

    /// An older driver, without some functions.
    pub fn old(scene: &str) -> Self {
        Self::compiled(scene, &["-DOLD"], "")
    }

    /// With further lines in `[gpu]`.
    pub fn with(scene: &str, lines: &str) -> Self {
        Self::compiled(scene, &[], lines)
    }

    fn compiled(scene: &str, flags: &[&str], lines: &str) -> Self {
        let server = Server::empty();
        let library = server.path().join("libnvidia-ml.so.1");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
            .args(flags)
            .arg("-o")
            .arg(&library)
            .args([SOURCE, "-ldl"])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = server.path().join("kmsg");
        fs::write(&log, "6,1,10,-;eth0: link up\n").unwrap();
        let server = server.config(&format!(
            "[gpu]\nnvml_library = {library:?}\nkernel_log = {log:?}\n{lines}"
        ));
        let gpus = Self { server, library };
        gpus.scene(scene);
        gpus
    }

    /// What the devices say from now on.
    pub fn scene(&self, text: &str) {
        fs::write(self.beside(".scene"), text).unwrap();
    }

    /// A character a device: whether persistence mode is on.
    pub fn persistence(&self) -> String {
        fs::read_to_string(self.beside(".persistence")).unwrap_or_default()
    }

    pub fn set_persistence(&self, modes: &str) {
        fs::write(self.beside(".persistence"), modes).unwrap();
    }

    /// A line of the kernel.
    pub fn kernel_says(&self, line: &str) {
        append(&self.server.path().join("kmsg"), &format!("{line}\n"));
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        super::beside(&self.library, suffix)
    }
}

/// Where a real driver is, the same program has something real to say.
pub fn real_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}
