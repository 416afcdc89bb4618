//! The persistent values of a graph: how they are declared, and how they get their values of the next step.

use super::{
    ALIGN, Graph, Origin, Tensor,
    shape::Type,
    var::{Arena, FileLayout, Home, Init, Role, VarSpec, average},
};

impl Graph {
    /// Declares a persistent value that is no part of the model ([`Role::Working`]) unless an optimizer
    /// trains it.
    #[track_caller]
    pub fn var(&self, name: &str, ty: Type, init: Init) -> Tensor<'_> {
        self.declare(VarSpec::new(name, ty, init, Role::Working))
    }

    /// Declares a parameter of the model ([`Role::Trained`]), whether this graph trains it or not.
    #[track_caller]
    pub fn param(&self, name: &str, ty: Type, init: Init) -> Tensor<'_> {
        self.declare(VarSpec::new(name, ty, init, Role::Trained))
    }

    /// The names of the model's weights that the graph has declared so far; see
    /// [`Plan::weights`](crate::plan::Plan::weights).
    pub fn weights(&self) -> Vec<String> {
        self.recording().vars.iter().filter(|v| v.role.is_weight()).map(|v| v.name.clone()).collect()
    }

    /// Declares a parameter as [`Graph::param`] does, which weights files hold in another layout.
    #[track_caller]
    pub fn param_in(&self, name: &str, ty: Type, init: Init, layout: FileLayout) -> Tensor<'_> {
        self.declare(VarSpec { layout, ..VarSpec::new(name, ty, init, Role::Trained) })
    }

    /// Declares a part of the model that no optimizer trains ([`Role::Buffer`]), such as running statistics.
    #[track_caller]
    pub fn buffer(&self, name: &str, ty: Type, init: Init) -> Tensor<'_> {
        self.declare(VarSpec::new(name, ty, init, Role::Buffer))
    }

    /// Gives a variable other first contents than its layer declared. Where other variables begin as norms of
    /// it, they follow.
    #[track_caller]
    pub fn initialise(&self, variable: Tensor<'_>, init: Init) {
        let source = self.owns(variable).then(|| self.recording.borrow().nodes[variable.id].origin.clone());
        let Some(Origin::Var(v)) = source else {
            self.poison("initialise: the tensor is not a variable of this graph");
            return;
        };
        if let Some(fault) = init.fault(variable.shape().numel()) {
            self.poison(format!("initialise: the variable {fault}"));
            return;
        }
        let vars = &mut self.recording.borrow_mut().vars;
        let name = vars[v].name.clone();
        for var in vars.iter_mut() {
            if let Init::Norms { of, init: inner, .. } = &mut var.init
                && *of == name
            {
                **inner = init.clone();
            }
        }
        vars[v].init = init;
    }

    /// Declares a persistent value. The same name and type again stand for the same variable; another type is
    /// a mistake.
    #[track_caller]
    pub fn declare(&self, spec: VarSpec) -> Tensor<'_> {
        let (name, ty) = (spec.name.clone(), spec.ty.clone());
        let found = self.recording.borrow().vars.iter().position(|v| v.name == name);
        if let Some(index) = found {
            let recording = self.recording.borrow();
            if recording.vars[index].ty != ty {
                drop(recording);
                return self.poison(format!("variable `{name}` is declared twice with different types"));
            }
            let id = recording.nodes.iter().position(|n| matches!(n.origin, Origin::Var(i) if i == index));
            if let Some(id) = id {
                return Tensor { graph: self, id };
            }
        }
        let fault = ty.shape.fault().map(String::from);
        if let Some(fault) = fault.or_else(|| spec.init.fault(ty.shape.numel())) {
            return self.poison(format!("variable `{name}` {ty:?} {fault}"));
        }
        let index = found.unwrap_or_else(|| {
            let mut recording = self.recording.borrow_mut();
            recording.vars.push(spec);
            recording.vars.len() - 1
        });
        self.push(Origin::Var(index), ty, self.here())
    }

    /// The step counter, u32 `[1]`, which all random draws and minibatches follow. The graph that calls
    /// `optim::advance` moves it on; [`Graph::count_by`] names another one.
    #[track_caller]
    pub fn step(&self) -> Tensor<'_> {
        let name = self.recording.borrow().counter.clone();
        let name = name.as_deref().unwrap_or("step");
        self.declare(VarSpec::new(name, Type::u32([1]), Init::Zeros, Role::Counter))
    }

    /// Makes this graph count its steps by a variable of this name, as an evaluation beside a training run
    /// does.
    pub fn count_by(&self, variable: &str) {
        self.recording.borrow_mut().counter = Some(variable.into());
    }

    /// The key of all random draws, u32 `[2]`: the seed with which the State was made.
    #[track_caller]
    pub fn seed(&self) -> Tensor<'_> {
        self.declare(VarSpec::new("seed", Type::u32([2]), Init::Seed, Role::Counter))
    }

    /// Gives a variable its value of the next step. Readers within this step see the old one.
    #[track_caller]
    pub fn assign(&self, variable: Tensor<'_>, value: Tensor<'_>) {
        if !self.owns(variable) || !self.owns(value) {
            self.poison("assign: a tensor belongs to another graph");
            return;
        }
        let recording = self.recording.borrow();
        let leaf = matches!(recording.nodes[variable.id].origin, Origin::Var(_) | Origin::Arena(_));
        let twice = recording.assigns.iter().any(|&(v, _)| recording.overlap(v, variable.id));
        drop(recording);
        if !leaf {
            self.poison("assign: the target is not a variable");
        } else if twice {
            self.poison("assign: the variable is assigned twice in one step, perhaps by its optimizer");
        } else if variable.ty() != value.ty() {
            self.poison(format!("assign: the variable is {:?}, the value {:?}", variable.ty(), value.ty()));
        } else {
            self.recording.borrow_mut().assigns.push((variable.id, value.id));
        }
    }

    /// Gives a variable the next value that `next` makes of the value so far: the one that this step assigned
    /// already, or else the variable's own. Several updates in one step thus follow each other.
    #[track_caller]
    pub fn update<'g>(&'g self, variable: Tensor<'g>, next: impl FnOnce(Tensor<'g>) -> Tensor<'g>) {
        let mut recording = self.recording.borrow_mut();
        let given = recording.assigns.iter().position(|&(leaf, _)| leaf == variable.id);
        let given = given.map(|i| recording.assigns.remove(i).1);
        drop(recording);
        self.assign(variable, next(given.map_or(variable, |id| self.tensor(id))));
    }

    /// Puts the parameters of one optimizer group side by side into an arena and returns the whole as a
    /// tensor `[rows, total]`. Row 0 holds the parameters. Each moment has a row, with the variables
    /// `MOMENT/NAME`. The last row holds the moving [`average`]s, if they are asked for.
    #[track_caller]
    pub fn arena(&self, name: &str, vars: &[Tensor<'_>], moments: &[&str], averaged: bool) -> Tensor<'_> {
        if self.recording.borrow().arenas.iter().any(|a| a.name == name) {
            return self.poison(format!(
                "optimizer group `{name}` is declared twice; give each group a name of its own"
            ));
        }
        let mut recording = self.recording.borrow_mut();
        let index = recording.arenas.len();
        let mut members = Vec::new();
        let mut offset = 0;
        for t in vars {
            match recording.nodes[t.id].origin {
                Origin::Var(v) if recording.vars[v].home.is_none() => {
                    recording.vars[v].home = Some(Home { arena: index, row: 0, offset });
                    recording.vars[v].role = Role::Trained;
                    offset += recording.vars[v].ty.shape.numel().next_multiple_of(ALIGN);
                    members.push(v);
                }
                _ => {
                    drop(recording);
                    return self.poison(format!(
                        "arena `{name}`: a member is not a variable, or in an arena already"
                    ));
                }
            }
        }
        let rows = 1 + moments.len() + usize::from(averaged);
        for row in 1..rows {
            for &v in &members {
                let param = recording.vars[v].clone();
                let home = param.home.map(|home| Home { row, ..home });
                let spec = match moments.get(row - 1) {
                    Some(moment) => {
                        let name = format!("{moment}/{}", param.name);
                        VarSpec { home, ..VarSpec::new(name, param.ty, Init::Zeros, Role::Working) }
                    }
                    // An average begins where its parameter does, and lies in files as it does.
                    None => {
                        let (name, of) = (average(&param.name), param.name.clone());
                        let init = Init::Copy { of, init: param.init.into() };
                        VarSpec { name, init, role: Role::Average, home, ..param }
                    }
                };
                recording.vars.push(spec);
            }
        }
        recording.arenas.push(Arena { name: name.into(), rows, row_len: offset, members });
        drop(recording);
        self.push(Origin::Arena(index), Type::f32([rows, offset]), self.here())
    }
}
