//! A model without a run: its weights come from a file, and the command line says what it is.

use super::{
    dir::Saved,
    images::fingerprint,
    options::{Lasting, Options},
    parse::{BARE, TRAINING, typed, whole},
};
use crate::error::{Error, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// The options of a recipe that the commands have themselves.
const OWN: [&str; 3] = ["weights", "weights_partial", "seed"];
/// The help of `--data`.
const DATA: &str = "Where the run's data lie now, if they were moved; without a run, the data of the model";

/// The options of a model whose weights are in a file and that has no run. It stands before
/// [`Look`](super::Look), whose options it shares.
#[derive(Clone, Debug)]
pub struct Bare<T> {
    options: T,
    size: Size,
    /// The option `--data`, if it was typed. A run's data may have been moved there.
    pub(super) data: Option<String>,
}

/// The size of images, where there are none.
#[derive(Args, Clone, Debug)]
struct Size {
    /// Height, width and number of channels of the images, such as 64,64,3 [default: those of --data]
    #[arg(long, value_name = "H,W,C", value_parser = image)]
    image: Option<[usize; 3]>,
    /// Number of classes, with --image
    #[arg(long, default_value_t = 0, requires = "image", value_parser = whole::<u16>(..=256))]
    classes: u16,
}

/// Parses the size of images, for clap.
fn image(text: &str) -> std::result::Result<[usize; 3], String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|n| n.parse().ok().filter(|&n| n > 0)).collect();
    let wants = "wants three numbers above 0, such as 64,64,3";
    numbers.and_then(|n| n.try_into().ok()).ok_or_else(|| wants.into())
}

/// Whether a model may be told classes: it has an option for that.
pub(super) fn conditional<T: Args>() -> bool {
    let options = ["conditional", "semi_supervised"];
    T::augment_args(Command::new("all")).get_arguments().any(|arg| options.contains(&arg.get_id().as_str()))
}

impl<T: Options> Args for Bare<T> {
    fn augment_args(command: Command) -> Command {
        let all = Size::augment_args(T::augment_args(Command::new("all")));
        let others = all.get_arguments().filter(|arg| !OWN.contains(&arg.get_id().as_str()));
        others.fold(command, |command, arg| match arg.get_id().as_str() {
            "data" => command.arg(arg.clone().help(DATA).hide_default_value(true)),
            // Parsed all the same, since `T` is read as a whole.
            _ if arg.get_help_heading() == Some(TRAINING) => command.arg(arg.clone().hide(true)),
            "classes" if !conditional::<T>() => command.arg(arg.clone().hide(true)),
            _ => command.arg(arg.clone().help_heading(BARE).hide_short_help(true)),
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Options> FromArgMatches for Bare<T> {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let data = typed(matches, "data").then(|| matches.get_one::<String>("data").cloned()).flatten();
        Ok(Self { options: T::from_arg_matches(matches)?, size: Size::from_arg_matches(matches)?, data })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Options> Bare<T> {
    /// What a run of this model would have saved. Without `--image`, the size of the images is that of `--data`.
    pub(super) fn saved(&self) -> Result<Saved<T>> {
        let mut options = self.options.clone();
        if let Some(why) = options.refuse(false) {
            return Err(Error::new(why));
        }
        let recipe = options.recipe();
        // The seed and the batch are those of draws and of training: no part of the model or of its images.
        (recipe.seed, recipe.batch, recipe.weights) = (0, 1, None);
        let (image, classes, class_names, images) = match self.size.image {
            Some(image) => (image, self.size.classes.into(), vec![], String::new()),
            None => {
                let set = recipe.open()?;
                let about = set.train.about();
                let image = [about.height, about.width, about.channels];
                (image, about.classes, set.class_names.clone(), fingerprint(&set))
            }
        };
        if self.options.conditional() && classes == 0 {
            return Err(Error::new(
                "the model wants classes, and their number is not known; give it by --classes, or give the model's own \
                 --data",
            ));
        }
        let (model, sitting) = (T::MODEL.into(), Lasting::default());
        let (changes, list) = (vec![], None);
        Ok(Saved { model, image, classes, class_names, images, options, sitting, changes, list })
    }
}
