//! `resize_image {input, output?, width, height}`: a PNG or JPEG file to another size, into `images/`.

use crate::files;
use crate::run::{HandlerError, Run};
use image::{DynamicImage, ImageFormat, ImageReader, Limits, imageops::FilterType};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::Path;

#[derive(Deserialize)]
struct Resize {
    /// Relative to the output folder, like "in/photo.jpg".
    input: String,
    /// Relative to `images/`, and its ending chooses the format; default: the job's id and `.png`.
    output: Option<String>,
    width: u32,
    height: u32,
}

/// Writes the input file at exactly the size asked for.
///
/// # Errors
/// To be retried when the input is not there yet; permanent when it is no image, or the request makes
/// no sense.
pub fn resize_image(run: &Run, out: &Path) -> Result<Value, HandlerError> {
    let resize: Resize = run.payload()?;
    let sides = 1..=SIDE_MAX;
    if !sides.contains(&resize.width) || !sides.contains(&resize.height) {
        return Err(HandlerError::permanent(format!("width and height must be 1 to {SIDE_MAX}")));
    }
    let input = files::place(out, &resize.input)?;
    let name = resize.output.unwrap_or_else(|| format!("{}.png", run.id));
    let output = files::place(&out.join("images"), &name)?;
    let format = ImageFormat::from_path(&output)
        .ok()
        .filter(|format| matches!(format, ImageFormat::Png | ImageFormat::Jpeg))
        .ok_or_else(|| HandlerError::permanent(format!("{name:?} ends neither in .png nor in .jpg")))?;

    let image = decode(files::read(&input, INPUT_BYTES_MAX)?).map_err(|error| {
        HandlerError::permanent(format!("{} is no readable image: {error}", resize.input))
    })?;
    let image = image.resize_exact(resize.width, resize.height, FilterType::Triangle);
    let bytes = encode(image, format)
        .map_err(|error| HandlerError::permanent(format!("cannot write {name} as an image: {error}")))?;
    files::write(&output, &out.join("tmp"), &bytes)?;
    Ok(json!({ "file": format!("images/{name}"), "width": resize.width, "height": resize.height }))
}

/// The limits keep a small file from unfolding into all of the memory.
fn decode(bytes: Vec<u8>) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    reader.decode()
}

fn encode(image: DynamicImage, format: ImageFormat) -> image::ImageResult<Vec<u8>> {
    // A JPEG knows neither transparency nor 16 bits a colour.
    let image = if format == ImageFormat::Jpeg { image.into_rgb8().into() } else { image };
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

const SIDE_MAX: u32 = 8_192;
const INPUT_BYTES_MAX: u64 = 64 << 20;
const DECODED_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw_sample;
    use std::fs;

    fn resize(out: &Path, payload: Value) -> Result<Value, HandlerError> {
        resize_image(&Run::sample("resize_image", payload), out)
    }

    #[test]
    fn a_png_becomes_a_png_or_a_jpeg_of_the_size_asked_for() {
        let out = tempfile::tempdir().unwrap();
        draw_sample(&out.path().join("in/sample.png"), 300, 200).unwrap();
        for (output, format) in [("a.png", ImageFormat::Png), ("deep/b.jpg", ImageFormat::Jpeg)] {
            let payload = json!({ "input": "in/sample.png", "output": output, "width": 40, "height": 30 });
            let result = resize(out.path(), payload).unwrap();
            let bytes = fs::read(out.path().join(result["file"].as_str().unwrap())).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), format);
            let image = image::load_from_memory(&bytes).unwrap();
            assert_eq!((image.width(), image.height()), (40, 30));
            let (left, right) = (image.to_rgb8().get_pixel(2, 15)[0], image.to_rgb8().get_pixel(37, 15)[0]);
            assert!(left < right, "the picture is still the sample, redder to the right");
        }
    }

    #[test]
    fn the_output_is_named_after_the_job_and_may_be_the_next_input() {
        let out = tempfile::tempdir().unwrap();
        draw_sample(&out.path().join("in/sample.png"), 64, 64).unwrap();
        let result =
            resize(out.path(), json!({ "input": "in/sample.png", "width": 8, "height": 8 })).unwrap();
        let file = result["file"].as_str().unwrap();
        assert_eq!(file, "images/0190b5a0-0000-7000-8000-000000000001.png");
        resize(out.path(), json!({ "input": file, "width": 4, "height": 4 })).unwrap();
        assert_eq!(
            fs::read_dir(out.path().join("images")).unwrap().count(),
            1,
            "a second run replaces the file"
        );
    }

    #[test]
    fn a_missing_input_is_retried_and_a_broken_one_is_not() {
        let out = tempfile::tempdir().unwrap();
        let payload = json!({ "input": "in/x.png", "width": 8, "height": 8 });
        assert!(!resize(out.path(), payload.clone()).unwrap_err().is_permanent());

        draw_sample(&out.path().join("in/x.png"), 64, 64).unwrap();
        let whole = fs::read(out.path().join("in/x.png")).unwrap();
        for broken in [&b"no image"[..], &whole[..whole.len() / 2], b""] {
            fs::write(out.path().join("in/x.png"), broken).unwrap();
            assert!(resize(out.path(), payload.clone()).unwrap_err().is_permanent());
        }
    }

    #[test]
    fn sizes_paths_and_formats_are_checked_before_anything_is_read() {
        let out = tempfile::tempdir().unwrap();
        for (input, output, width, height) in [
            ("a.png", "a.png", 0, 8),
            ("a.png", "a.png", 8, SIDE_MAX + 1),
            ("../a.png", "a.png", 8, 8),
            ("/etc/passwd", "a.png", 8, 8),
            ("a.png", "../a.png", 8, 8),
            ("a.png", "/tmp/a.png", 8, 8),
            ("a.png", "a.gif", 8, 8),
            ("a.png", "a", 8, 8),
        ] {
            let payload = json!({ "input": input, "output": output, "width": width, "height": height });
            let error = resize(out.path(), payload.clone()).unwrap_err();
            assert!(error.is_permanent(), "{payload}: {error}");
        }
    }
}
