//! The markers of a JPEG image (ITU-T T.81, annex B): what the picture is, where its data is, and whether a part is missing that
//! markers tell of. Linear in the image's length, nothing is allocated.

use crate::media::Size;
use memchr::{memchr, memmem};
use std::ops::Range;

/// The reason for which an image is unusable, as the end of a sentence.
pub(super) type Flaw = &'static str;

const CUT_OFF: Flaw = "it is cut off";

/// So many zeros one after the other are no picture: cameras fill the rest of a buffer, or a part that was lost, with them.
const HOLE: [u8; 64] = [0; 64];

/// Zeros at the end of a scan that may still be picture.
const ZEROS_KEPT: usize = 2;

/// A colour component of the picture.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Component {
    id: u8,
    /// Sampling factors, 1 to 4.
    pub across: usize,
    pub down: usize,
}

/// The last scan, with all that it needs to be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    /// Of each component, its place among the picture's, and its Huffman tables for DC and AC.
    pub components: [(usize, usize, usize); 4],
    pub count: usize,
    /// The data, without padding.
    pub data: Range<usize>,
    /// MCUs in it.
    pub units: usize,
    /// MCUs from one restart marker to the next; 0 without them.
    pub interval: usize,
}

/// The contents of an image's markers.
#[derive(Debug, Clone, Default)]
pub(super) struct Markers {
    pub size: Size,
    pub components: [Component; 4],
    pub count: usize,
    /// Baseline or extended sequential, Huffman coding: what cameras make.
    pub is_sequential: bool,
    /// Where the image has the definition of each Huffman table: those for DC, then those for AC. The default ones are implied where
    /// there is none.
    pub huffman: [Option<Range<usize>>; 8],
    pub scan: Scan,
    interval: usize,
    /// Components that a scan had.
    seen: [bool; 4],
    /// Where the image ends: in front of its end marker, if `has_end`.
    pub end: usize,
    pub has_end: bool,
    /// Bytes that have to be others, for the decoder to take it as it is meant.
    pub mends: [Option<(usize, u8)>; 4],
}

impl Markers {
    /// Reads an image that begins with its start marker.
    ///
    /// # Errors
    /// A part of it is missing or damaged, or it is of a kind that no camera makes.
    pub(super) fn read(image: &[u8]) -> Result<Self, Flaw> {
        if !image.starts_with(&[0xff, 0xd8]) {
            return Err("it has no start");
        }
        let mut markers = Self::default();
        let mut at = 2;
        loop {
            let Some(code_at) = next_marker(image, at) else {
                return markers.ended(at.min(image.len()), false);
            };
            let code = image[code_at];
            let segment = code_at + 1;
            match code {
                0xd9 => return markers.ended(code_at - 1, true),
                0xd8 | 0x01 | 0xd0..=0xd7 => return Err("a marker is out of place"),
                _ => {}
            }
            let Some(next) = segment_end(image, segment) else {
                return markers.ended(code_at - 1, false);
            };
            let body = segment + 2..next;
            match code {
                0xc0..=0xc2 => markers.frame(image, body, code != 0xc2)?,
                0xc4 => markers.tables(image, body)?,
                // Lossless, hierarchical or arithmetic coding.
                0xc3 | 0xc5..=0xcf => return Err("it is coded in a way that is not supported"),
                0xdd => {
                    let interval = image[body].first_chunk::<2>().ok_or(CUT_OFF)?;
                    markers.interval = u16::from_be_bytes(*interval).into();
                }
                0xe0 => markers.application(image, body),
                0xda => {
                    markers.scan(image, body)?;
                    if markers.is_sequential && markers.scan.count == markers.count {
                        return markers.ended_with_scan(image);
                    }
                    at = markers.scan.data.end;
                    continue;
                }
                _ => {}
            }
            at = next;
        }
    }

    /// Start of frame.
    fn frame(&mut self, image: &[u8], body: Range<usize>, is_sequential: bool) -> Result<(), Flaw> {
        let body = &image[body];
        let [precision, h1, h0, w1, w0, count] = *body.first_chunk().ok_or(CUT_OFF)?;
        if self.count > 0 {
            return Err("it has two frames");
        }
        if precision != 8 {
            return Err("its samples have more than 8 bits");
        }
        let side = |high, low| u16::from_be_bytes([high, low]).into();
        self.size = Size::new(side(w1, w0), side(h1, h0));
        self.is_sequential = is_sequential;
        self.count = count.into();
        if self.size.pixels() == 0 || !matches!(count, 1 | 3 | 4) {
            return Err("it has no picture");
        }
        let parts = body[6..].as_chunks::<3>().0;
        if parts.len() < self.count {
            return Err(CUT_OFF);
        }
        for (component, [id, factors, _]) in self.components.iter_mut().zip(parts).take(self.count)
        {
            let (across, down) = (factors >> 4, factors & 15);
            if !matches!((across, down), (1..=4, 1..=4)) {
                return Err("its sampling factors are out of range");
            }
            *component = Component {
                id: *id,
                across: across.into(),
                down: down.into(),
            };
        }
        Ok(())
    }

    /// Huffman tables.
    fn tables(&mut self, image: &[u8], body: Range<usize>) -> Result<(), Flaw> {
        let mut at = body.start;
        while at < body.end {
            let counts = image[at + 1..body.end].first_chunk::<16>().ok_or(CUT_OFF)?;
            let (class, id) = (image[at] >> 4, image[at] & 15);
            let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let table = at + 1..at + 17 + symbols;
            if class > 1 || id > 3 || symbols > 256 || table.end > body.end {
                return Err("a Huffman table is damaged");
            }
            at = table.end;
            self.huffman[usize::from(4 * class + id)] = Some(table);
        }
        Ok(())
    }

    /// JFIF of another major version than 1 differs in nothing that is needed here, and the decoder warns of it.
    fn application(&mut self, image: &[u8], body: Range<usize>) {
        let major = image[body.clone()]
            .strip_prefix(b"JFIF\0")
            .and_then(<[u8]>::first);
        if major.is_some_and(|major| *major != 1) {
            self.mends[0] = Some((body.start + 5, 1));
        }
    }

    /// Start of scan, and its data.
    fn scan(&mut self, image: &[u8], body: Range<usize>) -> Result<(), Flaw> {
        let header = &image[body.clone()];
        let count = usize::from(*header.first().ok_or(CUT_OFF)?);
        if !(1..=self.count).contains(&count) || header.len() < 1 + 2 * count + 3 {
            return Err("a scan is damaged");
        }
        let mut scan = Scan {
            count,
            interval: self.interval,
            ..Scan::default()
        };
        let parts = header[1..].as_chunks::<2>().0;
        for (entry, [id, tables]) in scan.components.iter_mut().zip(parts).take(count) {
            let mut known = self.components[..self.count].iter();
            let place = known.position(|component| component.id == *id);
            let place = place.ok_or("a scan is damaged")?;
            self.seen[place] = true;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 {
                return Err("a scan is damaged");
            }
            *entry = (place, dc, 4 + ac);
        }
        if self.is_sequential {
            // Some cameras leave the parameters at 0 that mean something in progressive scans only.
            let parameters = body.start + 1 + 2 * count;
            for ((mend, at), meant) in self.mends[1..].iter_mut().zip(parameters..).zip([0, 63, 0])
            {
                *mend = (image[at] != meant).then_some((at, meant));
            }
        }
        scan.units = self.units(&scan);
        let (end, restarts, trailing) = scan_end(image, body.end)?;
        scan.data = body.end..end;
        let expected = match scan.interval {
            0 => 0,
            interval => scan.units.div_ceil(interval) - 1,
        };
        // Some encoders put one more behind the last unit.
        if restarts != expected && !(trailing && restarts == expected + 1 && expected > 0) {
            return Err("restart markers are missing");
        }
        // A block takes two bits at the least. What is allocated for the picture is bounded by that.
        let blocks = scan.units.saturating_mul(self.blocks(&scan));
        if self.is_sequential && scan.data.len().saturating_mul(4) < blocks {
            return Err(CUT_OFF);
        }
        self.scan = scan;
        Ok(())
    }

    /// Blocks in each MCU.
    pub(super) fn blocks(&self, scan: &Scan) -> usize {
        let of = |&(place, ..): &(usize, usize, usize)| {
            let component = self.components[place];
            component.across * component.down
        };
        match scan.count {
            1 => 1,
            count => scan.components[..count].iter().map(of).sum(),
        }
    }

    /// MCUs in a scan (A.2).
    fn units(&self, scan: &Scan) -> usize {
        let most = |factor: fn(&Component) -> usize| {
            let factors = self.components[..self.count].iter().map(factor);
            factors.max().unwrap_or(1)
        };
        let (across, down) = (most(|one| one.across), most(|one| one.down));
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        if scan.count > 1 {
            return width.div_ceil(8 * across) * height.div_ceil(8 * down);
        }
        let own = self.components[scan.components[0].0];
        let width = (width * own.across).div_ceil(across);
        let height = (height * own.down).div_ceil(down);
        width.div_ceil(8) * height.div_ceil(8)
    }

    /// The one scan of what cameras make is there: whatever follows it is no picture. Padding is cut off.
    fn ended_with_scan(mut self, image: &[u8]) -> Result<Self, Flaw> {
        let end = self.scan.data.end;
        let has_end = image[end..].starts_with(&[0xff, 0xd9]);
        if !self.zeros_are_picture(image) {
            let data = &image[self.scan.data.clone()];
            let zeros = data.iter().rev().take_while(|byte| **byte == 0).count();
            self.scan.data.end -= zeros.saturating_sub(ZEROS_KEPT);
            if memmem::find(&image[self.scan.data.clone()], &HOLE).is_some() {
                return Err("it has a hole");
            }
        }
        self.has_end = has_end && self.scan.data.end == end;
        self.end = self.scan.data.end;
        Ok(self)
    }

    /// Whether zeros alone stand for blocks of one colour: by a table that was made for the picture they may.
    fn zeros_are_picture(&self, image: &[u8]) -> bool {
        let (_, _, ac) = self.scan.components[0];
        let first = self.huffman[ac]
            .as_ref()
            .and_then(|table| image.get(table.start + 16));
        // The first symbol has the code of zeros. 0 is the end of a block.
        first == Some(&0)
    }

    fn ended(mut self, end: usize, has_end: bool) -> Result<Self, Flaw> {
        // Which scan of a progressive image is the last, only the end marker tells.
        let is_whole = self.count > 0
            && self.seen[..self.count].iter().all(|seen| *seen)
            && (has_end || self.is_sequential);
        (self.end, self.has_end) = (end, has_end);
        if is_whole { Ok(self) } else { Err(CUT_OFF) }
    }
}

/// Where the code of the next marker is, at or behind a place. Bytes between segments are skipped.
fn next_marker(image: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(0xff, image.get(at..)?)? + 1;
        match image.get(at)? {
            0 => at += 1,
            // Any number of them may precede a marker.
            0xff => {}
            _ => return Some(at),
        }
    }
}

/// Behind the segment whose length is at a place.
fn segment_end(image: &[u8], at: usize) -> Option<usize> {
    let len = u16::from_be_bytes(*image.get(at..)?.first_chunk()?);
    let end = at + usize::from(len.max(2));
    (end <= image.len()).then_some(end)
}

/// Where the data of a scan ends, how many restart markers it has, and whether nothing but padding follows the last one.
fn scan_end(image: &[u8], start: usize) -> Result<(usize, usize, bool), Flaw> {
    let (mut restarts, mut at, mut last) = (0, start, start);
    let end = loop {
        let Some(found) = memchr(0xff, &image[at..]) else {
            break image.len();
        };
        at += found;
        match image.get(at + 1) {
            Some(0) => at += 2,
            Some(0xff) => at += 1,
            Some(code @ 0xd0..=0xd7) => {
                if usize::from(code & 7) != restarts % 8 {
                    return Err("restart markers are missing");
                }
                restarts += 1;
                at += 2;
                last = at;
            }
            _ => break at,
        }
    };
    let trailing = image[last..end].iter().all(|byte| matches!(byte, 0 | 0xff));
    Ok((end, restarts, trailing))
}
