//! The value of a `Swap` setting: whether an area is in use, how large its file is, and its priority.

use std::fmt;

/// A swap area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapArea {
    /// The kernel uses it; otherwise it is a swap file that lies there unused.
    pub on: bool,
    /// The length of its file in bytes; none for a device.
    pub size: Option<u64>,
    /// A priority that was asked for, 0 to 32767; none: the kernel chooses.
    pub priority: Option<u16>,
}

impl fmt::Display for SwapArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.on { "on" } else { "off" })?;
        if let Some(size) = self.size {
            write!(f, " size={size}")?;
        }
        if let Some(priority) = self.priority {
            write!(f, " priority={priority}")?;
        }
        Ok(())
    }
}

impl SwapArea {
    /// Reads `on|off [size=BYTES] [priority=N]`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let on = match words.next()? {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        let mut area = Self { on, size: None, priority: None };
        for word in words {
            match word.split_once('=')? {
                ("size", bytes) => area.size = Some(bytes.parse().ok()?),
                ("priority", number) => area.priority = Some(number.parse().ok()?),
                _ => return None,
            }
        }
        Some(area)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_back() {
        for value in ["on", "off size=4096", "on size=1073741824 priority=5", "on priority=0"] {
            assert_eq!(SwapArea::parse(value).unwrap().to_string(), value);
        }
        for wrong in ["", "ON", "on size", "on size=x", "on priority=-1", "on colour=red"] {
            assert_eq!(SwapArea::parse(wrong), None, "{wrong}");
        }
    }
}
