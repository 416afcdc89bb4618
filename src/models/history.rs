//! A game whose discriminator does not forget (Shrivastava et al. 2017, "Learning from Simulated and Unsupervised
//! Images through Adversarial Training", §2.3): half of the generated pictures that it sees come from a pool of
//! earlier ones.
//!
//! The pool `[half a batch, slots, …]` is a value of the State, and nothing of it goes to the host. The first half of
//! a batch trades places with it: picture i takes a slot of row i, drawn anew in every step, and the discriminator
//! sees the one that was there, as in CycleGAN's pool (Zhu et al. 2017, §4). In the first steps new pictures fill the
//! slots one after the other, and are seen themselves.
//!
//! Earlier pictures are judged apart from new ones, each half with statistics of its own (batch normalisation, the
//! minibatch's standard deviation). Those of a mixed batch tell what is generated: the generator, whose own batches
//! are not mixed, is then taken for real and learns nothing.

use super::{game::Game, players::Players};
use crate::{
    graph::{
        Tensor,
        shape::Type,
        var::{Init, Role, VarSpec},
    },
    nn::Sequential,
};

/// The pool's pictures, and what their players were told: classes and hints.
const POOL: [&str; 3] = ["discriminator.pool", "discriminator.pool.classes", "discriminator.pool.hints"];
/// The random stream of the slots.
const SLOTS: &str = "pool";

impl<P: Players> Game<P> {
    /// The generated pictures that the discriminator sees, and what they were told, if the rules ask for a pool.
    #[track_caller]
    pub(super) fn remembered<'g>(
        &self,
        fake: Tensor<'g>,
        told: [Option<Tensor<'g>>; 2],
    ) -> (Tensor<'g>, [Option<Tensor<'g>>; 2]) {
        let (g, pictures, n) = (fake.graph(), self.rules().history, fake.extent(0));
        if pictures == 0 {
            return (fake, told);
        }
        let half = n / 2;
        if !(n.is_multiple_of(2) && half > 0 && pictures.is_multiple_of(half)) {
            let what = format!("game: a pool of {pictures} pictures is no multiple of half a batch of {n}");
            return (g.poison(what), told);
        }
        let slots = pictures / half;
        let step = g.step().to_f32();
        let filling = step.lt(slots as f32);
        // Below 1 by at least 2⁻²⁴, the uniform number times a whole one rounds to below that one.
        let slot = filling.select(step, (g.uniform(SLOTS, [half]) * slots as f32).floor());
        let taken = g.full([half], 1.0).spread(slot, slots).reshape([half, slots, 1]);
        let trade = |name: &str, x: Tensor<'g>| {
            let width = x.shape().iter().skip(1).product();
            let spec = VarSpec::new(name, Type::f32([half, slots, width]), Init::Zeros, Role::Working);
            let (pool, new) = (g.declare(spec), x.slice(0, 0..half).reshape([half, width]));
            g.assign(pool, taken.select(new.reshape([half, 1, width]), pool));
            let seen = filling.select(new, (pool * taken).sum(&[1]));
            let mut shape = x.shape().to_vec();
            shape[0] = half;
            g.concat(&[seen.reshape(shape), x.slice(0, half..n)], 0)
        };
        let [class, hint] = told;
        let told = [class.map(|x| trade(POOL[1], x)), hint.map(|x| trade(POOL[2], x))];
        (trade(POOL[0], fake), told)
    }

    /// The scores `[N]` of what the discriminator sees, earlier pictures and new ones apart if there is a pool.
    #[track_caller]
    pub(super) fn score_apart<'g>(&self, critic: &Sequential<'g>, seen: Tensor<'g>) -> Tensor<'g> {
        let (n, parts) = (seen.extent(0), if self.rules().history > 0 { 2 } else { 1 });
        let part = |i| {
            let purpose = format!("noise.fake.{i}");
            critic.drawing(&purpose).forward(seen.slice(0, i * n / parts..(i + 1) * n / parts))
        };
        seen.graph().concat(&(0..parts).map(part).collect::<Vec<_>>(), 0).reshape([n])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{
            Graph,
            reference::{self, Values},
            shape::Array,
        },
        models::{game::Rules, gan::Networks},
        optim::advance,
    };

    /// Pictures are numbered by their step and row, and their classes with them. The second half of a batch is seen as
    /// it is; of the first, each is seen once at most, in its row, with its class, and is in the pool till then.
    #[test]
    fn earlier_pictures_come_back_once_with_their_classes() {
        const STEPS: usize = 40;
        let rules = Rules { history: 6, ..Rules::default() };
        let networks = Networks::mirrored(1, vec![1]);
        let game = Game::new(networks, rules, [1, 1, 1], [1, 1], 1, 4).unwrap();
        let g = Graph::new();
        let [x, class] = ["x", "class"].map(|name| g.input(name, Type::f32([4, 1])));
        let (seen, [told, hint]) = game.remembered(x.reshape([4, 1, 1, 1]), [Some(class), None]);
        g.output("seen", seen);
        g.output("told", told.expect("pictures had classes"));
        assert!(hint.is_none());
        advance(&g);
        let mut state = reference::initial(&g, 1);
        let mut seen: Vec<Vec<f64>> = vec![vec![]; 2];
        for step in 0..STEPS {
            let numbered = |far: f64| Array::from_fn([4, 1], |row| far + (10 * step + row) as f64);
            let inputs: Values = [("x".into(), numbered(0.0)), ("class".into(), numbered(1000.0))].into();
            let out = reference::eval(&g, &inputs, &mut state).unwrap();
            let (pictures, classes) = (&out["seen"].data, &out["told"].data);
            assert!(pictures.iter().zip(classes).all(|(picture, class)| picture + 1000.0 == *class));
            assert_eq!(pictures[2..], numbered(0.0).data[2..]);
            // Three slots of a row are filled first.
            assert!(step >= 3 || pictures[..2] == numbered(0.0).data[..2]);
            (0..2).for_each(|row| seen[row].push(pictures[row]));
        }
        for (row, seen) in seen.iter_mut().enumerate() {
            assert!(seen.iter().all(|picture| *picture as usize % 10 == row));
            let waited = seen.iter().enumerate().map(|(step, picture)| step - *picture as usize / 10);
            assert!(waited.max() > Some(3), "pictures come back in turn only");
            let kept = state[POOL[0]].data[row * 3..][..3].iter().copied();
            // The first three are seen when they come, and again from the pool.
            let mut all: Vec<usize> =
                seen.iter().skip(3).copied().chain(kept).map(|picture| picture as usize / 10).collect();
            all.sort_unstable();
            assert_eq!(all, (0..STEPS).collect::<Vec<_>>(), "row {row}");
        }
    }
}
