//! Xid errors: what the driver wrote into the kernel's log about a device, as `NVRM: Xid (PCI:0000:65:00): 79, …`.

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xid {
    /// The message's number in the log; 0 where it has none.
    pub sequence: u64,
    /// Where the device sits, as the driver writes it: 0000:65:00.
    pub bus: String,
    /// Which error.
    pub code: u32,
    /// What the driver says of it.
    pub text: String,
}

/// Those in records of `/dev/kmsg` (Linux, Documentation/ABI/testing/dev-kmsg), or in plain lines.
pub fn parse(log: &str) -> Vec<Xid> {
    log.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Xid> {
    let (_, behind) = line.split_once("NVRM: Xid (PCI:")?;
    let (bus, behind) = behind.split_once("): ")?;
    let digits = behind
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(behind.len());
    let (code, text) = behind.split_at(digits);
    let sequence = line
        .split_once(';')
        .and_then(|(head, _)| head.split(',').nth(1)?.parse().ok());
    Some(Xid {
        sequence: sequence.unwrap_or(0),
        bus: bus.to_ascii_lowercase(),
        code: code.parse().ok()?,
        text: text.trim_start_matches([',', ' ']).to_owned(),
    })
}

impl Xid {
    /// True when it is about the device at this place, as the library writes it: 00000000:65:00.0.
    pub fn is_at(&self, bus: &str) -> bool {
        let bus = bus.to_ascii_lowercase();
        let bus = bus.strip_suffix(".0").unwrap_or(&bus);
        bus.trim_start_matches('0') == self.bus.trim_start_matches('0')
    }

    /// True where the device itself is at fault, and not a program on it (NVIDIA, "XID Errors": 13, 31, 43, 45 and 68 are those
    /// of programs, 63 and 92 tell of errors that were put right).
    pub fn is_grave(&self) -> bool {
        !matches!(self.code, 13 | 31 | 43 | 45 | 63 | 68 | 92)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_in_the_kernels_log() {
        let log = "6,1200,500000,-;eth0: link up\n\
            4,1201,600000,-;NVRM: Xid (PCI:0000:65:00): 79, pid=1234, GPU has fallen off the bus.\n\
            SUBSYSTEM=pci\n\
            [ 12.5] NVRM: Xid (PCI:0000:B3:00): 31, pid=7, name=python, MMU Fault\n\
            4,1203,600002,-;NVRM: Xid (PCI:0000:65:00): , nothing\n\
            4,1204,600002,-;NVRM: Xid (PCI:0000:65:00\n";
        let found = parse(log);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            (found[0].sequence, found[0].code, found[0].is_grave()),
            (1201, 79, true)
        );
        assert_eq!(found[0].text, "pid=1234, GPU has fallen off the bus.");
        assert!(found[0].is_at("00000000:65:00.0") && !found[0].is_at("00000000:66:00.0"));
        assert!(found[1].is_at("00000000:B3:00.0") && !found[1].is_grave());
    }
}
