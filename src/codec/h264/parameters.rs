//! Parameter sets: what a stream is, whether WebRTC can carry it, and the sets themselves, kept to be repeated.

use super::nal;
use crate::media::{Profile, ProfileLevelId, Size};
use h264_reader::Context;
use h264_reader::nal::pps::PicParameterSet;
use h264_reader::nal::sps::{FrameMbsFlags, SeqParameterSet};
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Longer sets are refused: with every scaling list there is, one has 500 bytes.
const MAX_SET: usize = 1024;

/// The reason for which a stream can't be passed through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// B-pictures, or the announcement of such.
    #[error(
        "its pictures are sent in another order than they are shown in (B-frames), which WebRTC does not support"
    )]
    Reordered,
    /// Fields, or frames that may consist of such.
    #[error("it is interlaced")]
    Interlaced,
    /// A profile that browsers don't play.
    #[error("browsers do not play its profile {0}")]
    Profile(ProfileLevelId),
    /// Slice groups or redundant slices, which only the unconstrained Baseline profile has.
    #[error(
        "it uses parts of the Baseline profile that browsers don't support (slice groups or redundant slices)"
    )]
    Baseline,
    /// A parameter set that makes no sense.
    #[error("its parameter sets can't be read: {0}")]
    Malformed(String),
    /// Pictures are missing, again and again.
    #[error("parts of it are missing repeatedly")]
    Damaged,
    /// There are no IDR pictures, or too rarely.
    #[error("it has no keyframe (IDR picture) within {0} s, so no viewer could start")]
    NoKeyframe(u64),
}

/// The properties of the pictures in a sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Profile and level, as SDP is to name them.
    pub profile: ProfileLevelId,
    /// After cropping, in pixels.
    pub size: Size,
    /// `frame_num` counts modulo two to this power.
    log2_max_frame_num: u8,
    /// `frame_num` may leave numbers out.
    has_gaps: bool,
}

/// The part of a slice header that is of use here (ITU-T H.264, 7.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    /// The first macroblock's address: 0 in the first slice of a picture. In the profiles that are let through, slices
    /// are in order and none is redundant, so that no other slice has 0 (7.4.1.2.4).
    pub first_macroblock: u32,
    /// `frame_num`.
    pub number: u32,
    /// The sequence parameter set that it refers to.
    pub sequence: Sequence,
}

/// The sets of a stream by their numbers, of which the standard has 32 and 256.
#[derive(Default)]
pub(super) struct ParameterSets {
    context: Context,
    sequences: BTreeMap<u8, (Box<[u8]>, Sequence)>,
    /// With the number of the sequence parameter set.
    pictures: BTreeMap<u8, (Box<[u8]>, u8)>,
}

type Bits<'a> = BitReader<ByteReader<&'a [u8]>>;

fn bits(unit: &[u8]) -> Bits<'_> {
    BitReader::new(ByteReader::skipping_h264_header(unit))
}

fn malformed(error: impl Debug) -> Unusable {
    Unusable::Malformed(format!("{error:?}"))
}

impl ParameterSets {
    /// Takes in a sequence parameter set.
    pub fn sequence(&mut self, unit: &[u8]) -> Result<(), Unusable> {
        if self.sequences.values().any(|(known, _)| **known == *unit) {
            return Ok(());
        }
        if unit.len() > MAX_SET {
            return Err(malformed("a set is too long"));
        }
        let parsed = SeqParameterSet::from_bits(bits(unit)).map_err(malformed)?;
        let sequence = examine(&parsed)?;
        let id = parsed.seq_parameter_set_id.id();
        self.context.put_seq_param_set(parsed);
        self.sequences.insert(id, (unit.into(), sequence));
        // They were written for another.
        self.pictures.retain(|_, (_, of)| *of != id);
        Ok(())
    }

    /// Takes in a picture parameter set. One whose sequence parameter set is not known is left out.
    pub fn picture(&mut self, unit: &[u8]) -> Result<(), Unusable> {
        if self.pictures.values().any(|(known, _)| **known == *unit) {
            return Ok(());
        }
        if unit.len() > MAX_SET {
            return Err(malformed("a set is too long"));
        }
        let mut ids = bits(unit);
        ids.read_ue("pic_parameter_set_id").map_err(malformed)?;
        let of = ids.read_ue("seq_parameter_set_id").map_err(malformed)?;
        if !u8::try_from(of).is_ok_and(|of| self.sequences.contains_key(&of)) {
            return Ok(());
        }
        let parsed = PicParameterSet::from_bits(&self.context, bits(unit)).map_err(malformed)?;
        if parsed.slice_groups.is_some() || parsed.redundant_pic_cnt_present_flag {
            return Err(Unusable::Baseline);
        }
        let of = parsed.seq_parameter_set_id.id();
        let id = parsed.pic_parameter_set_id.id();
        self.pictures.insert(id, (unit.into(), of));
        Ok(())
    }

    /// Every set, those first that others refer to.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let sequences = self.sequences.values().map(|(unit, _)| &**unit);
        sequences.chain(self.pictures.values().map(|(unit, _)| &**unit))
    }

    /// Reads the head of a slice. `None` if it refers to sets that are not known, or is cut off.
    pub fn slice(&self, unit: &[u8]) -> Result<Option<Slice>, Unusable> {
        let mut bits = bits(unit);
        let mut read = |name| bits.read_ue(name).ok();
        let (Some(first_macroblock), Some(kind), Some(picture)) = (
            read("first_mb_in_slice"),
            read("slice_type"),
            read("pic_parameter_set_id"),
        ) else {
            return Ok(None);
        };
        // Table 7-6: 1 and 6 are B slices.
        if kind % 5 == 1 {
            return Err(Unusable::Reordered);
        }
        let picture = u8::try_from(picture).ok();
        let sequence = picture
            .and_then(|id| self.pictures.get(&id))
            .and_then(|(_, of)| self.sequences.get(of));
        let Some((_, sequence)) = sequence else {
            return Ok(None);
        };
        let width = u32::from(sequence.log2_max_frame_num);
        let number = bits.read_var::<u32>(width, "frame_num").ok();
        Ok(number.map(|number| Slice {
            first_macroblock,
            number,
            sequence: *sequence,
        }))
    }
}

impl Sequence {
    /// Whether a picture of that number may follow one that others refer to, or one without such before it (7.4.3).
    pub(super) fn follows(&self, number: u32, reference: u32) -> bool {
        let next = (reference + 1) & ((1 << self.log2_max_frame_num) - 1);
        self.has_gaps || number == reference || number == next
    }
}

fn examine(sps: &SeqParameterSet) -> Result<Sequence, Unusable> {
    let mut profile = ProfileLevelId {
        profile: sps.profile_idc.into(),
        constraints: sps.constraint_flags.into(),
        level: sps.level_idc,
    };
    if profile.profile == 66 {
        // Baseline without slice groups and redundant slices, which `picture` refuses, is Constrained Baseline: many
        // cameras don't say so.
        profile.constraints |= 0x40;
    }
    if Profile::of(profile).is_none() {
        return Err(Unusable::Profile(profile));
    }
    // The largest level has sides of up to 1055 macroblocks (A.3.1).
    let side = 0..1056;
    if !side.contains(&sps.pic_width_in_mbs_minus1)
        || !side.contains(&sps.pic_height_in_map_units_minus1)
    {
        return Err(malformed("the pictures are too large"));
    }
    if sps.frame_mbs_flags != FrameMbsFlags::Frames {
        return Err(Unusable::Interlaced);
    }
    let restrictions = sps.vui_parameters.as_ref();
    let restrictions = restrictions.and_then(|vui| vui.bitstream_restrictions.as_ref());
    if restrictions.is_some_and(|restrictions| restrictions.max_num_reorder_frames > 0) {
        return Err(Unusable::Reordered);
    }
    let (width, height) = sps.pixel_dimensions().map_err(malformed)?;
    Ok(Sequence {
        profile,
        size: Size::new(width, height),
        log2_max_frame_num: sps.log2_max_frame_num(),
        has_gaps: sps.gaps_in_frame_num_value_allowed_flag,
    })
}

/// The types of units that end the access unit before them, if it has a picture by then (7.4.1.2.3).
pub(super) const fn begins_unit(kind: u8) -> bool {
    matches!(kind, nal::SEI | nal::SPS | nal::PPS | nal::AUD | 14..=18)
}
