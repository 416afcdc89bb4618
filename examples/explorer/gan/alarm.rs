//! How the game stands, in words: an alarm where one player wins, or where the generator draws one picture only.

use super::{curves::Signs, players::Settings};
use oneiro::models::gan::Objective;

/// The rounds after which variety counts: a generator begins with one picture in any case.
pub(super) const BEGUN: u64 = 150;
/// The rounds after which the players' scores count.
const MET: u64 = 40;
/// The share of real pictures' variety below which samples count as one picture.
const NARROW: f64 = 0.25;
/// The lead from which on a player has won.
const WON: f64 = 0.9;
/// The lead below which players are even.
const EVEN: f64 = 0.12;

/// How a game stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The players come from a file, and little is measured yet.
    Loaded,
    New,
    /// Drawings are noise still, whoever is ahead.
    Early,
    Good,
    Even,
    DiscriminatorWins,
    GeneratorWins,
    OnePicture,
}

impl Standing {
    pub(super) fn is_alarm(self) -> bool {
        matches!(self, Self::DiscriminatorWins | Self::GeneratorWins | Self::OnePicture)
    }
}

/// How far the discriminator is ahead: 1 where it tells all drawings from real pictures, 0 where it can only guess,
/// below 0 where it is wrong. A distance has no such scale.
pub(super) fn lead(loss: Objective, signs: &Signs) -> Option<f64> {
    let lead = match loss {
        _ if signs.round == 0 => return None,
        Objective::Wasserstein => return None,
        // Its loss is 2 where all scores are 0, and 0 where all are beyond the margins at 1 and -1.
        Objective::Hinge => 1.0 - signs.loss_d / 2.0,
        _ => signs.real - signs.fake,
    };
    Some(lead.clamp(-1.0, 1.0))
}

/// How the game stands.
fn standing(lead: Option<f64>, signs: &Signs) -> Standing {
    match lead {
        _ if signs.round < MET && signs.before > 0 => Standing::Loaded,
        _ if signs.round < MET => Standing::New,
        Some(lead) if lead > WON => Standing::DiscriminatorWins,
        Some(lead) if lead < -EVEN => Standing::GeneratorWins,
        _ if signs.before + signs.round < BEGUN => Standing::Early,
        _ if signs.variety < NARROW => Standing::OnePicture,
        Some(lead) if lead < EVEN => Standing::Even,
        _ => Standing::Good,
    }
}

/// This lists those ways that are open.
fn ways(all: &[(bool, &'static str)]) -> String {
    let open: Vec<_> = all.iter().filter(|(open, _)| *open).map(|(_, way)| *way).collect();
    match &open[..] {
        [firsts @ .., last] if !firsts.is_empty() => format!("{} or {last}", firsts.join(", ")),
        _ => open.concat(),
    }
}

/// How the game stands, and a sentence about it, which advises what is not set yet.
pub(super) fn judge(settings: &Settings, signs: &Signs) -> (Standing, String) {
    let Settings { loss, smooth, momentum, .. } = *settings;
    let standing = standing(lead(loss, signs), signs);
    let scores = format!("D(x) {:.2}, D(G(z)) {:.2}", signs.real, signs.fake);
    let words = match standing {
        Standing::Loaded => {
            "Both players come from a file; their first rounds here tell how they stand.".into()
        }
        Standing::New => {
            "Both players are new: the generator draws noise, and the discriminator does not know digits yet."
                .into()
        }
        Standing::DiscriminatorWins => {
            let why = match loss {
                Objective::Minimax => "and the generator's gradient vanishes",
                _ => "and the generator learns little",
            };
            let tries = ways(&[
                (true, "fewer or smaller steps of D"),
                (!smooth, "a smooth D"),
                (loss != Objective::NonSaturating, "the non-saturating loss"),
            ]);
            format!("The discriminator wins: it tells all drawings apart ({scores}), {why}. Try {tries}.")
        }
        Standing::OnePicture if signs.before > 0 => format!(
            "Samples differ {:.0} % as much as real pictures. Players that were trained for a short time need more \
             rounds; if it stays so, the generator draws one picture for all noise (mode collapse): try {}.",
            100.0 * signs.variety,
            ways(&[(true, "smaller steps"), (momentum, "no momentum"), (!smooth, "a smooth D")])
        ),
        Standing::OnePicture => format!(
            "The generator draws one picture for all noise (mode collapse): its samples differ {:.0} % as much as real \
             pictures. Try {}.",
            100.0 * signs.variety,
            ways(&[(true, "smaller steps"), (momentum, "no momentum"), (!smooth, "a smooth D")])
        ),
        Standing::GeneratorWins => format!(
            "The generator wins: the discriminator takes drawings for real ({scores}) and teaches nothing. Try \
             more or larger steps of D."
        ),
        Standing::Early => format!(
            "It is early ({scores}): drawings are noise until about round {BEGUN}. If D(G(z)) sinks to its lowest and \
             they stay noise, try fewer or smaller steps of D."
        ),
        Standing::Even => format!(
            "D scores drawings nearly as real pictures ({scores}). That is good if the drawings look like digits; if \
             they are noise still, D sees too little: wait, or try more steps of D."
        ),
        Standing::Good if loss == Objective::Wasserstein => format!(
            "The critic measures a distance, {:.2}: nobody wins, and a strong critic only teaches better. \
             The distance should fall.",
            signs.real - signs.fake
        ),
        Standing::Good => {
            format!(
                "Nobody wins: the discriminator is ahead ({scores}), and its judgement shows the generator the way. \
                 The drawings should look more like digits from minute to minute; if not, try {}.",
                if smooth { "smaller steps" } else { "a smooth D" }
            )
        }
    };
    (standing, words)
}

#[cfg(test)]
mod tests {
    use super::{super::curves::Curves, *};

    /// What is said after a series of the same signs from round 1 on.
    fn told(
        loss: Objective,
        rounds: u64,
        losses: [f32; 2],
        scores: [f32; 2],
        variety: f32,
    ) -> (Standing, String) {
        let mut curves = Curves::default();
        for round in 1..=rounds {
            curves.variety(variety);
            curves.push(round, [losses[0], losses[1], scores[0], scores[1]]);
        }
        judge(&Settings { loss, ..Settings::even() }, &curves.now())
    }

    #[test]
    fn the_words_follow_the_signs() {
        let likely = |rounds, scores, variety| told(Objective::Minimax, rounds, [1.0; 2], scores, variety);
        assert_eq!(likely(10, [0.99, 0.01], 0.0).0, Standing::New);
        let (standing, words) = likely(100, [0.99, 0.01], 0.0);
        assert!(standing == Standing::DiscriminatorWins && words.contains("gradient vanishes"), "{words}");
        assert_eq!(likely(100, [0.3, 0.8], 0.5).0, Standing::GeneratorWins);
        assert_eq!(likely(400, [0.52, 0.48], 0.5).0, Standing::Even);
        assert_eq!(likely(400, [0.7, 0.3], 0.5).0, Standing::Good);
        let (standing, words) = likely(400, [0.7, 0.3], 0.01);
        assert!(standing == Standing::OnePicture && words.contains("differ 1 %"), "{words}");
        // What is drawn in the first rounds is praised by no words, however the players stand.
        for scores in [[0.95, 0.15], [0.52, 0.48]] {
            let (standing, words) = likely(100, scores, 0.5);
            assert!(standing == Standing::Early && words.contains("noise"), "{words}");
        }
        // Where the discriminator wins, the generator has not begun to draw.
        assert_eq!(likely(400, [0.99, 0.01], 0.01).0, Standing::DiscriminatorWins);

        // Other objectives have other scores.
        let hinge = |loss| told(Objective::Hinge, 400, [loss, 0.0], [0.4, -0.5], 0.5).0;
        assert_eq!(
            [0.05, 1.0, 1.9].map(hinge),
            [Standing::DiscriminatorWins, Standing::Good, Standing::Even]
        );
        let (standing, words) = told(Objective::Wasserstein, 400, [-8.0, 3.0], [9.0, 1.0], 0.5);
        assert!(standing == Standing::Good && words.contains("8.00"), "{words}");
    }

    /// Nothing is early for players that come from a file.
    #[test]
    fn players_of_a_file_are_no_beginners() {
        let (mut curves, hinge) = (Curves::experienced(), Settings::even());
        let (standing, words) = judge(&hinge, &curves.now());
        assert!(standing == Standing::Loaded && words.contains("from a file"), "{words}");
        curves.variety(0.5);
        curves.push(1, [0.0, 4.0, 1.0, -1.0]);
        assert_eq!(judge(&hinge, &curves.now()).0, Standing::Loaded, "one bad minibatch is no alarm");
        (2..=MET).for_each(|round| curves.push(round, [1.0, 1.0, 0.7, 0.3]));
        assert_eq!(judge(&hinge, &curves.now()).0, Standing::Good);
        curves.variety(0.01);
        let (standing, words) = judge(&hinge, &curves.now());
        assert!(standing == Standing::OnePicture && words.contains("need more rounds"), "{words}");
    }

    /// The words advise no setting that is set already.
    #[test]
    fn advice_names_what_is_not_set() {
        let one = Signs { round: 400, before: 0, loss_d: 1.0, real: 0.7, fake: 0.3, variety: 0.01 };
        let minimax = Settings { loss: Objective::Minimax, ..Settings::even() };
        for (smooth, momentum, advice) in [
            (true, false, "Try smaller steps."),
            (true, true, "Try smaller steps or no momentum."),
            (false, true, "Try smaller steps, no momentum or a smooth D."),
        ] {
            let (standing, words) = judge(&Settings { smooth, momentum, ..minimax.clone() }, &one);
            assert!(standing == Standing::OnePicture && words.ends_with(advice), "{words}");
        }
        let lost = Signs { real: 0.99, fake: 0.01, ..one };
        let words = judge(&Settings { loss: Objective::NonSaturating, ..minimax }, &lost).1;
        assert!(words.ends_with("Try fewer or smaller steps of D."), "{words}");
    }

    /// One bad minibatch is no alarm; a bad while is.
    #[test]
    fn a_moment_is_no_alarm() {
        let mut curves = Curves::default();
        (1..=200).for_each(|round| curves.push(round, [1.0, 1.0, 0.7, 0.3]));
        curves.push(201, [0.1, 4.0, 1.0, 0.0]);
        assert_eq!(
            judge(&Settings { loss: Objective::NonSaturating, ..Settings::even() }, &curves.now()).0,
            Standing::Good
        );
        (202..=260).for_each(|round| curves.push(round, [0.1, 4.0, 1.0, 0.0]));
        assert_eq!(
            judge(&Settings { loss: Objective::NonSaturating, ..Settings::even() }, &curves.now()).0,
            Standing::DiscriminatorWins
        );
    }
}
