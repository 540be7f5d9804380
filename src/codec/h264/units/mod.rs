//! A camera's buffers become access units that can be sent on: whole, in order, and decodable from their first on.

use super::nal;
use super::parameters::{ParameterSets, Sequence, Slice, Unusable, begins_unit};
use bytes::{BufMut, Bytes, BytesMut};
use std::time::{Duration, Instant};

/// Keyframes in a row between which something was missing, after which the stream is given up.
const MAX_DAMAGED: u32 = 5;

/// From one that counts to the next, at the least: after a loss keyframes are asked for, and come much sooner than by themselves.
const DAMAGED_GAP: Duration = Duration::from_secs(3);

/// One picture and what belongs to it.
#[derive(Debug, Clone)]
pub struct Unit {
    /// NAL units with start codes; those of a keyframe begin with every parameter set.
    pub data: Bytes,
    /// It is an IDR picture.
    pub keyframe: bool,
    /// The contents of its sequence parameter set.
    pub sequence: Sequence,
}

/// Cuts buffers into access units.
///
/// V4L2 hands a whole number of access units over in each buffer (`V4L2_PIX_FMT_H264`), so the end of a buffer is the
/// end of one, and none waits for the next buffer. Parameter sets may come in buffers of their own.
#[derive(Default)]
pub struct Units {
    sets: ParameterSets,
    /// `frame_num` of the last reference picture; `None` until an IDR picture has come, and after something was lost:
    /// then pictures are left out up to the next.
    reference: Option<u32>,
    /// Something was lost since the last keyframe.
    is_damaged: bool,
    damaged_in_a_row: u32,
    /// When the last of those came.
    damaged_at: Option<Instant>,
    left_out: u64,
}

impl Units {
    /// Cuts a buffer that came at `now`, which is copied once, and hands each unit to `take`.
    ///
    /// # Errors
    /// When the stream can't be passed through; what follows won't be any better.
    pub fn cut(
        &mut self,
        now: Instant,
        buffer: &[u8],
        mut take: impl FnMut(Unit),
    ) -> Result<(), Unusable> {
        let mut group = Vec::new();
        let mut picture: Option<Slice> = None;
        for unit in nal::units(buffer) {
            let kind = nal::kind(unit);
            let mut slice = None;
            let taken = match kind {
                nal::SLICE | nal::IDR => self.sets.slice(unit).map(|found| slice = found),
                nal::SPS => self.sets.sequence(unit),
                nal::PPS => self.sets.picture(unit),
                _ => Ok(()),
            };
            match taken {
                // It was well until now, so it may be again.
                Err(Unusable::Malformed(_)) if self.sets.all().next().is_some() => self.lost(),
                other => other?,
            }
            let begins = match slice {
                Some(slice) => slice.first_macroblock == 0,
                None => begins_unit(kind),
            };
            if begins && picture.is_some() {
                self.finish(now, &group, picture.take(), &mut take)?;
                group.clear();
            }
            picture = picture.or(slice);
            group.push(unit);
        }
        self.finish(now, &group, picture, &mut take)
    }

    /// A buffer was lost or damaged: nothing up to the next keyframe can be decoded.
    pub fn lost(&mut self) {
        self.reference = None;
        self.is_damaged = true;
    }

    /// Pictures that were left out since the last call.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    fn finish(
        &mut self,
        now: Instant,
        group: &[&[u8]],
        picture: Option<Slice>,
        take: &mut impl FnMut(Unit),
    ) -> Result<(), Unusable> {
        let is_slice = |unit: &&&[u8]| matches!(nal::kind(unit), nal::SLICE | nal::IDR);
        let Some(first) = group.iter().find(is_slice) else {
            return Ok(());
        };
        let keyframe = nal::kind(first) == nal::IDR;
        // Without a head that can be read, or without its beginning, it is as good as lost.
        let Some(slice) = picture.filter(|slice| slice.first_macroblock == 0) else {
            self.lost();
            self.left_out += 1;
            return Ok(());
        };
        if keyframe {
            self.count_damage(now)?;
        } else {
            let known = self.reference;
            if !known.is_some_and(|known| slice.sequence.follows(slice.number, known)) {
                if known.is_some() {
                    self.lost();
                }
                self.left_out += 1;
                return Ok(());
            }
        }
        if keyframe || nal::is_reference(first) {
            self.reference = Some(slice.number);
        }
        take(Unit {
            data: self.join(group, keyframe),
            keyframe,
            sequence: slice.sequence,
        });
        Ok(())
    }

    fn count_damage(&mut self, now: Instant) -> Result<(), Unusable> {
        if !std::mem::take(&mut self.is_damaged) {
            self.damaged_in_a_row = 0;
            self.damaged_at = None;
            return Ok(());
        }
        let is_soon = |at| now.saturating_duration_since(at) < DAMAGED_GAP;
        if self.damaged_at.is_some_and(is_soon) {
            return Ok(());
        }
        self.damaged_at = Some(now);
        self.damaged_in_a_row += 1;
        if self.damaged_in_a_row >= MAX_DAMAGED {
            return Err(Unusable::Damaged);
        }
        Ok(())
    }

    /// The units of an access unit behind start codes, without those that RTP has no use for. A keyframe has all
    /// parameter sets before it.
    fn join(&self, group: &[&[u8]], keyframe: bool) -> Bytes {
        let sets = self.sets.all().take(if keyframe { usize::MAX } else { 0 });
        let is_wanted = |kind| match kind {
            nal::SLICE | nal::IDR | nal::SEI => true,
            nal::SPS | nal::PPS => !keyframe,
            _ => false,
        };
        let own = group.iter().copied();
        let units = sets.chain(own.filter(|unit| is_wanted(nal::kind(unit))));
        let len = units
            .clone()
            .map(|unit| 1 + nal::START_CODE.len() + unit.len())
            .sum();
        let mut data = BytesMut::with_capacity(len);
        for unit in units {
            data.put_u8(0);
            data.put_slice(&nal::START_CODE);
            data.put_slice(unit);
        }
        data.freeze()
    }
}

#[cfg(test)]
mod tests;
