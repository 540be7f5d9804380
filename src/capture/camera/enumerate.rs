//! The questions to a driver: formats, sizes, rates.

use super::offer::{Offer, SizeOffer};
use super::v4l2::{self, Interface};
use crate::media::Size;
use std::io;
use v4l::Device;

/// All formats of a device. Where one scales freely, the rates are those at the size nearest to `near`.
pub(super) fn offers(
    device: &Device,
    interface: Interface,
    near: Option<Size>,
) -> io::Result<Vec<Offer>> {
    let formats = v4l2::formats(device, interface)?.into_iter();
    formats
        .map(|format| {
            Ok(Offer {
                code: format.code,
                description: format.description,
                sizes: sizes(device, format.code, near)?,
            })
        })
        .collect()
}

fn sizes(device: &Device, code: [u8; 4], near: Option<Size>) -> io::Result<Vec<SizeOffer>> {
    let sizes = v4l2::sizes(device, code)?.into_iter();
    sizes
        .map(|sizes| {
            let size = near.map_or_else(|| sizes.largest(), |near| sizes.nearest(near));
            let rates = v4l2::rates(device, code, size)?;
            Ok(SizeOffer { sizes, rates })
        })
        .collect()
}
