//! What the explorer reports, in the lines that it prints and posts.

use super::Failure;

/// The losses at the stops, and how well the window shows what the engine computed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) adapter: String,
    pub(crate) difference: f32,
    /// Where the room's main pictures are in the window: left, top, right and bottom, in pixels.
    pub(crate) place: Vec<f32>,
    pub(crate) losses: Vec<f32>,
}

impl Report {
    /// Reads the lines.
    ///
    /// # Errors
    /// Lines that are no report, such as an error's.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut report = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("adapter", name)) => report.adapter = name.into(),
                Some(("difference", value)) => report.difference = value.parse()?,
                Some(("place", values)) => {
                    report.place = values.split(' ').map(str::parse).collect::<Result<_, _>>()?;
                }
                Some(("loss", value)) => report.losses.push(value.parse()?),
                _ => return Err(format!("the explorer says: {text}").into()),
            }
        }
        match report.place.len() {
            4 => Ok(report),
            _ => Err(format!("the explorer says: {text}").into()),
        }
    }
}
