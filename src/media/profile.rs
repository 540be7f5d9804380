//! H.264 profiles and levels: how SDP writes them, and who can play what.

use std::fmt;
use std::str::FromStr;

/// The part of a sequence parameter set that SDP repeats (RFC 6184, 8.1): `profile-level-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProfileLevelId {
    /// `profile_idc`, 66 for Baseline.
    pub profile: u8,
    /// The constraint flags, the first flag in the highest bit.
    pub constraints: u8,
    /// `level_idc`: ten times the level, 31 for level 3.1.
    pub level: u8,
}

impl ProfileLevelId {
    /// Constrained Baseline in any of its three spellings (RFC 6184, table 5): Baseline, Main and Extended with the
    /// constraint flags that each other's decoders want.
    pub const fn is_constrained_baseline(self) -> bool {
        let wanted = match self.profile {
            66 => 0x40,
            77 => 0x80,
            88 => 0xc0,
            _ => return false,
        };
        self.constraints & wanted == wanted
    }
}

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            profile,
            constraints,
            level,
        } = self;
        write!(f, "{profile:02x}{constraints:02x}{level:02x}")
    }
}

impl FromStr for ProfileLevelId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a profile-level-id is six hexadecimal digits";
        if text.len() != 6 || !text.is_ascii() {
            return Err(EXPECTED);
        }
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| EXPECTED);
        Ok(Self {
            profile: byte(0)?,
            constraints: byte(2)?,
            level: byte(4)?,
        })
    }
}

/// The profiles that browsers know, as what a decoder of each can do: the later ones play the former too.
///
/// That holds for progressive pictures in the order in which they are shown. Nothing else is sent, so profiles that differ in these
/// alone, such as High and Constrained High, count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// The profile that OpenH264 makes, and the least that every viewer plays.
    ConstrainedBaseline,
    /// With CABAC and weighted prediction.
    Main,
    /// With the 8x8 transform and scaling lists.
    High,
}

impl Profile {
    /// The profile that such a decoder plays, or such a stream needs; `None` if it is not known here. A decoder of
    /// Baseline, all of it, counts for Constrained Baseline.
    pub const fn of(id: ProfileLevelId) -> Option<Self> {
        match id.profile {
            _ if id.is_constrained_baseline() => Some(Self::ConstrainedBaseline),
            66 => Some(Self::ConstrainedBaseline),
            77 => Some(Self::Main),
            100 => Some(Self::High),
            _ => None,
        }
    }
}

/// The profiles that a stream's video may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profiles {
    /// A viewer needs to play at least this profile to watch.
    pub least: Profile,
    /// A viewer that plays this profile can watch whatever comes.
    pub most: Profile,
}

impl Profiles {
    /// The profiles of OpenH264's streams.
    pub const ENCODED: Self = Self {
        least: Profile::ConstrainedBaseline,
        most: Profile::ConstrainedBaseline,
    };
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConstrainedBaseline => "Constrained Baseline",
            Self::Main => "Main",
            Self::High => "High",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_level_ids_round_trip() {
        let id: ProfileLevelId = "42e01f".parse().unwrap();
        assert_eq!((id.profile, id.constraints, id.level), (0x42, 0xe0, 0x1f));
        assert_eq!(id.to_string(), "42e01f");
        for (text, expected) in [
            ("42e01f", true),
            ("42401f", true),
            ("4d801f", true),
            ("58c01f", true),
            ("42001f", false),
            ("42801f", false),
            ("4d401f", false),
            ("58801f", false),
            ("640c1f", false),
        ] {
            let id: ProfileLevelId = text.parse().unwrap();
            assert_eq!(id.is_constrained_baseline(), expected, "{text}");
        }
        assert!("42e01".parse::<ProfileLevelId>().is_err());
        assert!("42e01g".parse::<ProfileLevelId>().is_err());
        assert!("4é01f".parse::<ProfileLevelId>().is_err());
    }

    #[test]
    fn decoders_of_higher_profiles_play_the_lower_ones() {
        let of = |id: &str| Profile::of(id.parse().unwrap());
        assert_eq!(of("42e01f"), Some(Profile::ConstrainedBaseline));
        assert_eq!(of("42001f"), Some(Profile::ConstrainedBaseline));
        assert_eq!(of("4d801f"), Some(Profile::ConstrainedBaseline));
        assert_eq!(of("4d001f"), Some(Profile::Main));
        assert_eq!(of("640c1f"), of("640028"));
        assert!(of("64001f") > of("4d001f") && of("4d001f") > of("42e01f"));
        // Extended, High 10, High 4:4:4.
        for other in ["58801f", "6e001f", "f4001f"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
