//! The H.264 encoder: the only user of OpenH264.

use crate::media::{AccessUnit, FrameRate, I420, ProfileLevelId, Size};
use bytes::Bytes;
use openh264::encoder::{
    BitRate, Complexity, EncoderConfig, FrameRate as MaxFrameRate, FrameType, IntraFramePeriod,
    Level, MatrixCoefficients, Profile, RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};
use openh264_sys2::{ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET};
use std::time::Instant;

/// The parameters of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The size of the pictures; both sides even.
    pub size: Size,
    /// The highest rate of pictures.
    pub rate: FrameRate,
    /// Bits per second to hold on average.
    pub bitrate: u32,
}

impl Settings {
    /// The profile and level of the sequence parameter set: Constrained Baseline at the lowest level that allows
    /// the size, the rate and the bitrate (ITU-T H.264, A.3.1 and table A-1).
    pub fn profile_level_id(&self) -> ProfileLevelId {
        let macroblocks = self.size.width.div_ceil(16) * self.size.height.div_ceil(16);
        let rate = (f64::from(macroblocks) * self.rate.as_f64()).ceil() as u32;
        let fits = |limit: &&LevelLimit| {
            macroblocks <= limit.macroblocks
                && rate <= limit.macroblocks_per_second
                && self.bitrate <= limit.kilobits * 1000
        };
        let level = LEVELS.iter().find(fits).unwrap_or(HIGHEST);
        ProfileLevelId {
            profile: 66,
            // constraint_set0_flag and constraint_set1_flag: Constrained Baseline.
            constraints: 0xc0,
            level: level.idc,
        }
    }

    fn level(&self) -> Level {
        let idc = self.profile_level_id().level;
        let level = LEVELS.iter().find(|level| level.idc == idc);
        level.unwrap_or(HIGHEST).level
    }
}

struct LevelLimit {
    idc: u8,
    level: Level,
    macroblocks: u32,
    macroblocks_per_second: u32,
    kilobits: u32,
}

const fn limit(
    idc: u8,
    level: Level,
    macroblocks_per_second: u32,
    macroblocks: u32,
    kilobits: u32,
) -> LevelLimit {
    LevelLimit {
        idc,
        level,
        macroblocks,
        macroblocks_per_second,
        kilobits,
    }
}

/// ITU-T H.264, table A-1: MaxMBPS, MaxFS and MaxBR. Browsers offer 3.1, so lower levels gain nothing.
const LEVELS: &[LevelLimit] = &[
    limit(31, Level::Level_3_1, 108_000, 3_600, 14_000),
    limit(32, Level::Level_3_2, 216_000, 5_120, 20_000),
    limit(40, Level::Level_4_0, 245_760, 8_192, 20_000),
    limit(41, Level::Level_4_1, 245_760, 8_192, 50_000),
    limit(42, Level::Level_4_2, 522_240, 8_704, 50_000),
    limit(50, Level::Level_5_0, 589_824, 22_080, 135_000),
    limit(51, Level::Level_5_1, 983_040, 36_864, 240_000),
];
const HIGHEST: &LevelLimit = &limit(52, Level::Level_5_2, 2_073_600, 36_864, 240_000);

/// OpenH264 refused.
#[derive(Debug, thiserror::Error)]
#[error("OpenH264: {0}")]
pub struct EncodeError(#[from] openh264::Error);

/// Encodes pictures of one size. A change of size needs a new encoder.
pub struct Encoder {
    inner: openh264::encoder::Encoder,
    settings: Settings,
    epoch: Option<Instant>,
}

impl Encoder {
    /// Whether this build has OpenH264's assembly; without it encoding takes about three times as long.
    pub const HAS_ASSEMBLY: bool = cfg!(not(fanlight_without_assembly));

    /// A real-time camera encoder.
    ///
    /// # Errors
    /// When OpenH264 can't be set up.
    pub fn new(settings: Settings) -> Result<Self, EncodeError> {
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            .level(settings.level())
            .complexity(Complexity::Low)
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(settings.bitrate))
            // A picture that is skipped is seen as a stutter; the quantizer alone can hold the rate.
            .skip_frames(false)
            .max_frame_rate(MaxFrameRate::from_hz(settings.rate.as_f64() as f32))
            // Keyframes come only when they are asked for: their rate is the stream's policy.
            .intra_frame_period(IntraFramePeriod::auto())
            .scene_change_detect(false)
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            .num_threads(1)
            // USB cameras deliver this matrix unless they say otherwise (USB Video Class, 3.9.2.6).
            .vui(VuiConfig::bt709().matrix_coefficients(MatrixCoefficients::Smpte170M));
        let api = OpenH264API::from_source();
        let mut inner = openh264::encoder::Encoder::with_api_config(api, config)?;
        silence(&mut inner);
        Ok(Self {
            inner,
            settings,
            epoch: None,
        })
    }

    /// The settings that this encoder was made for.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Encodes a picture; `None` if the encoder skipped it.
    ///
    /// # Errors
    /// When OpenH264 fails, which leaves the encoder unusable.
    pub fn encode(
        &mut self,
        picture: &I420,
        captured_at: Instant,
        keyframe: bool,
    ) -> Result<Option<AccessUnit>, EncodeError> {
        let is_first = self.epoch.is_none();
        let epoch = *self.epoch.get_or_insert(captured_at);
        if keyframe && !is_first {
            self.inner.force_intra_frame();
        }
        let time = captured_at.saturating_duration_since(epoch).as_millis();
        let time = Timestamp::from_millis(u64::try_from(time).unwrap_or(u64::MAX));
        let stream = self.inner.encode_at(&EncoderPicture(picture), time)?;
        let keyframe = match stream.frame_type() {
            FrameType::IDR => true,
            FrameType::I | FrameType::P | FrameType::IPMixed => false,
            FrameType::Skip | FrameType::Invalid => return Ok(None),
        };
        Ok(Some(AccessUnit {
            data: Bytes::from(stream.to_vec()),
            keyframe,
            temporal_layer: 0,
            captured_at,
            encoded_at: Instant::now(),
        }))
    }
}

/// Keeps OpenH264 from writing to standard error when it is set up: the crate turns that off only afterwards.
#[expect(
    unsafe_code,
    reason = "the crate offers this option of the codec as a raw call only"
)]
fn silence(encoder: &mut openh264::encoder::Encoder) {
    let mut level = WELS_LOG_QUIET;
    // SAFETY: the encoder exists, this option may be set before its initialization, and it is read
    // from `level`, an integer as wide as the C `int` expected, during the call only.
    unsafe {
        let raw = encoder.raw_api();
        raw.set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
    }
}

struct EncoderPicture<'a>(&'a I420);

impl YUVSource for EncoderPicture<'_> {
    fn dimensions(&self) -> (usize, usize) {
        let Size { width, height } = self.0.size();
        (width as usize, height as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        let width = self.0.size().width as usize;
        (width, width / 2, width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.0.y
    }

    fn u(&self) -> &[u8] {
        &self.0.u
    }

    fn v(&self) -> &[u8] {
        &self.0.v
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::pattern::noise;
    use std::time::Duration;

    const SETTINGS: Settings = Settings {
        size: Size::new(320, 240),
        rate: FrameRate::whole(30),
        bitrate: 500_000,
    };

    /// A picture whose content moves and is costly.
    fn picture(size: Size, n: u32) -> I420 {
        let mut picture = I420::new(size);
        noise::draw(&mut picture.y, size.width, 0..size.height, n);
        picture
    }

    fn encode(encoder: &mut Encoder, start: Instant, n: u32, keyframe: bool) -> AccessUnit {
        let at = start + encoder.settings().rate.interval() * n;
        let picture = picture(encoder.settings().size, n);
        encoder.encode(&picture, at, keyframe).unwrap().unwrap()
    }

    /// Types of the NAL units in a byte stream.
    fn nal_types(data: &[u8]) -> Vec<u8> {
        data.windows(4)
            .filter(|window| window[..3] == [0, 0, 1])
            .map(|window| window[3] & 0x1f)
            .collect()
    }

    #[test]
    fn the_first_picture_and_those_asked_for_are_keyframes_with_parameter_sets() {
        let mut encoder = Encoder::new(SETTINGS).unwrap();
        let start = Instant::now();
        for (n, keyframe) in [(0, false), (1, false), (2, true), (3, false)] {
            let unit = encode(&mut encoder, start, n, keyframe);
            let is_keyframe = keyframe || n == 0;
            assert_eq!(unit.keyframe, is_keyframe, "picture {n}");
            let expected: &[u8] = if is_keyframe { &[7, 8, 5] } else { &[1] };
            assert_eq!(nal_types(&unit.data), expected, "picture {n}");
        }
    }

    #[test]
    fn the_sequence_parameter_set_says_what_was_predicted() {
        for (size, rate, bitrate) in [
            (Size::new(320, 240), 30, 500_000),
            (Size::new(1280, 720), 30, 2_500_000),
            (Size::new(1280, 720), 60, 2_500_000),
            (Size::new(1920, 1080), 30, 6_000_000),
            (Size::new(1920, 1080), 60, 6_000_000),
            (Size::new(3840, 2160), 30, 30_000_000),
        ] {
            let settings = Settings {
                size,
                rate: FrameRate::whole(rate),
                bitrate,
            };
            let mut encoder = Encoder::new(settings).unwrap();
            let unit = encode(&mut encoder, Instant::now(), 0, false);
            let sps = unit.data.windows(4).position(|w| w == [0, 0, 1, 0x67]);
            let sps = &unit.data[sps.unwrap() + 4..];
            let said = format!("{:02x}{:02x}{:02x}", sps[0], sps[1], sps[2]);
            assert_eq!(said, settings.profile_level_id().to_string(), "{size}");
        }
    }

    #[test]
    fn the_bitrate_holds_on_noise_with_a_keyframe_every_two_seconds() {
        let mut encoder = Encoder::new(SETTINGS).unwrap();
        let start = Instant::now();
        let seconds = 10;
        let bytes: usize = (0..30 * seconds)
            .map(|n| encode(&mut encoder, start, n, n % 60 == 0).data.len())
            .sum();
        let bitrate = bytes as f64 * 8.0 / f64::from(seconds);
        let asked = f64::from(SETTINGS.bitrate);
        assert!(
            (0.8 * asked..1.15 * asked).contains(&bitrate),
            "{bitrate} bit/s, asked for {asked}"
        );
    }

    #[test]
    fn timestamps_that_stand_still_do_no_harm() {
        let mut encoder = Encoder::new(SETTINGS).unwrap();
        let now = Instant::now();
        for n in 0..5 {
            let picture = picture(SETTINGS.size, n);
            let earlier = now - Duration::from_millis(u64::from(n));
            assert!(encoder.encode(&picture, earlier, false).unwrap().is_some());
        }
    }
}
