//! An elementwise expression and its WGSL: the body of the one marked function of a shader. Rust only
//! composes calls; the functions themselves are lines of `shaders/elementwise.wgsl`.

use crate::graph::{
    NodeId,
    op::{LaunchSpec, Operand, Row, Strided},
    shape::Shape,
    wave::Wave,
};

/// How the elements that are loaded line up with the output's.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Output i reads element i.
    Same,
    /// All outputs read this one element.
    Scalar(usize),
    /// The outputs read a row of so many elements again and again.
    Row(usize),
    /// Each row of so many outputs reads one element.
    Column(usize),
    /// Row for row, the outputs read what the pixels in flight see in images.
    Seen {
        /// The columns that the images keep.
        kept: usize,
        /// Their channels.
        channels: usize,
        /// The tap (row, column).
        tap: [i32; 2],
    },
    /// The outputs read at an affine address in up to four dimensions.
    Strided {
        /// The extents, outermost first.
        shape: [usize; 4],
        /// The strides in elements.
        stride: [usize; 4],
        /// The first element.
        offset: usize,
    },
}

impl Access {
    /// The cheapest access for a strided view with this output shape, if four dimensions suffice.
    pub fn view(out: &Shape, view: &Strided) -> Option<Self> {
        let mut dims: Vec<(usize, usize)> = vec![];
        for (&extent, &stride) in out.iter().zip(&view.stride).filter(|(e, _)| **e != 1) {
            match dims.last_mut() {
                Some(last) if last.1 == stride * extent => *last = (last.0 * extent, stride),
                _ => dims.push((extent, stride)),
            }
        }
        Some(match (dims.as_slice(), view.offset) {
            ([], offset) | ([(_, 0)], offset) => Access::Scalar(offset),
            ([(_, 1)], 0) => Access::Same,
            ([(_, 0), (n, 1)], 0) if n % 4 == 0 => Access::Row(*n),
            ([(_, 1), (n, 0)], 0) if n % 4 == 0 => Access::Column(*n),
            (dims, offset) if dims.len() <= 4 => {
                let (mut shape, mut stride) = ([1; 4], [0; 4]);
                for (i, &(e, s)) in dims.iter().rev().enumerate() {
                    (shape[3 - i], stride[3 - i]) = (e, s);
                }
                Access::Strided { shape, stride, offset }
            }
            _ => return None,
        })
    }
}

/// A stored node that the expression reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The stored node.
    pub node: NodeId,
    /// How its elements are addressed.
    pub access: Access,
    /// Whether it is read through the output's own binding, which is updated in place.
    pub old: bool,
}

/// The pixels in flight: their wave, and the node of the step's counter.
pub type Flight = (Wave, NodeId);

impl Load {
    /// Whether channels of images are read four at a time; `y` is the output's binding.
    fn fours(&self, channels: usize, y: &str) -> bool {
        channels.is_multiple_of(4) && (!self.old || y == "y4")
    }
}

/// The name of the output's binding.
pub fn output(launch: &LaunchSpec) -> &'static str {
    launch.bindings.iter().find(|b| b.1 == Operand::Output).map_or("y", |b| b.0)
}

#[derive(Clone, Debug)]
enum Value {
    /// The host's result, the function's argument `v`.
    Host,
    /// The right half of the host's result, where `v` is the left one.
    Half,
    /// The output's own old value, updated in place.
    Old,
    Load(usize),
    Constant(usize),
    Call(&'static Row, Vec<usize>),
}

/// A straight-line program over loads, constants and calls of table rows; the last value is the result.
#[derive(Clone, Debug, Default)]
pub struct Expr {
    /// The nodes that are read from memory.
    pub loads: Vec<Load>,
    /// The pixels in flight, where a load looks at images.
    pub flight: Option<Flight>,
    constants: Vec<f32>,
    values: Vec<Value>,
}

/// The table's functions, and those that they share, by name. Each is one line, or ends with a brace in the
/// first column.
fn functions(library: &str) -> Vec<(&str, &str)> {
    let block = library
        .split_once("// <functions>\n")
        .and_then(|(_, rest)| rest.split_once("// </functions>"))
        .map_or("", |(block, _)| block);
    let starts: Vec<usize> = block
        .match_indices("fn ")
        .map(|(i, _)| i)
        .filter(|&i| i == 0 || block[..i].ends_with('\n'))
        .collect();
    let function = |&start: &usize| {
        let text = &block[start..];
        let line = text.find('\n').map_or(text.len(), |i| i + 1);
        let end = if text[..line].trim_end().ends_with('}') {
            line
        } else {
            text.find("\n}\n").map_or(text.len(), |i| i + 3)
        };
        (&text[3..text.find('(').unwrap_or(3)], &text[..end])
    };
    starts.iter().map(function).collect()
}

impl Expr {
    fn push(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len() - 1
    }

    /// Appends a constant. It lies in the uniform, so that the text stays the same for other numbers.
    pub fn constant(&mut self, c: f32) -> usize {
        let known = self.constants.iter().position(|k| k.to_bits() == c.to_bits());
        let index = known.unwrap_or_else(|| {
            self.constants.push(c);
            self.constants.len() - 1
        });
        self.push(Value::Constant(index))
    }

    /// Appends a load.
    pub fn load(&mut self, node: NodeId, access: Access) -> usize {
        let load = Load { node, access, old: false };
        let known = self.loads.iter().position(|l| *l == load);
        let index = known.unwrap_or_else(|| {
            self.loads.push(load);
            self.loads.len() - 1
        });
        self.push(Value::Load(index))
    }

    /// Appends a call.
    pub fn call(&mut self, row: &'static Row, args: Vec<usize>) -> usize {
        self.push(Value::Call(row, args))
    }

    /// Appends a load of what the pixels in flight see.
    pub fn look(&mut self, node: NodeId, access: Access, flight: Flight) -> usize {
        self.flight = Some(flight);
        self.load(node, access)
    }

    /// The expression with the loads of `host` replaced by the host's result in registers.
    pub fn with_value(self, host: NodeId) -> Self {
        self.replace(|l| l.node == host, Value::Host)
    }

    /// The expression with the loads of the host's two halves replaced by these in registers.
    pub fn with_halves(self, host: NodeId, [left, right]: &[Access; 2]) -> Self {
        self.replace(|l| l.node == host && l.access == *left, Value::Host)
            .replace(|l| l.node == host && l.access == *right, Value::Half)
    }

    /// The expression with loads of `node` read through the output binding.
    pub fn in_place(mut self, node: NodeId) -> Self {
        let seen = |l: &Load| l.node == node && matches!(l.access, Access::Seen { .. });
        self.loads.iter_mut().filter(|l| seen(l)).for_each(|l| l.old = true);
        self.replace(|l| l.node == node && !l.old, Value::Old)
    }

    fn replace(mut self, of: impl Fn(&Load) -> bool, by: Value) -> Self {
        let Some(gone) = self.loads.iter().position(of) else { return self };
        self.loads.remove(gone);
        for value in &mut self.values {
            match value {
                Value::Load(k) if *k == gone => *value = by.clone(),
                Value::Load(k) if *k > gone => *k -= 1,
                _ => {}
            }
        }
        self
    }

    /// The expression with the loads of `node` replaced by the expression that computes it, unless one of them does
    /// not line up with the output.
    pub fn with_computed(&self, node: NodeId, by: &Self) -> Option<Self> {
        let lines_up = |l: &Load| l.node != node || l.access == Access::Same;
        if !self.loads.iter().all(lines_up) {
            return None;
        }
        let mut out = Self::default();
        let value = by.append(&mut out, None);
        self.append(&mut out, Some((node, value)));
        Some(out)
    }

    /// Appends an expression to another one, in which a node is known already, and returns its result.
    fn append(&self, out: &mut Self, known: Option<(NodeId, usize)>) -> usize {
        let mut at: Vec<usize> = vec![];
        for value in &self.values {
            let value = match value {
                Value::Load(k) => match (&self.loads[*k], known) {
                    (load, Some((node, value))) if load.node == node => value,
                    (load, _) => out.load(load.node, load.access.clone()),
                },
                Value::Constant(c) => out.constant(self.constants[*c]),
                Value::Call(row, args) => out.call(row, args.iter().map(|&a| at[a]).collect()),
                other => out.push(other.clone()),
            };
            at.push(value);
        }
        at.last().copied().unwrap_or_default()
    }

    /// The number of functions that it calls.
    pub fn calls(&self) -> usize {
        self.values.iter().filter(|v| matches!(v, Value::Call(..))).count()
    }

    /// The floating-point operations of one element.
    pub fn flops(&self) -> usize {
        self.values.iter().map(|v| if let Value::Call(row, _) = v { row.flops } else { 0 }).sum()
    }

    /// A short name for tables: the names of the called rows in order, as `mul+add+relu`.
    pub fn label(&self) -> String {
        let rows: Vec<_> = self
            .values
            .iter()
            .filter_map(|v| if let Value::Call(row, _) = v { Some(row.name) } else { None })
            .collect();
        match rows.len() {
            0 => "copy".into(),
            1..=4 => rows.join("+"),
            n => format!("{}+…{}…+{}", rows[0], n - 2, rows[n - 1]),
        }
    }

    /// The marked function of a shader, preceded by the table functions that it calls where the shader's own text
    /// lacks them. `y` is the output's binding.
    pub fn wgsl(&self, library: &str, own: &str, y: &str) -> String {
        let mut text = String::new();
        text += "fn fused(i: u32, v: vec4<f32>) -> vec4<f32> {\n";
        for (k, load) in self.loads.iter().enumerate() {
            // Loads that line up alike share an index, which is a division.
            let at = self.loads.iter().position(|other| other.access == load.access).unwrap_or(k);
            let read = match load.access {
                Access::Same => format!("floats(x{k}[i])"),
                Access::Scalar(_) => format!("vec4<f32>(s{k}[dims.access[{k}].offset])"),
                Access::Row(_) => format!("floats(x{k}[row(i, {at}u)])"),
                Access::Column(_) => format!("vec4<f32>(s{k}[column(i, {at}u)])"),
                Access::Seen { channels, .. } => {
                    let fours = load.fours(channels, y);
                    let of = if load.old { y } else { self.binding(k) };
                    let (sees, at) = if fours { ("sight", "0") } else { ("sights", "vec4<i32>()") };
                    text += &format!("  let a{k} = {sees}(i, {k}u);\n  let n{k} = max(a{k}, {at});\n");
                    let found = if fours {
                        format!("floats({of}[n{k}])")
                    } else {
                        format!("vec4<f32>({of}[n{k}.x], {of}[n{k}.y], {of}[n{k}.z], {of}[n{k}.w])")
                    };
                    format!("select(vec4<f32>(), {found}, a{k} >= {at})")
                }
                Access::Strided { .. } => {
                    if at == k {
                        text += &format!("  let a{k} = strided(i, {k}u);\n");
                    }
                    format!("vec4<f32>(s{k}[a{at}.x], s{k}[a{at}.y], s{k}[a{at}.z], s{k}[a{at}.w])")
                }
            };
            text += &format!("  let l{k} = {read};\n");
        }
        for (n, value) in self.values.iter().enumerate() {
            let right = match value {
                Value::Host => "v".into(),
                Value::Half => "half".into(),
                Value::Old => format!("floats({y}[i])"),
                Value::Load(k) => format!("l{k}"),
                Value::Constant(c) => {
                    format!("vec4<f32>(dims.constant[{}].{})", c / 4, ["x", "y", "z", "w"][c % 4])
                }
                Value::Call(row, args) => {
                    let args: Vec<_> = args.iter().map(|a| format!("v{a}")).collect();
                    format!("e_{}({})", row.name, args.join(", "))
                }
            };
            text += &format!("  let v{n} = {right};\n");
        }
        text += &format!("  return v{};\n}}\n", self.values.len() - 1);
        // In the library, too, a function stands behind the functions that it calls.
        for (name, body) in functions(library).into_iter().rev() {
            if text.contains(&format!("{name}(")) && !own.contains(&format!("fn {name}(")) {
                text.insert_str(0, body);
            }
        }
        text
    }

    /// The launch with the members of `dims` that the function needs.
    pub fn dims(&self, mut launch: LaunchSpec) -> LaunchSpec {
        let y = output(&launch);
        for (k, load) in self.loads.iter().enumerate() {
            let at = |member: &str| format!("access[{k}].{member}");
            launch = match load.access {
                Access::Same => launch,
                Access::Scalar(offset) => launch.dim(&at("offset"), offset),
                Access::Row(n) | Access::Column(n) => launch.dim(&at("shape[3]"), n / 4),
                Access::Seen { kept, channels, tap } => {
                    let unit = if load.fours(channels, y) { 4 } else { 1 };
                    launch
                        .dim(&at("shape[2]"), kept)
                        .dim(&at("shape[3]"), channels / unit)
                        .dim(&at("stride[0]"), tap[0] as u32 as usize)
                        .dim(&at("stride[1]"), tap[1] as u32 as usize)
                }
                Access::Strided { shape, stride, offset } => {
                    (0..4).fold(launch.dim(&at("offset"), offset), |l, d| {
                        l.dim(&at(&format!("shape[{d}]")), shape[d])
                            .dim(&at(&format!("stride[{d}]")), stride[d])
                    })
                }
            };
        }
        for (c, &value) in self.constants.iter().enumerate() {
            launch = launch.dim_f32(&format!("constant[{}][{}]", c / 4, c % 4), value);
        }
        launch
    }

    /// The name of the binding for load `k`, which is seen as vec4s or as scalars.
    pub fn binding(&self, k: usize) -> &'static str {
        const VECTORS: [&str; 7] = ["x0", "x1", "x2", "x3", "x4", "x5", "x6"];
        const SCALARS: [&str; 7] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6"];
        match self.loads[k].access {
            Access::Same | Access::Row(_) => VECTORS[k],
            Access::Seen { channels, .. } if channels % 4 == 0 => VECTORS[k],
            _ => SCALARS[k],
        }
    }

    /// The number of distinct constants.
    pub fn constants(&self) -> usize {
        self.constants.len()
    }
}
