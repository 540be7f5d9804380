//! Whether a stream's pictures are the camera's own H.264: what is asked of the source, what was learned of it, and
//! what the viewers can play. Pure.
//!
//! An answer names a profile before the camera is open, and another viewer's may be lower. So each viewer is given the highest
//! profile that it offers and the camera may send, and a camera whose pictures somebody can't play is encoded for all,
//! until nobody watches any more.

use crate::capture::Wanted;
use crate::config::Encode;
use crate::media::{Profile, ProfileLevelId, Profiles};
use std::time::{Duration, Instant};

/// For so long images are not made while others watch the source's H.264: pages show images until WebRTC gets through, and most of
/// them need none a moment later.
const PATIENCE: Duration = Duration::from_secs(5);

/// The kind of the source, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceKind {
    /// It was not opened yet.
    Nothing,
    /// It sends H.264 of that profile.
    H264(ProfileLevelId),
    /// It sends frames.
    Frames,
}

/// The reason for asking a source that has H.264 for frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its H.264 can't be passed through, whoever watches.
    Source,
    /// An [`Objection`].
    Viewer,
}

/// The reason for which the viewers can't use a source's H.264.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// Somebody doesn't play that profile.
    #[error("a viewer does not play its profile, {0}")]
    Profile(Profile),
    /// Somebody is shown images.
    #[error("a viewer is shown JPEG images, which are made of frames")]
    Frames,
}

/// A stream's account.
#[derive(Debug)]
pub struct Passing {
    encode: Encode,
    known: SourceKind,
    /// The reason for which the source's H.264 is unusable and frames are asked of it.
    given_up: Option<Cause>,
    /// The source has nothing but H.264, as it said when frames were asked of it.
    is_only_h264: bool,
    /// Viewers by what they play.
    viewers: [usize; PROFILES.len()],
    /// Viewers that are made images of the frames.
    of_frames: usize,
    /// When the first of those came.
    frames_since: Option<Instant>,
}

const PROFILES: [Profile; 3] = [Profile::ConstrainedBaseline, Profile::Main, Profile::High];

impl Passing {
    /// A source that was not opened yet.
    pub const fn new(encode: Encode) -> Self {
        Self {
            encode,
            known: SourceKind::Nothing,
            given_up: None,
            is_only_h264: false,
            viewers: [0; PROFILES.len()],
            of_frames: 0,
            frames_since: None,
        }
    }

    /// The profiles that a viewer who comes now may be sent.
    pub fn profiles(&self) -> Profiles {
        let known = match self.known {
            SourceKind::Nothing => None,
            SourceKind::H264(id) => Profile::of(id),
            SourceKind::Frames => Some(Profile::ConstrainedBaseline),
        };
        match self.encode() {
            Encode::Always => Profiles::ENCODED,
            Encode::Auto if self.given_up.is_some() => Profiles::ENCODED,
            Encode::Auto => Profiles {
                least: Profile::ConstrainedBaseline,
                most: known.unwrap_or(Profile::High),
            },
            Encode::Never => Profiles {
                least: known.unwrap_or(Profile::ConstrainedBaseline),
                most: known.unwrap_or(Profile::High),
            },
        }
    }

    /// A viewer came that plays that profile, or one that needs frames.
    pub fn join(&mut self, now: Instant, plays: Option<Profile>) {
        *self.count(plays) += 1;
        if plays.is_none() {
            self.frames_since.get_or_insert(now);
        }
    }

    /// A viewer left.
    pub const fn leave(&mut self, plays: Option<Profile>) {
        *self.count(plays) -= 1;
        if self.of_frames == 0 {
            self.frames_since = None;
        }
    }

    const fn count(&mut self, plays: Option<Profile>) -> &mut usize {
        match plays {
            Some(profile) => &mut self.viewers[profile as usize],
            None => &mut self.of_frames,
        }
    }

    /// The configured encoding, or the one that the source leaves possible.
    const fn encode(&self) -> Encode {
        match self.encode {
            Encode::Auto if self.is_only_h264 => Encode::Never,
            encode => encode,
        }
    }

    /// Whether there can be frames.
    pub fn may_have_frames(&self) -> bool {
        self.encode() != Encode::Never
    }

    /// The kind of data to be asked of the source when it is opened.
    pub fn wanted(&self, now: Instant) -> Wanted {
        match self.encode {
            Encode::Always => Wanted::Frames,
            Encode::Never => Wanted::H264,
            Encode::Auto if self.given_up.is_some() || self.objection(now).is_some() => {
                Wanted::Frames
            }
            Encode::Auto => Wanted::Either,
        }
    }

    /// The source sends H.264 with that in its parameter set.
    pub const fn sends(&mut self, id: ProfileLevelId) {
        self.known = SourceKind::H264(id);
    }

    /// The source sends frames, though H.264 would have been taken.
    pub const fn sends_frames(&mut self) {
        self.known = SourceKind::Frames;
        self.is_only_h264 = false;
    }

    /// The reason for which the viewers can't use the source's H.264, if any. Where there is nothing else, a viewer answered before
    /// the profile was known is sent it all the same: most play more than they say.
    pub fn objection(&self, now: Instant) -> Option<Objection> {
        if self.encode() == Encode::Never {
            return None;
        }
        let is_patient = |since| now.saturating_duration_since(since) < PATIENCE;
        let others = self.viewers.iter().any(|count| *count > 0);
        if self
            .frames_since
            .is_some_and(|since| !(others && is_patient(since)))
        {
            return Some(Objection::Frames);
        }
        let SourceKind::H264(id) = self.known else {
            return None;
        };
        let sent = Profile::of(id)?;
        let mut lower = PROFILES.into_iter().take_while(|profile| *profile < sent);
        let is_watched = |profile| self.viewers[profile as usize] > 0;
        lower.any(is_watched).then_some(Objection::Profile(sent))
    }

    /// Frames are asked of the source from now on. `false` if that is not wanted.
    pub fn give_up(&mut self, cause: Cause) -> bool {
        self.given_up = (self.encode() == Encode::Auto).then_some(cause);
        self.given_up.is_some()
    }

    /// Whether its H.264 may do for the next viewers, though it is asked for frames now.
    pub fn may_do(&self) -> bool {
        self.encode() == Encode::Auto
            && self.given_up != Some(Cause::Source)
            && self.known != SourceKind::Frames
    }

    /// The source has nothing but H.264, which is passed through from now on to viewers that play it. `false` if that is not
    /// wanted, or was known.
    pub fn has_only_h264(&mut self) -> bool {
        let is_news = self.encode() == Encode::Auto;
        self.is_only_h264 = true;
        self.given_up = None;
        is_news
    }

    /// The source may be another one from now on.
    pub const fn may_be_another(&mut self) {
        self.is_only_h264 = false;
        if matches!(self.known, SourceKind::Frames) {
            self.known = SourceKind::Nothing;
        }
        if matches!(self.given_up, Some(Cause::Source)) {
            self.given_up = None;
        }
    }

    /// Nobody watches any more: the next time it is tried again.
    pub const fn begin_anew(&mut self) {
        self.given_up = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Profile::{ConstrainedBaseline, High, Main};

    fn range(passing: &Passing) -> (Profile, Profile) {
        let Profiles { least, most } = passing.profiles();
        (least, most)
    }

    fn main() -> ProfileLevelId {
        "4d0028".parse().unwrap()
    }

    #[test]
    fn before_the_camera_is_known_everything_may_come_and_then_what_it_sends() {
        let now = Instant::now();
        let mut passing = Passing::new(Encode::Auto);
        assert_eq!(range(&passing), (ConstrainedBaseline, High));
        passing.sends(main());
        assert_eq!(range(&passing), (ConstrainedBaseline, Main));
        passing.sends_frames();
        assert_eq!(range(&passing), (ConstrainedBaseline, ConstrainedBaseline));
        assert_eq!(passing.wanted(now), Wanted::Either);
    }

    #[test]
    fn a_viewer_who_cannot_play_it_has_it_encoded_for_all_until_nobody_watches() {
        let now = Instant::now();
        let mut passing = Passing::new(Encode::Auto);
        passing.join(now, Some(High));
        passing.sends(main());
        assert_eq!(passing.objection(now), None);
        passing.join(now, Some(ConstrainedBaseline));
        assert_eq!(passing.objection(now), Some(Objection::Profile(Main)));
        assert!(passing.give_up(Cause::Viewer));
        assert!(passing.may_do());
        passing.leave(Some(ConstrainedBaseline));
        assert_eq!(passing.wanted(now), Wanted::Frames);
        assert_eq!(passing.profiles(), Profiles::ENCODED);
        passing.begin_anew();
        assert_eq!(passing.wanted(now), Wanted::Either);
        assert_eq!(range(&passing), (ConstrainedBaseline, Main));
        // A viewer that came while it was encoded was given no more than that.
        passing.join(now, Some(ConstrainedBaseline));
        assert_eq!(passing.wanted(now), Wanted::Frames);
    }

    #[test]
    fn a_stream_that_is_never_encoded_is_for_those_who_play_it() {
        let now = Instant::now();
        let mut passing = Passing::new(Encode::Never);
        assert_eq!(range(&passing), (ConstrainedBaseline, High));
        passing.sends(main());
        assert_eq!(range(&passing), (Main, Main));
        assert!(!passing.give_up(Cause::Source));
        assert_eq!(passing.wanted(now), Wanted::H264);
    }

    #[test]
    fn a_source_without_frames_is_passed_through_to_those_who_play_it_until_it_may_be_another() {
        let now = Instant::now();
        let mut passing = Passing::new(Encode::Auto);
        passing.join(now, Some(ConstrainedBaseline));
        passing.join(now, None);
        passing.sends(main());
        assert!(passing.objection(now).is_some() && passing.give_up(Cause::Viewer));
        assert_eq!(passing.wanted(now), Wanted::Frames);
        assert!(passing.has_only_h264());
        assert!(!passing.may_have_frames());
        assert_eq!(passing.objection(now + PATIENCE), None);
        assert_eq!(passing.wanted(now), Wanted::Either);
        assert_eq!(range(&passing), (Main, Main));
        assert!(!passing.give_up(Cause::Source), "there is nothing else");
        assert!(!passing.has_only_h264(), "no news");
        passing.begin_anew();
        assert!(!passing.may_have_frames());
        passing.may_be_another();
        assert!(passing.may_have_frames());
        assert!(!Passing::new(Encode::Always).has_only_h264());
    }

    #[test]
    fn what_can_do_for_nobody_is_asked_for_again_when_the_source_may_be_another() {
        let now = Instant::now();
        let mut passing = Passing::new(Encode::Auto);
        assert!(passing.give_up(Cause::Source));
        assert!(!passing.may_do());
        passing.may_be_another();
        assert_eq!(passing.wanted(now), Wanted::Either);
        passing.sends_frames();
        assert!(!passing.may_do());
        passing.may_be_another();
        assert!(passing.may_do());
        assert!(!Passing::new(Encode::Always).may_do());
        // A viewer that can't play the stream can't play another camera's either.
        assert!(passing.give_up(Cause::Viewer));
        passing.may_be_another();
        assert_eq!(passing.wanted(now), Wanted::Frames);
    }

    #[test]
    fn images_need_frames_but_while_others_watch_not_at_once() {
        let now = Instant::now();
        let mut passing = Passing::new(Encode::Auto);
        passing.join(now, None);
        assert_eq!(passing.objection(now), Some(Objection::Frames));
        assert_eq!(passing.wanted(now), Wanted::Frames);
        passing.join(now, Some(High));
        assert_eq!(passing.objection(now), None, "it may need none in a moment");
        assert_eq!(passing.wanted(now), Wanted::Either);
        let later = now + PATIENCE;
        assert_eq!(passing.objection(later), Some(Objection::Frames));
        passing.leave(None);
        assert_eq!(passing.objection(later), None);
        passing.join(later, None);
        assert_eq!(passing.objection(later), None, "another one");
        assert!(!Passing::new(Encode::Never).may_have_frames());
    }

    #[test]
    fn a_stream_that_is_always_encoded_asks_for_frames() {
        let now = Instant::now();
        let mut passing = Passing::new(Encode::Always);
        assert_eq!(passing.wanted(now), Wanted::Frames);
        assert!(!passing.give_up(Cause::Source));
        assert_eq!(passing.profiles(), Profiles::ENCODED);
    }
}
