//! Small launches that do not need each other become one. A small launch waits until one that is not small needs it.
//! Then what is due goes in as few launches as its longest chain has, where they fit, and what else waits goes with it.

use super::{Memory, Selector, Unplaced};
use crate::{
    kernel::{
        Shader,
        caps::AdapterClass,
        join::{Kernel, join},
    },
    plan::launch::{Buffer, Launch},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

static JOINED: Shader = crate::shader!("joined");
/// The shaders whose kernels can be joined: their entry points are told workgroup and lane alone.
const JOINABLE: [&str; 6] = ["elementwise", "reduce", "reduce_tree", "sums", "views", "parts"];
/// The entry point that keeps metrics, which can be joined as well.
const RECORD: &str = "record";
/// The shaders of matrix products, whose kernels are joined with others of the same shader: together they need no
/// more registers and no more workgroup memory than alone.
const PRODUCTS: [&str; 2] = ["matmul4", "matmul8"];
/// The most workgroups of a small launch and of a small product, and the most bytes that it reads and writes, since
/// what waits keeps its operands in memory.
const GROUPS: u32 = 128;
const PRODUCT_GROUPS: u32 = 512;
const BYTES: u64 = 2 << 20;
/// The most launches that wait.
const WAITING: usize = 32;
/// The most kernels of a launch. A CPU driver computes every branch for every workgroup, so that it has fewer, of one
/// workgroup each.
const MOST: usize = 8;
const MOST_ON_CPU: usize = 4;
/// The most variables in workgroup memory, of which none has more than a third of 16 KiB.
const MEMORY: usize = 3;
/// The storage buffers that a launch may bind.
const BUFFERS: [&str; 8] = ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"];

/// A small launch that waits for others.
struct Waiting {
    launch: Unplaced,
    kernel: Rc<Kernel>,
    /// What the kernel is, for the order within a launch.
    text: String,
}

/// Launches under way to be one.
type Group = Vec<Waiting>;

/// A buffer of a group: its memory, its type in WGSL, and whether it is written.
type Bound = (Memory, String, bool);

impl Selector<'_> {
    /// Joins small launches, and puts all into an order that respects their dependencies.
    pub(super) fn join(&mut self) {
        self.launches = joined(std::mem::take(&mut self.launches), self.caps.class);
    }
}

fn joined(launches: Vec<Unplaced>, class: AdapterClass) -> Vec<Unplaced> {
    let (mut out, mut waiting, mut known) = (vec![], vec![], HashMap::new());
    for launch in launches {
        match small(&launch.0, class).then(|| kernel(&launch, &mut known)).flatten() {
            Some((kernel, text)) => waiting.push(Waiting { launch, kernel, text }),
            None => {
                release(&mut waiting, |_, w| conflict(&w.launch, &launch), class, &mut out);
                out.push(launch);
            }
        }
        if waiting.len() > WAITING {
            release(&mut waiting, |i, _| i == 0, class, &mut out);
        }
    }
    release(&mut waiting, |_, _| true, class, &mut out);
    out
}

fn product(launch: &Launch) -> bool {
    PRODUCTS.contains(&launch.shader.stem)
}

fn groups(launch: &Launch) -> u32 {
    launch.grid.iter().fold(1, |n, &side| n.saturating_mul(side))
}

fn small(launch: &Launch, class: AdapterClass) -> bool {
    let most = match class {
        AdapterClass::Cpu => 1,
        AdapterClass::Gpu if product(launch) => PRODUCT_GROUPS,
        AdapterClass::Gpu => GROUPS,
    };
    (JOINABLE.contains(&launch.shader.stem) || launch.entry == RECORD || product(launch))
        && launch.exchange.is_none()
        && groups(launch) <= most
        && launch.bytes <= BYTES
}

/// The launch's kernel with its text. Texts are read once.
fn kernel(
    (launch, bindings): &Unplaced,
    known: &mut HashMap<String, Option<Rc<Kernel>>>,
) -> Option<(Rc<Kernel>, String)> {
    // Two names of one buffer would become one name, which functions may declare beside each other.
    let once = |(i, a): (usize, &(&str, Memory))| bindings[i + 1..].iter().all(|b| a.1 != b.1);
    if product(launch) && !bindings.iter().enumerate().all(once) {
        return None;
    }
    let bound: Vec<&str> = bindings.iter().map(|b| b.0).collect();
    let Launch { shader, entry, constants, function, .. } = launch;
    let key = format!("{} {entry:?} {constants:?} {bound:?} {function:?}", shader.stem);
    let read = || Kernel::new(&launch.text(), launch.entry, &launch.constants, &bound).map(Rc::new);
    Some((known.entry(key.clone()).or_insert_with(read).clone()?, key))
}

/// Emits the launches that are due and those that they need, each with others that wait.
fn release(
    waiting: &mut Vec<Waiting>,
    due: impl Fn(usize, &Waiting) -> bool,
    class: AdapterClass,
    out: &mut Vec<Unplaced>,
) {
    // How many launches, one after another, begin with this one; 0 if it is not due.
    let mut chain: Vec<usize> = waiting.iter().enumerate().map(|(i, w)| usize::from(due(i, w))).collect();
    for i in (0..waiting.len()).rev() {
        let needs = |&k: &usize| chain[k] > 0 && conflict(&waiting[i].launch, &waiting[k].launch);
        let longest = (i + 1..waiting.len()).filter(needs).map(|k| chain[k] + 1).max();
        chain[i] = chain[i].max(longest.unwrap_or(0));
    }
    let mut rest: Vec<_> = chain.into_iter().zip(std::mem::take(waiting)).collect();
    while let Some(longest) = rest.iter().map(|(chain, _)| *chain).max().filter(|&n| n > 0) {
        let free = |i: usize| !rest[..i].iter().any(|(_, w)| conflict(&w.launch, &rest[i].1.launch));
        let free: Vec<bool> = (0..rest.len()).map(free).collect();
        let mut groups: Vec<Group> = vec![];
        let mut later = vec![];
        let mut next: Vec<_> = rest.into_iter().zip(free).enumerate().collect();
        next.sort_by_key(|(_, ((chain, _), _))| Reverse(*chain));
        for (i, ((chain, w), free)) in next {
            match groups.iter_mut().find(|g| free && admits(g, &w, class)) {
                Some(group) => group.push(w),
                None if free && chain == longest => groups.push(vec![w]),
                None => later.push((i, (chain, w))),
            }
        }
        out.extend(groups.into_iter().map(one));
        later.sort_by_key(|(i, _)| *i);
        rest = later.into_iter().map(|(_, w)| w).collect();
    }
    waiting.extend(rest.into_iter().map(|(_, w)| w));
}

/// The buffers of a launch by the names in its kernel.
fn buffers(w: &Waiting) -> impl Iterator<Item = (&str, Bound)> {
    w.kernel.storage.iter().map(|s| {
        let memory =
            w.launch.1.iter().find(|b| b.0 == s.name).expect("a launch binds what its kernel uses").1;
        (s.name.as_str(), (memory, s.ty.clone(), s.writes))
    })
}

/// The distinct buffers of launches.
fn bound<'a>(group: impl Iterator<Item = &'a Waiting>) -> Vec<Bound> {
    let mut all: Vec<Bound> = vec![];
    for (_, buffer) in group.flat_map(buffers) {
        if !all.contains(&buffer) {
            all.push(buffer);
        }
    }
    all
}

/// Whether a launch can join others: within the limits, and so that no buffer is both read and written. Other plans
/// may keep two variables in one buffer, and the host may bind an input to a variable; so one that is read and one
/// that is written join only where a single launch binds both anyhow.
fn admits(group: &Group, w: &Waiting, class: AdapterClass) -> bool {
    let (first, all) = (&group[0], || group.iter().chain([w]));
    let one_shader = first.launch.0.shader.stem == w.launch.0.shader.stem;
    let memory: BTreeSet<&String> = all().flat_map(|w| &w.kernel.memory).collect();
    group.len() < if class == AdapterClass::Cpu { MOST_ON_CPU } else { MOST }
        && first.kernel.workgroup == w.kernel.workgroup
        && first.launch.0.dtype == w.launch.0.dtype
        && (one_shader || !(product(&first.launch.0) || product(&w.launch.0)))
        && memory.len() <= MEMORY
        && apart(&bound(all()), all)
}

/// Whether launches can bind these buffers together.
fn apart<'a, I: Iterator<Item = &'a Waiting>>(buffers: &[Bound], all: impl Fn() -> I) -> bool {
    // Variables, arenas and inputs, which the host may have put into one buffer.
    let given = |m: &Memory| match m {
        Memory::Known(p) => !matches!(p.buffer, Buffer::Slot(_) | Buffer::Constant(_)),
        Memory::Request { .. } => false,
    };
    let bound_by_one = |a: &Bound, b: &Bound| {
        all().any(|w| [a, b].iter().all(|wanted| self::buffers(w).any(|(_, own)| own == **wanted)))
    };
    let may_join = |a: &Bound, b: &Bound| {
        let same =
            a.0.base() == b.0.base() || (given(&a.0) && given(&b.0) && a.2 != b.2 && !bound_by_one(a, b));
        !same || (!a.2 && !b.2) || (a.2 && b.2 && !a.0.overlaps(&b.0))
    };
    buffers.len() <= BUFFERS.len()
        && buffers.iter().enumerate().all(|(i, a)| buffers[i + 1..].iter().all(|b| may_join(a, b)))
}

/// Whether one is an input and the other a variable, to which the host may bind that input.
fn may_be_one(a: &Memory, b: &Memory) -> bool {
    let is_input = |m: &Memory| matches!(m, Memory::Known(p) if matches!(p.buffer, Buffer::Input(_)));
    let of_state =
        |m: &Memory| matches!(m, Memory::Known(p) if matches!(p.buffer, Buffer::Var(_) | Buffer::Arena(_)));
    (is_input(a) && of_state(b)) || (is_input(b) && of_state(a))
}

/// Whether two launches must keep their order: one writes what the other uses. Those that copy or record several
/// inputs in one output write different parts of it.
fn conflict(a: &Unplaced, b: &Unplaced) -> bool {
    let written = |l: &Unplaced, name: &str| l.0.writes.contains(&name);
    let copies = (a.0.shader.stem == "views" || a.0.entry == RECORD)
        && a.0.shader.stem == b.0.shader.stem
        && a.0.at == b.0.at
        && a.0.label == b.0.label;
    a.1.iter().any(|(x, m)| {
        b.1.iter().any(|(y, n)| {
            let (x, y) = (written(a, x), written(b, y));
            (x || y) && (m.overlaps(n) || may_be_one(m, n)) && !(copies && x && y)
        })
    })
}

/// One launch that does what several do.
fn one(mut group: Group) -> Unplaced {
    if group.len() == 1 {
        return group.remove(0).launch;
    }
    group.sort_by(|a, b| a.text.cmp(&b.text));
    let all = bound(group.iter());
    let name = |buffer: &Bound| BUFFERS[all.iter().position(|b| b == buffer).expect("it is among all")];
    let named =
        |w| buffers(w).map(|(own, buffer)| (own, name(&buffer).to_string())).collect::<BTreeMap<_, _>>();
    let parts: Vec<_> = group.iter().map(|w| (&*w.kernel, named(w))).collect();
    let launches = || group.iter().map(|w| &w.launch.0);
    let entry = if launches().any(product) { "products" } else { "joined" };
    let own = |(j, l): (usize, &Launch)| {
        l.dims.iter().map(|(member, value)| (format!("j{j}.{member}"), *value)).collect::<Vec<_>>()
    };
    let lines: BTreeSet<&str> = launches().map(|l| l.at.as_str()).collect();
    let mut dims: Vec<_> = launches().enumerate().flat_map(own).collect();
    let mut end = 0;
    for (j, launch) in launches().enumerate() {
        end += groups(launch);
        let [x, y, z] = launch.grid;
        dims.extend([x, y, z, end].iter().enumerate().map(|(i, &n)| (format!("grids[{j}][{i}]"), n)));
    }
    let launch = Launch {
        label: launches().map(|l| l.label.as_str()).collect::<Vec<_>>().join(" | "),
        shader: &JOINED,
        function: Some(join(entry, &parts)),
        in_words: launches().any(|l| l.in_words),
        entry,
        constants: vec![],
        bindings: vec![],
        writes: all.iter().filter(|b| b.2).map(name).collect(),
        dims,
        grid: [end, 1, 1],
        flops: launches().map(|l| l.flops).sum(),
        bytes: launches().map(|l| l.bytes).sum(),
        dtype: group[0].launch.0.dtype,
        exchange: None,
        why: "small launches that do not need each other",
        others: vec![],
        at: lines.into_iter().collect::<Vec<_>>().join(" | "),
        parts: vec![],
    };
    let bindings = all.iter().map(|b| (name(b), b.0)).collect();
    let launch = Launch { parts: group.into_iter().map(|w| w.launch.0).collect(), ..launch };
    (launch, bindings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{parse, powers, reflect};

    /// Three variables fit into the 16 KiB of workgroup memory that WebGPU promises.
    #[test]
    fn workgroup_memory_is_shared_and_fits() {
        let mut memory = HashMap::new();
        for stem in JOINABLE.iter().chain(&PRODUCTS) {
            let path = format!("{}/shaders/{stem}.wgsl", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            for entry in parse(&text, powers(stem)).unwrap().0.entry_points {
                let Some(kernel) = Kernel::new(&text, &entry.name, &[], &[]) else { continue };
                let bytes = reflect(&text, powers(stem), &entry.name, &[]).unwrap().workgroup_memory as usize;
                assert!(bytes <= kernel.memory.len() * 16_384 / MEMORY, "{stem}/{}: {bytes}", entry.name);
                memory.insert(format!("{stem}/{}", entry.name), kernel.memory);
            }
        }
        let (tree, sums) = (&memory["reduce_tree/rows4"], &memory["sums/rows_tree"]);
        assert!(tree.len() == 2 && sums.len() == 1 && tree.contains(&sums[0]), "{tree:?} {sums:?}");
    }
}
