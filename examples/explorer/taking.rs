//! What the visitor gives to rooms, and what they give back: weights and lessons.

use super::{Explorer, Place, ROOMS, TITLES};
use crate::{
    files::{self, Offer},
    making::Making,
};
use eframe::egui;
use oneiro::{
    error::{Error, Result},
    weights::{self, Fit, Weights},
};
use std::sync::Arc;

/// What fits the rooms, for visitors whose weights do not.
const FITS: [&str; ROOMS.len()] = [
    "the room takes perceptrons over 28x28 pixels with two latents or more, such as `vae train` makes",
    "the room takes the networks of its list, of which the first is that of `pixelcnn train`",
    "the room takes perceptrons over 28x28 pixels and convolutions over 32x32, such as `gan train` and `dcgan train` \
     make without classes, of 6 hidden layers and 2048 units at most",
];

/// The room whose weights have such names.
fn owner(weights: &Weights) -> Option<usize> {
    let has = |part: &str| weights.keys().any(|name| name.starts_with(part));
    let parts = [&["fc1.", "fc21.", "fc4."][..], &["first.", "head.0."], &["generator.", "discriminator."]];
    parts.iter().position(|parts| parts.iter().all(|part| has(part)))
}

impl Explorer {
    /// Reads what was dropped, and gives it to the open room, or to all rooms anew; takes weights that were read back.
    pub(super) fn take_files(&mut self, context: &egui::Context) {
        let files = context.input(|input| input.raw.dropped_files.clone());
        if !files.is_empty() {
            self.dropped = Some(files::read(files));
        }
        if let Some(read) = self.dropped.as_ref().and_then(Making::ready) {
            self.dropped = None;
            match read {
                Ok(offer) => self.offer = Some(offer),
                Err(error) => self.notice = error.to_string(),
            }
        }
        // Weights wait until their room is open.
        let waits =
            self.trouble.is_none() && matches!(self.places[self.room], Place::Closed | Place::Making(_));
        if let Some(offer) = self.offer.take_if(|offer| matches!(offer, Offer::Lesson(_)) || !waits) {
            self.notice = self.take(offer).unwrap_or_else(|error| error.to_string());
        }
        if let Some((room, promise)) = &mut self.saving
            && let Some(bytes) = promise.ready()
        {
            let name = format!("oneiro-{}", ROOMS[*room]);
            self.saving = None;
            let saved = bytes.and_then(|bytes| files::save(&name, &bytes));
            self.notice = saved.map_or_else(|error| error.to_string(), |at| format!("saved as {at}"));
        }
    }

    pub(super) fn take(&mut self, offer: Offer) -> Result<String> {
        match (offer, &self.host, &mut self.places[self.room]) {
            (Offer::Weights(weights, path), Some(host), Place::Open(room)) => {
                let (at, owner) = (path.display(), owner(&weights));
                if let Some(owner) = owner.filter(|owner| *owner != self.room) {
                    let told =
                        format!("{at}: these are weights of the {}, whose room is opened", TITLES[owner]);
                    self.open(owner);
                    self.offer = Some(Offer::Weights(weights, path));
                    return Ok(told);
                }
                if let Some(maker) = room.sized(host, &weights) {
                    let told = format!("{at}: the room is made anew with the file's network");
                    self.places[self.room] = Place::Making(maker(host.clone(), self.lesson.clone()));
                    self.next = None;
                    self.pace.reset();
                    self.offer = Some(Offer::Weights(weights, path));
                    return Ok(told);
                }
                let (state, names) = room.weights();
                let fit = Fit::of(names, &weights);
                if !(fit.missing.is_empty() && fit.unexpected.is_empty()) {
                    return Err(Error::new(match owner {
                        Some(_) => {
                            format!("{at}: weights of another size than the room's; {}", FITS[self.room])
                        }
                        None => format!("{at}: weights of none of the rooms: {}", TITLES.join(", ")),
                    }));
                }
                weights::apply(&host.gpu, state, names, &weights, &path)
                    .map_err(|error| Error::new(format!("{error}; {}", FITS[self.room])))?;
                let count = names.len();
                Ok(format!("{at}: {count} weights loaded{}", room.loaded()))
            }
            (Offer::Weights(..), ..) => {
                Err(Error::new("weights are for a room that is open; open one first"))
            }
            (Offer::Lesson(lesson), ..) => {
                let count = lesson.train.count;
                let s = if count == 1 { "" } else { "s" };
                let told = format!("{}: {count} picture{s} to learn from", lesson.name);
                self.lesson = Arc::new(lesson);
                self.places = std::array::from_fn(|_| Place::Closed);
                Ok(told)
            }
        }
    }
}
