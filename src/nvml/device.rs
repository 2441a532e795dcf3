//! One device, figure by figure.

use std::collections::BTreeMap;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, RetirementCause, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id;
use nvml_wrapper::{Device, Nvml};
use schemars::JsonSchema;
use serde::Serialize;

use super::why;
use crate::sys::machine;

/// What a device says about itself. What is absent is in `unknown`, with the reason.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Reading {
    /// The driver's number.
    pub index: u32,
    /// What it is called.
    pub name: Option<String>,
    /// Its name for life.
    pub uuid: Option<String>,
    /// Where it sits.
    pub bus: Option<String>,
    /// Memory, bytes.
    pub memory: Option<Memory>,
    /// Share of the last moments in which it worked, %.
    pub utilization_percent: Option<u32>,
    /// Share in which its memory was read or written, %.
    pub memory_utilization_percent: Option<u32>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
    /// Where it becomes slower to protect itself.
    pub slowdown_temperature: Option<u32>,
    /// Watts.
    pub power: Option<f64>,
    /// Watts that it may draw.
    pub power_limit: Option<f64>,
    /// Megahertz of its processors.
    pub clock: Option<u32>,
    /// The most that they do.
    pub clock_max: Option<u32>,
    /// Megahertz of its memory.
    pub memory_clock: Option<u32>,
    /// Why it is slower than it could be.
    pub throttled_by: Option<Vec<String>>,
    /// Errors of its memory.
    pub ecc: Option<Ecc>,
    /// Memory that was taken out of use.
    pub rows: Option<Rows>,
    /// The way to the machine.
    pub link: Option<Link>,
    /// True when the driver keeps its state while nobody uses it.
    pub persistence: Option<bool>,
    /// Who uses it.
    pub processes: Option<Vec<Process>>,
    /// True where it is divided.
    pub mig: Option<bool>,
    /// What it did not say, and why.
    pub unknown: BTreeMap<&'static str, String>,
    /// Why it could not be read, or not to the end.
    pub lost: Option<String>,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Memory {
    /// There is.
    pub total: u64,
    /// In use by processes.
    pub used: u64,
}

/// Errors that only grow, since the machine started and in the life of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ecc {
    /// Since the machine started.
    pub volatile: Counters,
    /// In the life of the device.
    pub aggregate: Counters,
}

/// Two kinds of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counters {
    /// Put right.
    pub corrected: u64,
    /// Not put right: what was there is lost.
    pub uncorrected: u64,
}

/// Pages or rows of memory that were taken out of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rows {
    /// Pages retired for errors.
    pub retired: u64,
    /// Rows replaced by spare ones.
    pub remapped: u64,
    /// True when something is done at the next reset only.
    pub pending: bool,
    /// True when there was no spare one left.
    pub failed: bool,
}

/// PCI Express.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub struct Link {
    /// Lanes.
    pub width: u32,
    /// Lanes that both sides have.
    pub width_max: u32,
    /// Generation; falls by itself while the device has nothing to do.
    pub generation: u32,
    /// The best that both sides know.
    pub generation_max: u32,
    /// Packets that had to be sent again, since the machine started; absent where it is not counted.
    pub replays: Option<u32>,
}

/// Somebody who uses it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What it is called; absent where we may not see it.
    pub name: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Bytes; absent in a divided device.
    pub memory: Option<u64>,
}

impl Reading {
    /// What findings and figures call it: its name for life, or its number where it does not tell that.
    pub fn id(&self) -> String {
        self.uuid
            .clone()
            .unwrap_or_else(|| format!("GPU {}", self.index))
    }

    /// What people call it.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("GPU {} ({name})", self.index),
            None => format!("GPU {}", self.index),
        }
    }
}

/// Reads one device until all is read or it is gone.
pub(super) fn read(nvml: &Nvml, index: u32) -> Reading {
    let mut reading = Reading {
        index,
        ..Reading::default()
    };
    match nvml.device_by_index(index) {
        Ok(device) => Reader {
            device,
            reading: &mut reading,
            asked: 0,
            failed: 0,
        }
        .all(),
        Err(error) => reading.lost = Some(why(&error)),
    }
    reading
}

struct Reader<'a, 'nvml> {
    device: Device<'nvml>,
    reading: &'a mut Reading,
    asked: u32,
    /// How often the driver had no answer that means something.
    failed: u32,
}

impl<'nvml> Reader<'_, 'nvml> {
    /// A figure, or why not. After a device is lost nothing more is asked of it.
    fn ask<T>(
        &mut self,
        what: &'static str,
        ask: impl FnOnce(&Device<'nvml>) -> Result<T, NvmlError>,
    ) -> Option<T> {
        if self.reading.lost.is_some() {
            return None;
        }
        self.asked += 1;
        match ask(&self.device) {
            Ok(value) => Some(value),
            Err(error) => {
                match error {
                    NvmlError::GpuLost | NvmlError::ResetRequired => {
                        self.reading.lost = Some(why(&error));
                    }
                    NvmlError::NotSupported
                    | NvmlError::NoPermission
                    | NvmlError::FailedToLoadSymbol(_)
                    | NvmlError::FunctionNotFound => {}
                    _ => self.failed += 1,
                }
                self.reading.unknown.insert(what, why(&error));
                None
            }
        }
    }

    fn all(mut self) {
        self.reading.uuid = self.ask("uuid", Device::uuid);
        self.reading.name = self.ask("name", Device::name);
        let pci = self.ask("bus", Device::pci_info);
        self.reading.bus = pci.map(|pci| pci.bus_id);
        self.reading.memory = self
            .ask("memory", Device::memory_info)
            .map(|memory| Memory {
                total: memory.total,
                used: memory.used,
            });
        if let Some(rates) = self.ask("utilization", Device::utilization_rates) {
            self.reading.utilization_percent = Some(rates.gpu);
            self.reading.memory_utilization_percent = Some(rates.memory);
        }
        self.heat_and_speed();
        self.reading.ecc = self.ask("ecc", ecc);
        self.rows();
        self.link();
        self.reading.persistence = self.ask("persistence", Device::is_in_persistent_mode);
        self.reading.processes = self.ask("processes", processes);
        let mig = self.ask("mig", Device::mig_mode);
        self.reading.mig = mig.map(|mode| mode.current == 1);
        self.silent();
    }

    /// A driver does not always say that a device is lost: one may answer its name from memory and fail at all the rest.
    fn silent(&mut self) {
        if self.reading.lost.is_none() && 2 * self.failed > self.asked {
            self.reading.lost = Some(format!(
                "the driver failed at {} of {} questions",
                self.failed, self.asked
            ));
        }
    }

    fn heat_and_speed(&mut self) {
        self.reading.temperature = self.ask("temperature", |device| {
            device.temperature(TemperatureSensor::Gpu)
        });
        self.reading.slowdown_temperature = self.ask("slowdown temperature", |device| {
            device.temperature_threshold(TemperatureThreshold::Slowdown)
        });
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1000.0;
        self.reading.power = self.ask("power", Device::power_usage).map(watts);
        self.reading.power_limit = self
            .ask("power limit", Device::enforced_power_limit)
            .map(watts);
        self.reading.clock = self.ask("clock", |device| device.clock_info(Clock::SM));
        self.reading.clock_max = self.ask("clock limit", |device| device.max_clock_info(Clock::SM));
        self.reading.memory_clock =
            self.ask("memory clock", |device| device.clock_info(Clock::Memory));
        let reasons = self.ask("throttling", Device::current_throttle_reasons);
        self.reading.throttled_by = reasons.map(throttles);
    }

    /// Older devices retire pages, newer ones remap rows: what one does not have the other may.
    fn rows(&mut self) {
        let pages = self.ask("retired pages", |device| {
            let of = |cause| device.retired_pages(cause).map(|pages| pages.len() as u64);
            let retired = of(RetirementCause::MultipleSingleBitEccErrors)?
                + of(RetirementCause::DoubleBitEccError)?;
            Ok((retired, device.are_pages_pending_retired()?))
        });
        let remapped = self.ask("remapped rows", remapped);
        if pages.is_none() && remapped.is_none() {
            return;
        }
        let (retired, waits) = pages.unwrap_or_default();
        let rows = remapped.unwrap_or_default();
        self.reading.rows = Some(Rows {
            retired,
            pending: waits || rows.pending,
            ..rows
        });
    }

    fn link(&mut self) {
        let link = self.ask("link", |device| {
            Ok(Link {
                width: device.current_pcie_link_width()?,
                width_max: device.max_pcie_link_width()?,
                generation: device.current_pcie_link_gen()?,
                generation_max: device.max_pcie_link_gen()?,
                replays: None,
            })
        });
        let replays = self.ask("link replays", Device::pcie_replay_counter);
        self.reading.link = link.map(|link| Link { replays, ..link });
    }
}

fn ecc(device: &Device<'_>) -> Result<Ecc, NvmlError> {
    let of = |counter: EccCounter| {
        Ok::<_, NvmlError>(Counters {
            corrected: device.total_ecc_errors(MemoryError::Corrected, counter)?,
            uncorrected: device.total_ecc_errors(MemoryError::Uncorrected, counter)?,
        })
    };
    Ok(Ecc {
        volatile: of(EccCounter::Volatile)?,
        aggregate: of(EccCounter::Aggregate)?,
    })
}

fn remapped(device: &Device<'_>) -> Result<Rows, NvmlError> {
    let fields = [
        field_id::NVML_FI_DEV_REMAPPED_COR,
        field_id::NVML_FI_DEV_REMAPPED_UNC,
        field_id::NVML_FI_DEV_REMAPPED_PENDING,
        field_id::NVML_FI_DEV_REMAPPED_FAILURE,
    ];
    let mut numbers = Vec::new();
    for sample in device.field_values_for(&fields.map(FieldId))? {
        numbers.push(match sample?.value? {
            SampleValue::U32(number) => u64::from(number),
            SampleValue::U64(number) => number,
            SampleValue::I64(number) => u64::try_from(number).unwrap_or(0),
            SampleValue::F64(number) => number as u64,
        });
    }
    let [corrected, uncorrected, pending, failed] = numbers[..] else {
        return Err(NvmlError::NoData);
    };
    Ok(Rows {
        retired: 0,
        remapped: corrected + uncorrected,
        pending: pending != 0,
        failed: failed != 0,
    })
}

/// Only what is a reason to look: that a device has nothing to do, or keeps to its power limit, is none.
fn throttles(reasons: ThrottleReasons) -> Vec<String> {
    [
        (
            ThrottleReasons::HW_THERMAL_SLOWDOWN,
            "heat, by the hardware",
        ),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "heat, by the driver"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "the power supply"),
        (ThrottleReasons::HW_SLOWDOWN, "the hardware"),
    ]
    .into_iter()
    .filter(|(reason, _)| reasons.contains(*reason))
    .map(|(_, name)| name.to_owned())
    .collect()
}

/// Those that compute and those that draw; one that does both is named once.
fn processes(device: &Device<'_>) -> Result<Vec<Process>, NvmlError> {
    let mut found: BTreeMap<u32, Process> = BTreeMap::new();
    let draw = device
        .running_graphics_processes()
        .or_else(|error| match error {
            NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) => Ok(Vec::new()),
            other => Err(other),
        })?;
    for one in device.running_compute_processes()?.into_iter().chain(draw) {
        found.entry(one.pid).or_insert_with(|| process(&one));
    }
    Ok(found.into_values().collect())
}

fn process(info: &ProcessInfo) -> Process {
    let (name, owner) = machine::process_of(info.pid).unzip();
    Process {
        pid: info.pid,
        name,
        owner,
        memory: match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
    }
}
