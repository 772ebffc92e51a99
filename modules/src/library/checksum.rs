//! Checksums as publishers of files give them: `sha256:HEX`.

use std::io::{self, Read};

use cm_wire::Value;
use sha2::Digest as _;

use crate::{Kind, Param};

/// How a checksum is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA-1: shows damage, not malice.
    Sha1,
    /// MD5: shows damage, not malice.
    Md5,
}

/// Name and length in hexadecimal digits.
const ALGORITHMS: [(Algorithm, &str, usize); 4] = [
    (Algorithm::Sha256, "sha256", 64),
    (Algorithm::Sha512, "sha512", 128),
    (Algorithm::Sha1, "sha1", 40),
    (Algorithm::Md5, "md5", 32),
];

/// A checksum with its algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    /// In lower case.
    hex: String,
}

impl Param for Checksum {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value) -> Result<Self, String> {
        Self::parse(&String::read(value)?)
    }
}

impl Checksum {
    /// Reads `sha256:HEX`.
    ///
    /// # Errors
    /// A fragment that says what is wanted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((name, hex)) = text.split_once(':') else {
            let bare = ALGORITHMS.iter().find(|(.., digits)| {
                text.len() == *digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            return Err(match bare {
                Some((_, name, _)) => format!("wants the algorithm before it: \"{name}:{text}\""),
                None => format!("wants a checksum such as \"sha256:HEX\", not {text:?}"),
            });
        };
        let known = ALGORITHMS.iter().find(|(_, known, _)| name.eq_ignore_ascii_case(known));
        let Some(&(algorithm, name, digits)) = known else {
            return Err(format!("knows sha256, sha512, sha1 and md5, not {name:?}"));
        };
        if hex.len() != digits || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("wants {digits} hexadecimal digits for {name}, not {hex:?}"));
        }
        Ok(Self { algorithm, hex: hex.to_ascii_lowercase() })
    }

    /// The whole, as it is written.
    pub fn show(&self) -> String {
        format!("{}:{}", self.name(), self.hex)
    }

    /// Enough for a person to tell two apart.
    pub fn short(&self) -> String {
        format!("{}:{}", self.name(), &self.hex[..12])
    }

    fn name(&self) -> &'static str {
        // Every algorithm is in the list.
        ALGORITHMS.iter().find(|(known, ..)| *known == self.algorithm).map_or("", |(_, name, _)| name)
    }

    /// The checksum by the same algorithm of what can be read.
    ///
    /// # Errors
    /// What reading returns.
    pub fn of_same_kind(&self, mut reader: impl Read) -> io::Result<Self> {
        let mut taking = Taking::new(self.algorithm);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self { algorithm: self.algorithm, hex: taking.finish() }),
                Ok(count) => taking.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A checksum being taken.
enum Taking {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Sha1(sha1::Sha1),
    Md5(md5::Context),
}

impl Taking {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
            Algorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            Algorithm::Md5 => Self::Md5(md5::Context::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(taking) => taking.update(bytes),
            Self::Sha512(taking) => taking.update(bytes),
            Self::Sha1(taking) => taking.update(bytes),
            Self::Md5(taking) => taking.consume(bytes),
        }
    }

    fn finish(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(taking) => hex(&taking.finalize()),
            Self::Sha512(taking) => hex(&taking.finalize()),
            Self::Sha1(taking) => hex(&taking.finalize()),
            Self::Md5(taking) => hex(&taking.finalize().0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_every_kind_are_read_and_taken() {
        // FIPS 180-4's and RFC 1321's test vectors of "abc".
        for known in [
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "SHA1:A9993E364706816ABA3E25717850C26C9CD0D89D",
            "md5:900150983cd24fb0d6963f7d28e17f72",
        ] {
            let checksum = Checksum::parse(known).unwrap();
            assert_eq!(checksum.show(), known.to_ascii_lowercase());
            assert_eq!(checksum.of_same_kind(&b"abc"[..]).unwrap(), checksum);
            assert_ne!(checksum.of_same_kind(&b"abd"[..]).unwrap(), checksum);
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused_with_what_was_meant() {
        let error = |text: &str| Checksum::parse(text).unwrap_err();
        assert!(error("900150983cd24fb0d6963f7d28e17f72").contains("\"md5:9001"));
        assert!(error("sha3:00").contains("knows sha256"));
        assert!(error("sha256:00").contains("64 hexadecimal digits"));
        assert!(error("latest").contains("such as \"sha256:HEX\""));
    }
}
