//! Small launches that do not wait for each other become one. A small launch waits until another one needs it; then
//! it goes together with those that wait beside it, as many as a launch may bind buffers for.

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
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

static JOINED: Shader = crate::shader!("joined");
/// The shaders whose kernels can be joined: their entry points are told workgroup and lane alone.
const JOINABLE: [&str; 6] = ["elementwise", "reduce", "reduce_tree", "sums", "views", "parts"];
/// The most workgroups of a small launch, and the most bytes that it reads and writes, since what waits keeps its
/// operands in memory.
const GROUPS: u32 = 128;
const BYTES: u64 = 2 << 20;
/// The most kernels of a launch. A CPU driver computes every branch for every workgroup, and takes but single ones.
const MOST: [usize; 2] = [4, 8];
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
        release(&mut waiting, |w| conflict(&w.launch, &launch), class, &mut out);
        match small(&launch.0, class).then(|| kernel(&launch, &mut known)).flatten() {
            Some((kernel, text)) => waiting.push(Waiting { launch, kernel, text }),
            None => out.push(launch),
        }
    }
    release(&mut waiting, |_| true, class, &mut out);
    out
}

fn small(launch: &Launch, class: AdapterClass) -> bool {
    let most = if class == AdapterClass::Cpu { 1 } else { GROUPS };
    JOINABLE.contains(&launch.shader.stem)
        && launch.exchange.is_none()
        && launch.grid[0] * launch.grid[1] <= most
        && launch.grid[2] == 1
        && launch.bytes <= BYTES
}

/// The launch's kernel with its text. Texts are read once.
fn kernel(
    (launch, bindings): &Unplaced,
    known: &mut HashMap<String, Option<Rc<Kernel>>>,
) -> Option<(Rc<Kernel>, String)> {
    let key =
        format!("{} {:?} {:?} {:?}", launch.shader.stem, launch.entry, launch.constants, launch.function);
    let bound: Vec<&str> = bindings.iter().map(|b| b.0).collect();
    let read = || Kernel::new(&launch.text(), launch.entry, &launch.constants, &bound).map(Rc::new);
    Some((known.entry(key.clone()).or_insert_with(read).clone()?, key))
}

/// Emits the launches that are due, each with others of its kernel that wait.
fn release(
    waiting: &mut Vec<Waiting>,
    due: impl Fn(&Waiting) -> bool,
    class: AdapterClass,
    out: &mut Vec<Unplaced>,
) {
    let (now, later): (Vec<_>, Vec<_>) = std::mem::take(waiting).into_iter().partition(due);
    let mut groups: Vec<Group> = vec![];
    for w in now {
        match groups.iter_mut().find(|g| admits(g, &w, class)) {
            Some(group) => group.push(w),
            None => groups.push(vec![w]),
        }
    }
    for w in later {
        let kin =
            |g: &&mut Group| g.iter().any(|o| o.launch.0.entry == w.launch.0.entry) && admits(g, &w, class);
        match groups.iter_mut().find(kin) {
            Some(group) => group.push(w),
            None => waiting.push(w),
        }
    }
    out.extend(groups.into_iter().map(one));
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

/// Whether a launch can join others: within the limits, and so that no buffer is both read and written. Nor are
/// variables, since another plan may keep two of them in one buffer.
fn admits(group: &Group, w: &Waiting, class: AdapterClass) -> bool {
    let (first, all) = (&group[0], bound(group.iter().chain([w])));
    let persistent =
        |m: &Memory| matches!(m, Memory::Known(p) if matches!(p.buffer, Buffer::Var(_) | Buffer::Arena(_)));
    let apart = |a: &Bound, b: &Bound| {
        let same = a.0.base() == b.0.base() || (persistent(&a.0) && persistent(&b.0) && a.2 != b.2);
        !same || (!a.2 && !b.2) || (a.2 && b.2 && !a.0.overlaps(&b.0))
    };
    group.len() < MOST[usize::from(class == AdapterClass::Gpu)]
        && all.len() <= BUFFERS.len()
        && first.kernel.workgroup == w.kernel.workgroup
        && first.launch.0.dtype == w.launch.0.dtype
        && all.iter().enumerate().all(|(i, a)| all[i + 1..].iter().all(|b| apart(a, b)))
}

/// Whether two launches must keep their order: one writes what the other uses. Those that copy several inputs into
/// one output write different parts of it.
fn conflict(a: &Unplaced, b: &Unplaced) -> bool {
    let written = |l: &Unplaced, name: &str| l.0.writes.contains(&name);
    let copies = a.0.shader.stem == "views"
        && b.0.shader.stem == "views"
        && a.0.at == b.0.at
        && a.0.label == b.0.label;
    a.1.iter().any(|(x, m)| {
        b.1.iter().any(|(y, n)| {
            let (x, y) = (written(a, x), written(b, y));
            (x || y) && m.overlaps(n) && !(copies && x && y)
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
    let dims = launches()
        .enumerate()
        .flat_map(|(j, l)| l.dims.iter().map(move |(member, value)| (format!("j{j}.{member}"), *value)));
    let side = |d: usize| launches().map(|l| l.grid[d]).max().unwrap_or(1);
    let launch = Launch {
        label: launches().map(|l| l.label.as_str()).collect::<Vec<_>>().join(" | "),
        shader: &JOINED,
        function: Some(join(&parts)),
        in_words: launches().any(|l| l.in_words),
        entry: "joined",
        constants: vec![],
        bindings: vec![],
        writes: all.iter().filter(|b| b.2).map(name).collect(),
        dims: dims.collect(),
        grid: [side(0), side(1), group.len() as u32],
        flops: launches().map(|l| l.flops).sum(),
        bytes: launches().map(|l| l.bytes).sum(),
        dtype: group[0].launch.0.dtype,
        exchange: None,
        why: "small launches that do not wait for each other",
        others: vec![],
        at: group[0].launch.0.at.clone(),
    };
    let bindings = all.iter().map(|b| (name(b), b.0)).collect();
    (launch, bindings)
}
