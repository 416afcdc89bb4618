//! The demo's page: the file `page.html`, whose placeholders are filled in. All prose and styles are in that
//! file.
//!
//! A placeholder (`blank` in the code) is a pair of double braces around words. `{{picture vae/samples.png}}`
//! is a file of the demo's folder as a data URI; `{{number vae test_loss}}` is a figure from a run's summary
//! with one decimal; `{{steps vae}}` is the number of steps of a run and of images in each; `{{out}}`,
//! `{{took}}` and `{{adapter}}` belong to the demo itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{MODELS, time, within};
use crate::Failure;

const TEMPLATE: &str = include_str!("page.html");

/// Writes the page for the runs in `folder`, and returns its path. `out` is the folder's name in the page's
/// commands.
pub(super) fn write(folder: &Path, out: &str, took: Duration) -> Result<PathBuf, Failure> {
    let html = fill(TEMPLATE, &|blank| value(blank, folder, out, took))?;
    let path = folder.join("index.html");
    fs::write(&path, html).map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
    Ok(path)
}

/// Replaces each placeholder of the template by its value.
fn fill(template: &str, value: &dyn Fn(&str) -> Result<String, Failure>) -> Result<String, Failure> {
    let mut parts = template.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (blank, after) = part
            .split_once("}}")
            .ok_or_else(|| Failure::new("the page's template has a blank without an end"))?;
        filled += &value(blank)?;
        filled += after;
    }
    Ok(filled)
}

/// The value of a placeholder, as HTML.
fn value(blank: &str, folder: &Path, out: &str, took: Duration) -> Result<String, Failure> {
    let summary = |run: &str| text(&within(folder, run).join("summary.txt"));
    let words: Vec<&str> = blank.split(' ').collect();
    let found = match words[..] {
        ["out"] => Some(out.trim_end_matches('/').to_string()),
        ["took"] => Some(time(took)),
        ["adapter"] => fact(&summary(MODELS[0].example)?, "adapter").map(String::from),
        ["steps", run] => fact(&summary(run)?, "steps").and_then(steps),
        ["number", run, name] => fact(&summary(run)?, name).and_then(one_decimal),
        ["picture", path] => Some(picture(&within(folder, path))?),
        _ => None,
    };
    let found =
        found.ok_or_else(|| Failure::new(format!("nothing was found for the page's blank `{blank}`")))?;
    Ok(escaped(&found))
}

/// The text after a name at the beginning of a line in a summary.
fn fact<'a>(summary: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = summary.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(first, _)| *first == name).map(|(_, value)| value.trim())
}

/// The number at the beginning of a fact, with one decimal: `147.9` for `147.8776 at step 400`.
fn one_decimal(fact: &str) -> Option<String> {
    let number: f64 = fact.split(' ').next()?.parse().ok()?;
    Some(format!("{number:.1}"))
}

/// The length of a training, such as `400 steps of 128 images` of `400 of 128 images, seed 0`.
fn steps(fact: &str) -> Option<String> {
    let (steps, images) = fact.split_once(',')?.0.split_once(" of ")?;
    Some(format!("{steps} steps of {images}"))
}

/// A picture as a data URI.
fn picture(path: &Path) -> Result<String, Failure> {
    let kind = if path.extension().is_some_and(|e| e == "gif") { "gif" } else { "png" };
    let bytes = fs::read(path).map_err(|e| unreadable(path, &e))?;
    Ok(format!("data:image/{kind};base64,{}", base64(&bytes)))
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, why: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {why}", path.display()))
}

/// The text with the special characters of HTML escaped.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The bytes in Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | usize::from(three.get(i).copied().unwrap_or(0)));
        for digit in 0..4 {
            let shown = digit <= three.len();
            text.push(if shown { DIGITS[bits >> (18 - 6 * digit) & 63].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "\
vae on glyphs, 20000 training images
steps      400 of 128 images, seed 0
adapter    An <adapter> & its driver (Vulkan)
test_loss                147.8776 at step 400
test_nll                 88.25 at step 400
";

    /// Makes a demo's folder with a summary of each model, and with each picture that the template names.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-page-{name}-{}", std::process::id()));
        for model in &MODELS {
            fs::create_dir_all(folder.join(model.example)).unwrap();
            fs::write(folder.join(model.example).join("summary.txt"), SUMMARY).unwrap();
        }
        for path in TEMPLATE.split("{{picture ").skip(1).map(|part| part.split_once("}}").unwrap().0) {
            fs::write(within(&folder, path), path).unwrap();
        }
        folder
    }

    fn line(result: Result<String, Failure>) -> String {
        result.unwrap_err().text.unwrap()
    }

    #[test]
    fn the_page_needs_no_other_file() {
        let folder = folder("whole");
        let path = write(&folder, "runs/demo/", Duration::from_secs(185)).unwrap();
        let html = fs::read_to_string(&path).unwrap();
        for part in [
            "3 min 5 s",
            "An &lt;adapter&gt; &amp; its driver (Vulkan)",
            "400 steps of 128 images",
            "147.9",
            "88.2",
            "--run runs/demo/vae",
        ] {
            assert!(html.contains(part), "no `{part}`");
        }
        assert!(!html.contains("{{") && !html.contains("}}"));
        assert!(html.contains(&format!("data:image/png;base64,{}", base64(b"vae/samples.png"))));
        let sources =
            html.matches("src=").count() + html.matches("href=").count() + html.matches("url(").count();
        assert_eq!(sources, html.matches("src=\"data:image/").count(), "something lies outside the page");
        assert!(sources >= 9 && !html.contains("://"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn every_model_has_pictures_a_curve_and_a_command() {
        for model in &MODELS {
            let example = model.example;
            for part in [
                format!("{{{{picture {example}/samples.png}}}}"),
                format!("{{{{picture {example}/loss.png}}}}"),
                format!("--example {example} -- "),
            ] {
                assert!(TEMPLATE.contains(&part), "no `{part}`");
            }
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = folder("missing");
        let value = |blank: &str| value(blank, &folder, "out", Duration::ZERO);
        assert!(line(value("number vae fid")).contains("`number vae fid`"));
        assert!(line(value("nonsense")).contains("`nonsense`"));
        assert!(line(value("picture vae/absent.png")).contains("absent.png"));
        assert!(line(value("steps other")).contains("summary.txt"));
        assert!(line(fill("a {{blank", &value)).contains("without an end"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn blanks_are_replaced_where_they_stand() {
        let shout = |blank: &str| Ok(blank.to_uppercase());
        assert_eq!(line_of(fill("{{a}}b{{c d}}", &shout)), "AbC D");
        assert_eq!(line_of(fill("no blank", &shout)), "no blank");
    }

    fn line_of(result: Result<String, Failure>) -> String {
        result.map_err(|failure| failure.text).unwrap()
    }

    #[test]
    fn base64_is_the_standards() {
        // These pairs are from RFC 4648, section 10.
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }
}
