//! Which expressions of a module decide on control flow, and what each expression costs.

use super::Work;
use naga::{
    AddressSpace, BinaryOperator, Block, Expression, Function, Handle, MathFunction, Module, ScalarKind,
    Statement, TypeInner,
    valid::{FunctionInfo, ModuleInfo},
};

/// What the walk knows of a function beforehand.
pub(super) struct Known<'m> {
    pub(super) function: &'m Function,
    pub(super) handles: Vec<Handle<Expression>>,
    /// Whether each expression is needed.
    needed: Vec<bool>,
    locals: Vec<bool>,
    arguments: Vec<bool>,
    result: bool,
    /// The cost of all expressions before this one.
    before: Vec<Work>,
    /// The needed expression from this one on.
    pub(super) next: Vec<usize>,
}

impl<'m> Known<'m> {
    /// The functions of a module by their handles' indices, and the entry point as the last one.
    pub(super) fn all(module: &'m Module, info: &'m ModuleInfo, entry: usize) -> Vec<Self> {
        let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
        let last = (&module.entry_points[entry].function, info.get_entry_point(entry));
        let mut all: Vec<_> =
            functions.chain([last]).map(|(function, info)| Self::new(module, function, info)).collect();
        while (0..all.len()).any(|at| Need::visit(&mut all, at)) {}
        all.iter_mut().for_each(Self::link);
        all
    }

    fn new(module: &Module, function: &'m Function, info: &FunctionInfo) -> Self {
        let count = function.expressions.len();
        let mut before = vec![Work::default()];
        for (handle, expression) in function.expressions.iter() {
            let mut sum = before[handle.index()];
            sum.add(cost(module, function, info, expression, handle));
            before.push(sum);
        }
        Self {
            function,
            handles: function.expressions.iter().map(|(handle, _)| handle).collect(),
            needed: vec![false; count],
            locals: vec![false; function.local_variables.len()],
            arguments: vec![false; function.arguments.len()],
            result: false,
            before,
            next: vec![],
        }
    }

    fn link(&mut self) {
        self.next = vec![self.needed.len(); self.needed.len() + 1];
        for i in (0..self.needed.len()).rev() {
            self.next[i] = if self.needed[i] { i } else { self.next[i + 1] };
        }
    }

    /// The cost of the expressions `first..last`.
    pub(super) fn cost(&self, first: usize, last: usize) -> Work {
        let (a, b) = (self.before[first], self.before[last]);
        Work {
            products: b.products - a.products,
            loaded: b.loaded - a.loaded,
            shared: b.shared - a.shared,
            barriers: b.barriers - a.barriers,
        }
    }

    pub(super) fn local(&self, index: usize) -> bool {
        self.locals[index]
    }
}

/// Marks what a function needs; `changed` says whether anything was new.
struct Need<'a, 'm> {
    all: &'a mut [Known<'m>],
    at: usize,
    changed: bool,
}

impl<'m> Need<'_, 'm> {
    fn visit(all: &mut [Known<'m>], at: usize) -> bool {
        let function = all[at].function;
        let mut this = Need { all, at, changed: false };
        this.block(&function.body);
        for (handle, variable) in function.local_variables.iter() {
            if let Some(init) = variable.init.filter(|_| this.all[at].locals[handle.index()]) {
                this.expression(init);
            }
        }
        this.changed
    }

    fn block(&mut self, block: &Block) {
        for statement in block {
            match statement {
                Statement::Block(block) => self.block(block),
                Statement::If { condition, accept, reject } => {
                    self.expression(*condition);
                    self.block(accept);
                    self.block(reject);
                }
                Statement::Switch { selector, cases } => {
                    self.expression(*selector);
                    cases.iter().for_each(|case| self.block(&case.body));
                }
                Statement::Loop { body, continuing, break_if } => {
                    self.block(body);
                    self.block(continuing);
                    break_if.iter().for_each(|e| self.expression(*e));
                }
                Statement::Return { value: Some(value) } if self.all[self.at].result => {
                    self.expression(*value);
                }
                Statement::Store { pointer, value } if self.reaches(*pointer) => {
                    self.expression(*pointer);
                    self.expression(*value);
                }
                Statement::Call { function, arguments, result } => {
                    let callee = function.index();
                    for (i, argument) in arguments.iter().enumerate() {
                        if self.all[callee].arguments[i] {
                            self.expression(*argument);
                        }
                    }
                    let wanted = result.is_some_and(|r| self.all[self.at].needed[r.index()]);
                    if wanted && !self.all[callee].result {
                        self.all[callee].result = true;
                        self.changed = true;
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether a pointer leads into a variable that is needed.
    fn reaches(&self, pointer: Handle<Expression>) -> bool {
        let known = &self.all[self.at];
        match known.function.expressions[pointer] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.reaches(base),
            Expression::LocalVariable(local) => known.locals[local.index()],
            _ => false,
        }
    }

    fn expression(&mut self, handle: Handle<Expression>) {
        let known = &mut self.all[self.at];
        if std::mem::replace(&mut known.needed[handle.index()], true) {
            return;
        }
        self.changed = true;
        match &known.function.expressions[handle] {
            Expression::LocalVariable(local) => known.locals[local.index()] = true,
            Expression::FunctionArgument(i) => known.arguments[*i as usize] = true,
            other => operands(other).into_iter().for_each(|operand| self.expression(operand)),
        }
    }
}

/// The expressions that an expression is made of.
fn operands(expression: &Expression) -> Vec<Handle<Expression>> {
    match expression {
        Expression::Compose { components, .. } => components.clone(),
        Expression::Access { base, index } => vec![*base, *index],
        Expression::AccessIndex { base, .. } => vec![*base],
        Expression::Splat { value, .. } => vec![*value],
        Expression::Swizzle { vector, .. } => vec![*vector],
        Expression::Load { pointer } => vec![*pointer],
        Expression::Unary { expr, .. } | Expression::As { expr, .. } => vec![*expr],
        Expression::Binary { left, right, .. } => vec![*left, *right],
        Expression::Select { condition, accept, reject } => vec![*condition, *accept, *reject],
        Expression::Relational { argument, .. } => vec![*argument],
        Expression::Math { arg, arg1, arg2, arg3, .. } => {
            [Some(*arg), *arg1, *arg2, *arg3].into_iter().flatten().collect()
        }
        _ => vec![],
    }
}

/// What an expression costs by itself.
fn cost(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    expression: &Expression,
    handle: Handle<Expression>,
) -> Work {
    let inner = |handle: Handle<Expression>| info[handle].ty.inner_with(&module.types);
    let floats = |inner: &TypeInner| match inner {
        TypeInner::Scalar(s) if s.kind == ScalarKind::Float => 1,
        TypeInner::Vector { size, scalar } if scalar.kind == ScalarKind::Float => *size as u64,
        _ => 0,
    };
    let mut work = Work::default();
    match expression {
        Expression::Binary { op: BinaryOperator::Multiply, .. } => work.products = floats(inner(handle)),
        Expression::Math { fun: MathFunction::Fma, .. } => work.products = floats(inner(handle)),
        Expression::Math { fun: MathFunction::Dot, arg, .. } => work.products = floats(inner(*arg)),
        Expression::Load { pointer } => {
            let bytes = u64::from(inner(handle).size(module.to_ctx()));
            match space(module, function, info, *pointer) {
                Some(AddressSpace::Storage { .. }) => work.loaded = bytes,
                Some(AddressSpace::WorkGroup) => work.shared = bytes,
                _ => {}
            }
        }
        _ => {}
    }
    work
}

/// The address space that a pointer leads into.
fn space(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    pointer: Handle<Expression>,
) -> Option<AddressSpace> {
    match function.expressions[pointer] {
        Expression::GlobalVariable(global) => Some(module.global_variables[global].space),
        Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => {
            space(module, function, info, base)
        }
        _ => info[pointer].ty.inner_with(&module.types).pointer_space(),
    }
}
