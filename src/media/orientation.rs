//! The rotation and mirroring of a picture between the camera and the viewers.

use super::Size;

/// The clockwise rotation of a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// A quarter: what was on the left is at the top.
    Quarter,
    /// A half: upside down.
    Half,
    /// Three quarters: what was on the right is at the top.
    ThreeQuarters,
}

impl Rotation {
    /// Every rotation, in the order of their degrees.
    pub const ALL: [Self; 4] = [Self::None, Self::Quarter, Self::Half, Self::ThreeQuarters];

    /// The angle in degrees, clockwise.
    pub const fn degrees(self) -> u32 {
        90 * self as u32
    }
}

/// The mirroring of a picture, as viewers see it: after it was turned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flip {
    /// Not at all.
    #[default]
    None,
    /// Left and right change places, as in a mirror.
    Horizontal,
    /// Top and bottom change places.
    Vertical,
}

impl Flip {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::None, Self::Horizontal, Self::Vertical];

    /// The name that the configuration uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Horizontal => "horizontal",
            Self::Vertical => "vertical",
        }
    }
}

/// Rotation and flip in one: first the sides change places, then columns and rows may be put in reverse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orientation {
    /// Rows become columns: the pixel at (x, y) goes to (y, x).
    pub is_transposed: bool,
    /// After that, left and right change places.
    pub is_mirrored: bool,
    /// After that, top and bottom change places.
    pub is_upside_down: bool,
}

impl Orientation {
    /// A rotation, then a flip.
    pub const fn new(rotation: Rotation, flip: Flip) -> Self {
        let (is_transposed, mirrored, upside_down) = match rotation {
            Rotation::None => (false, false, false),
            Rotation::Quarter => (true, true, false),
            Rotation::Half => (false, true, true),
            Rotation::ThreeQuarters => (true, false, true),
        };
        Self {
            is_transposed,
            is_mirrored: mirrored != matches!(flip, Flip::Horizontal),
            is_upside_down: upside_down != matches!(flip, Flip::Vertical),
        }
    }

    /// Whether it leaves every picture as it is.
    pub const fn is_identity(self) -> bool {
        !self.is_transposed && !self.is_mirrored && !self.is_upside_down
    }

    /// The size of a picture of that size, once it is turned.
    pub const fn size(self, size: Size) -> Size {
        if self.is_transposed {
            Size::new(size.height, size.width)
        } else {
            size
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_swaps_the_sides_and_a_half_does_not() {
        let size = Size::new(1280, 720);
        for (rotation, degrees, turned) in [
            (Rotation::None, 0, size),
            (Rotation::Quarter, 90, Size::new(720, 1280)),
            (Rotation::Half, 180, size),
            (Rotation::ThreeQuarters, 270, Size::new(720, 1280)),
        ] {
            assert_eq!(rotation.degrees(), degrees);
            for flip in Flip::ALL {
                assert_eq!(Orientation::new(rotation, flip).size(size), turned);
            }
        }
    }

    #[test]
    fn only_no_rotation_with_no_flip_changes_nothing() {
        let all = Rotation::ALL.into_iter();
        let all = all.flat_map(|rotation| Flip::ALL.map(|flip| (rotation, flip)));
        let same: Vec<_> = all
            .filter(|(rotation, flip)| Orientation::new(*rotation, *flip).is_identity())
            .collect();
        assert_eq!(same, [(Rotation::None, Flip::None)]);
    }
}
