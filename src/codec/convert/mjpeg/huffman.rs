//! Whether the data of a scan holds all blocks of the picture: its Huffman codes are read, and nothing is made of them (ITU-T T.81,
//! annex F). For images of which the decoder warns: it tells of the first flaw only, which may be a harmless one before damage.

use super::markers::{Flaw, Markers};

/// Bytes behind the last block of an interval that are no harm, if they are not all alike: webcams leave a few.
const STRAY: usize = 32;

/// Codes up to this long are looked up, longer ones computed.
const LOOKUP: u32 = 9;

const TOO_SHORT: Flaw = "a part of its data is missing";
const TOO_LONG: Flaw = "a part of its data is damaged";
const BAD_CODE: Flaw = "its data is damaged";

/// One Huffman table.
struct HuffmanTable<'a> {
    /// The length of the code and its symbol, by the next nine bits; 0 where the code is longer.
    short: [(u8, u8); 1 << LOOKUP],
    /// For each length of a code, the first code of the next length, left-aligned in 16 bits, and what leads from a code to its symbol.
    limits: [(u32, i32); 17],
    symbols: &'a [u8],
}

impl<'a> HuffmanTable<'a> {
    /// From the numbers of codes of each length, and the symbols.
    fn new(definition: &'a [u8]) -> Result<Self, Flaw> {
        let (counts, symbols) = definition.split_first_chunk::<16>().ok_or(BAD_CODE)?;
        let mut table = Self {
            short: [(0, 0); 1 << LOOKUP],
            limits: [(0, 0); 17],
            symbols,
        };
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            let first = code;
            let offset = index as i32 - first as i32;
            for _ in 0..count {
                let symbol = *symbols.get(index).ok_or(BAD_CODE)?;
                if length <= LOOKUP {
                    let from = (code << (LOOKUP - length)) as usize;
                    let codes = table.short.get_mut(from..from + (1 << (LOOKUP - length)));
                    codes.ok_or(BAD_CODE)?.fill((length as u8, symbol));
                }
                (code, index) = (code + 1, index + 1);
            }
            if code > 1 << length {
                return Err("a Huffman table is damaged");
            }
            table.limits[length as usize] = (code << (16 - length), offset);
            code <<= 1;
        }
        Ok(table)
    }
}

/// The data of one interval, bit by bit.
struct ScanBits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the highest on.
    buffer: u64,
    left: u32,
}

impl<'a> ScanBits<'a> {
    const fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            buffer: 0,
            left: 0,
        }
    }

    /// Takes bytes in up to the next marker, as many as there is room for.
    fn fill(&mut self) {
        while self.left <= 56
            && let Some(&byte) = self.data.get(self.at)
        {
            if byte == 0xff {
                match self.data.get(self.at + 1) {
                    Some(0) => self.at += 1,
                    // A fill byte, or a marker.
                    _ => return,
                }
            }
            self.at += 1;
            self.buffer |= u64::from(byte) << (56 - self.left);
            self.left += 8;
        }
    }

    fn skip(&mut self, bits: u32) -> Result<(), Flaw> {
        if bits > self.left {
            return Err(TOO_SHORT);
        }
        self.buffer <<= bits;
        self.left -= bits;
        Ok(())
    }

    /// Reads a code, and skips as many bits more as the low half of its symbol says.
    fn symbol(&mut self, table: &HuffmanTable<'_>) -> Result<u8, Flaw> {
        if self.left < 32 {
            self.fill();
        }
        let (length, symbol) = table.short[(self.buffer >> (64 - LOOKUP)) as usize];
        let (length, symbol) = match length {
            0 => self.long(table)?,
            _ => (u32::from(length), symbol),
        };
        self.skip(length + u32::from(symbol & 15))?;
        Ok(symbol)
    }

    fn long(&self, table: &HuffmanTable<'_>) -> Result<(u32, u8), Flaw> {
        let code = (self.buffer >> 48) as u32;
        let lengths = (LOOKUP + 1..=16).zip(&table.limits[LOOKUP as usize + 1..]);
        for (length, &(limit, offset)) in lengths {
            if code < limit {
                let index = (code >> (16 - length)) as i32 + offset;
                let index = usize::try_from(index).map_err(|_| BAD_CODE)?;
                return Ok((length, *table.symbols.get(index).ok_or(BAD_CODE)?));
            }
        }
        Err(if self.left < 16 { TOO_SHORT } else { BAD_CODE })
    }

    fn block(&mut self, dc: &HuffmanTable<'_>, ac: &HuffmanTable<'_>) -> Result<(), Flaw> {
        if self.symbol(dc)? > 15 {
            return Err(BAD_CODE);
        }
        let mut coefficient = 1;
        while coefficient < 64 {
            let symbol = self.symbol(ac)?;
            match (symbol >> 4, symbol & 15) {
                (0, 0) => return Ok(()),
                (15, 0) => coefficient += 16,
                (run, _) => coefficient += 1 + usize::from(run),
            }
        }
        if coefficient > 64 {
            Err(BAD_CODE)
        } else {
            Ok(())
        }
    }

    /// Goes behind the next marker, over what is left in front of it.
    fn finish(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        let end = loop {
            match self.data.get(self.at..) {
                Some([0xff, code, ..]) if !matches!(code, 0 | 0xff) => break self.at,
                Some([_, ..]) => self.at += 1,
                _ => break self.data.len(),
            }
        };
        let rest = &self.data[start..end];
        let is_padding =
            rest.iter().all(|byte| *byte == 0) || rest.iter().all(|byte| *byte == 0xff);
        let stray = rest.len() + self.left as usize / 8;
        (self.at, self.buffer, self.left) = (end + 2, 0, 0);
        if stray > STRAY && !is_padding {
            return Err(TOO_LONG);
        }
        Ok(())
    }
}

/// Reads the image's one scan through.
///
/// # Errors
/// The part that is missing or damaged.
pub(super) fn check(image: &[u8], markers: &Markers) -> Result<(), Flaw> {
    let scan = &markers.scan;
    if !markers.is_sequential || scan.count != markers.count {
        return Err("it is not coded as cameras do, and the decoder warns of it");
    }
    let mut tables: [Option<HuffmanTable<'_>>; 8] = Default::default();
    // Of each block of a unit, its tables.
    let mut blocks = [(0, 0); 64];
    let mut count = 0;
    for &(place, dc, ac) in &scan.components[..scan.count] {
        for id in [dc, ac] {
            if tables[id].is_none() {
                let given = markers.huffman[id]
                    .as_ref()
                    .and_then(|at| image.get(at.clone()));
                let definition = given.or(DEFAULT.get(id).copied().flatten());
                tables[id] = Some(HuffmanTable::new(
                    definition.ok_or("it lacks a Huffman table")?,
                )?);
            }
        }
        let component = markers.components[place];
        let of_unit = match scan.count {
            1 => 1,
            _ => component.across * component.down,
        };
        blocks[count..count + of_unit].fill((dc, ac));
        count += of_unit;
    }
    let mut bits = ScanBits::new(&image[scan.data.clone()]);
    let mut units = scan.units;
    while units > 0 {
        let until = match scan.interval {
            0 => 0,
            interval => units.saturating_sub(interval),
        };
        while units > until {
            for &(dc, ac) in &blocks[..count] {
                let (Some(dc), Some(ac)) = (&tables[dc], &tables[ac]) else {
                    return Err(BAD_CODE);
                };
                bits.block(dc, ac)?;
            }
            units -= 1;
        }
        bits.finish()?;
    }
    Ok(())
}

/// The tables that Motion JPEG implies: those for luma and chroma of T.81, annex K.3.
const DEFAULT: [Option<&[u8]>; 8] = [
    Some(&DC_LUMA),
    Some(&DC_CHROMA),
    None,
    None,
    Some(&AC_LUMA),
    Some(&AC_CHROMA),
    None,
    None,
];

const DC_LUMA: [u8; 28] = [
    0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
];

const DC_CHROMA: [u8; 28] = [
    0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
];

#[rustfmt::skip]
const AC_LUMA: [u8; 178] = [
    0x00, 0x02, 0x01, 0x03, 0x03, 0x02, 0x04, 0x03, 0x05, 0x05, 0x04, 0x04, 0x00, 0x00, 0x01, 0x7d,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];

#[rustfmt::skip]
const AC_CHROMA: [u8; 178] = [
    0x00, 0x02, 0x01, 0x02, 0x04, 0x04, 0x03, 0x04, 0x07, 0x05, 0x04, 0x04, 0x00, 0x01, 0x02, 0x77,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
    0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
    0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
    0xf9, 0xfa,
];
