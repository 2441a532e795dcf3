//! NVIDIA's library, loaded by name or path: what each device says about itself, and for what it does not say, why. Every figure is
//! by itself: an old driver, a small card or a missing permission costs one figure and not the others.

mod device;
mod xid;

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

pub use device::{Counters, Ecc, Link, Memory, Process, Reading, Rows};
pub use xid::{Xid, parse as parse_xids};

use crate::error::{Failure, Kind, config};
use crate::report::Permit;
use crate::sys::{files, machine};
use crate::units::Length;

/// What every driver installs.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The library, not loaded yet: a driver that hangs must not hang us, so each use is a thread of its own with a limit.
#[derive(Clone)]
pub struct Library {
    path: PathBuf,
}

/// What the driver says in all.
pub struct Driver {
    /// Its version; why not, where it does not say.
    pub version: Result<String, String>,
    /// Each device, in the driver's order.
    pub devices: Vec<Reading>,
}

impl Library {
    /// By the usual name, or at a path. One that somebody else could have written is not loaded.
    pub fn new(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                path: LIBRARY.into(),
            });
        };
        let shown = path.display();
        let meta = files::metadata(path)?
            .ok_or_else(|| config(format!("[gpu] nvml_library: there is no {shown}")))?;
        if !machine::is_ours(&meta) {
            return Err(config(format!(
                "[gpu] nvml_library {shown} can be written by others: it is not loaded"
            ))
            .hint(format!("chown root {shown}; chmod go-w {shown}"))
            .into());
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Every device as it is.
    pub fn read(&self, limit: Duration) -> anyhow::Result<Driver> {
        let path = self.path.clone();
        self.within(limit, move |nvml| {
            let count = nvml
                .device_count()
                .map_err(|error| no_driver(&error, &path))?;
            let version = nvml.sys_driver_version();
            Ok(Driver {
                version: version.map_err(|error| why(&error)),
                devices: (0..count).map(|index| device::read(nvml, index)).collect(),
            })
        })
    }

    /// Keeps the driver's state of a device while nobody uses it.
    pub fn set_persistence(&self, _: &Permit, index: u32, limit: Duration) -> anyhow::Result<()> {
        self.within(limit, move |nvml| {
            let set = nvml
                .device_by_index(index)
                .and_then(|mut device| device.set_persistent(true));
            set.map_err(|error| {
                let text = format!(
                    "cannot set the persistence mode of GPU {index}: {}",
                    why(&error)
                );
                let failure = Failure::new(Kind::Failed, text);
                match error {
                    NvmlError::NoPermission => failure.hint("only root may"),
                    _ => failure,
                }
                .into()
            })
        })
    }

    /// Loads, works, lets go; on a thread that is left behind when it does not come back.
    fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Nvml) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (send, receive) = channel();
        let path = self.path.clone();
        std::thread::spawn(move || {
            let result = Nvml::builder()
                .lib_path(path.as_os_str())
                .init()
                .map_err(|error| no_driver(&error, &path).into())
                .and_then(|nvml| work(&nvml));
            let _ = send.send(result);
        });
        receive.recv_timeout(limit).unwrap_or_else(|_| {
            let text = format!("the NVIDIA driver does not answer within {}", Length(limit));
            Err(Failure::new(Kind::Failed, text)
                .hint("dmesg | grep NVRM")
                .into())
        })
    }
}

/// Why there is nothing to look at.
fn no_driver(error: &NvmlError, library: &Path) -> Failure {
    let missing = |text: &str, hint: &str| Failure::new(Kind::Missing, text).hint(hint);
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound
            if library != Path::new(LIBRARY) =>
        {
            missing(
                &format!("[gpu] nvml_library {} cannot be loaded", library.display()),
                "the library of the NVIDIA driver; without the key it is looked for",
            )
        }
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => missing(
            &format!("there is no NVIDIA driver on this machine: {LIBRARY} cannot be loaded"),
            "install the driver, or set [gpu] nvml_library",
        ),
        NvmlError::DriverNotLoaded => missing(
            "the NVIDIA driver is installed and not running",
            "modprobe nvidia; dmesg | grep NVRM",
        ),
        NvmlError::LibRmVersionMismatch => missing(
            "the NVIDIA library and the running driver are of different versions: it was updated and not started anew",
            "reboot",
        ),
        NvmlError::NoPermission => missing(
            "this user may not talk to the NVIDIA driver",
            "run it as root, or look at the modes of /dev/nvidia*",
        ),
        NvmlError::FailedToLoadSymbol(_) => missing(
            "the NVIDIA driver is too old to be asked",
            "a driver from 2020 on",
        ),
        other => missing(
            &format!("the NVIDIA driver does not start: {}", why(other)),
            "dmesg | grep NVRM",
        ),
    }
}

/// An error of the library in a few words.
fn why(error: &NvmlError) -> String {
    match error {
        NvmlError::NotSupported => "this device has none".to_owned(),
        NvmlError::NoPermission => "this user may not ask for it".to_owned(),
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            "this driver is too old to say".to_owned()
        }
        NvmlError::GpuLost => "the device has fallen off the bus".to_owned(),
        NvmlError::ResetRequired => "the device has to be reset".to_owned(),
        NvmlError::Timeout => "the driver did not answer in time".to_owned(),
        other => other.to_string(),
    }
}
