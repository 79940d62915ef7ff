//! A picture to try `resize_image` on, for demos and tests without a photograph at hand.

use image::{ImageResult, Rgb, RgbImage};
use std::path::Path;

/// Draws a PNG of that size, redder to the right and greener to the bottom, and makes its folder.
///
/// # Errors
/// When the file cannot be written.
pub fn draw_sample(path: &Path, width: u32, height: u32) -> ImageResult<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([shade(x, width), shade(y, height), 128]));
    image.save_with_format(path, image::ImageFormat::Png)
}

/// 0 at the start of a side, 255 at its end.
fn shade(at: u32, side: u32) -> u8 {
    let share = u64::from(at) * 255 / u64::from(side.max(2) - 1);
    u8::try_from(share).unwrap_or(u8::MAX)
}
