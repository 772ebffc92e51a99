//! gzip data of one or several members, one after another (RFC 1952).

use std::io::{self, BufRead, Read};

use flate2::bufread::DeflateDecoder;

use super::crc32::Crc32;

// Flags that say what follows the header.
const HEADER_CHECKSUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// Reads what was packed.
pub struct Unpacked<R> {
    at: At<R>,
    /// Of this member's data.
    crc: Crc32,
    /// This member's bytes, as many as fit a `u32`.
    size: u32,
}

/// Where in the packed data reading is.
enum At<R> {
    Header(R),
    Data(DeflateDecoder<R>),
    End,
}

impl<R: BufRead> Unpacked<R> {
    /// Reads from its next byte on.
    pub fn new(packed: R) -> Self {
        Self { at: At::Header(packed), crc: Crc32::new(), size: 0 }
    }

    /// Reads and checks what follows a member's data.
    fn trailer(&mut self, packed: &mut R) -> io::Result<()> {
        let crc: [u8; 4] = read(packed)?;
        let size: [u8; 4] = read(packed)?;
        if u32::from_le_bytes(crc) != self.crc.sum() || u32::from_le_bytes(size) != self.size {
            return Err(damaged("its checksum is another one"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.at, At::End) {
                At::Header(mut packed) => {
                    header(&mut packed)?;
                    (self.crc, self.size) = (Crc32::new(), 0);
                    self.at = At::Data(DeflateDecoder::new(packed));
                }
                At::Data(mut data) => {
                    let read = data.read(buffer);
                    if !matches!(read, Ok(0)) {
                        self.at = At::Data(data);
                        let count = read?;
                        self.crc.update(&buffer[..count]);
                        // As in the trailer: what does not fit is lost.
                        self.size = self.size.wrapping_add(count as u32);
                        return Ok(count);
                    }
                    let mut packed = data.into_inner();
                    self.trailer(&mut packed)?;
                    if !packed.fill_buf()?.is_empty() {
                        self.at = At::Header(packed);
                    }
                }
                At::End => return Ok(0),
            }
        }
    }
}

fn header(packed: &mut impl BufRead) -> io::Result<()> {
    let [first, second, method, flags, ..]: [u8; 10] = read(packed)?;
    if (first, second, method) != (0x1f, 0x8b, 8) || flags & 0xe0 != 0 {
        return Err(damaged("there is no header where one belongs"));
    }
    if flags & EXTRA != 0 {
        let length = u64::from(u16::from_le_bytes(read(packed)?));
        io::copy(&mut packed.take(length), &mut io::sink())?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            packed.skip_until(0)?;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        read::<2>(packed)?;
    }
    Ok(())
}

fn read<const COUNT: usize>(packed: &mut impl BufRead) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    packed.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the gzip data is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let builder = GzBuilder::new().filename("a").comment("b").extra(vec![1; 300]);
        let mut packer = builder.write(Vec::new(), Compression::default());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    fn unpacked(packed: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        // As little at a time as can be.
        Unpacked::new(io::BufReader::with_capacity(1, packed)).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn members_follow_each_other() {
        let both = [packed("one, "), packed(""), packed("two")].concat();
        assert_eq!(unpacked(&both).unwrap(), "one, two");
        let long = "long ".repeat(100_000);
        assert_eq!(unpacked(&packed(&long)).unwrap(), long);
    }

    #[test]
    fn what_is_cut_or_damaged_is_told() {
        let whole = packed("some text that is packed");
        for length in 0..whole.len() {
            assert!(unpacked(&whole[..length]).is_err(), "cut after {length}");
        }
        let crc = whole.len() - 8;
        for (at, what) in [(0, "no header"), (2, "no header"), (crc, "checksum"), (crc + 4, "checksum")] {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            assert!(unpacked(&wrong).unwrap_err().to_string().contains(what), "{at}");
        }
        let more = [whole, b"more".to_vec()].concat();
        assert!(unpacked(&more).is_err());
    }
}
