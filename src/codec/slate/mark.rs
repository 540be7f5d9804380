//! The program's mark, as in `web/icon.svg`: the half-round window of glazing bars over a door.

use super::text::blend;
use crate::media::I420;

/// Luma and chroma of the mark, `#f5c451` (BT.601, limited range).
const AMBER: [u8; 3] = [186, 70, 158];

/// The icon's unit is a 32nd of its side. Here it is cut out close to its outline.
const BOX: f32 = 24.0;
/// Where its centre is in that box, and the radius of its arc.
const CENTRE: (f32, f32) = (12.0, 18.0);
const RADIUS: f32 = 11.0;
/// Half the width of a bar.
const BAR: f32 = 1.2;
/// Where the glazing bars end, seen from the centre.
const ENDS: [(f32, f32); 5] = [
    (-RADIUS, 0.0),
    (RADIUS, 0.0),
    (0.0, -RADIUS),
    (-7.8, -7.8),
    (7.8, -7.8),
];

/// Draws it into a square; what is beyond the picture's edges is cut off.
pub fn draw(picture: &mut I420, (left, top): (usize, usize), side: usize) {
    let (width, height) = (
        picture.size().width as usize,
        picture.size().height as usize,
    );
    let unit = BOX / side as f32;
    for y in top..(top + side).min(height) {
        for x in left..(left + side).min(width) {
            let middle = |at: usize, from: usize| (at - from) as f32 * unit + unit / 2.0;
            let point = (middle(x, left) - CENTRE.0, middle(y, top) - CENTRE.1);
            // As much as a pixel's breadth fades at the edge.
            let cover = ((BAR - distance(point)) / unit + 0.5).clamp(0.0, 1.0);
            let cover = (cover * 255.0) as u8;
            let luma = &mut picture.y[y * width + x];
            *luma = blend(*luma, AMBER[0], cover);
            if cover > 0 {
                let at = y / 2 * (width / 2) + x / 2;
                picture.u[at] = blend(picture.u[at], AMBER[1], cover);
                picture.v[at] = blend(picture.v[at], AMBER[2], cover);
            }
        }
    }
}

/// From a point to the nearest line of the mark; both seen from the centre.
fn distance((x, y): (f32, f32)) -> f32 {
    let arc = if y <= 0.0 {
        (x.hypot(y) - RADIUS).abs()
    } else {
        f32::INFINITY
    };
    let bar = |(to_x, to_y): (f32, f32)| {
        let along = (x * to_x + y * to_y) / (to_x * to_x + to_y * to_y);
        let along = along.clamp(0.0, 1.0);
        (x - along * to_x).hypot(y - along * to_y)
    };
    ENDS.into_iter().map(bar).fold(arc, f32::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Size;

    #[test]
    fn the_mark_is_amber_within_its_square() {
        let size = Size::new(64, 64);
        let mut picture = I420::new(size);
        draw(&mut picture, (16, 16), 32);
        let amber = |x: usize, y: usize| {
            let at = y / 2 * 32 + x / 2;
            [picture.y[y * 64 + x], picture.u[at], picture.v[at]] == AMBER
        };
        // The upright bar, halfway up.
        assert!(amber(32, 16 + 16) || amber(31, 16 + 16));
        assert!((0..64).all(|n| picture.y[15 * 64 + n] == 16 && picture.y[n * 64 + 15] == 16));
        let mut cut = I420::new(Size::new(16, 16));
        draw(&mut cut, (8, 8), 32);
    }
}
