//! A game whose discriminator does not forget (Shrivastava et al. 2017, "Learning from Simulated and Unsupervised
//! Images through Adversarial Training", §2.3): half of the generated pictures that it sees come from a pool of
//! earlier ones.
//!
//! The pool `[half a batch, slots, …]` is a value of the State, and nothing of it goes to the host. The first half of
//! a batch trades places with it: picture i takes a slot of row i, drawn anew in every step, and the discriminator
//! sees the one that was there, as in CycleGAN's pool (Zhu et al. 2017, §4). In the first steps new pictures fill the
//! slots one after the other, and are seen themselves.

use super::{game::Game, players::Players};
use crate::graph::{
    Tensor,
    shape::Type,
    var::{Init, Role, VarSpec},
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
        if n % 2 > 0 || half == 0 || pictures % half > 0 {
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
}
