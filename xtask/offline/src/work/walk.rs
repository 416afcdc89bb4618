//! The walk through the statements of an entry point.

use super::{
    Work,
    eval::constant,
    need::Known,
    value::{Root, Value},
};
use naga::{Binding, Block, BuiltIn, Expression, Handle, Module, Statement, SwitchValue, valid::ModuleInfo};

/// The most passes of a loop; one that runs longer waits for something that the walk does not know.
const PASSES: usize = 1 << 20;

/// A walk.
pub(super) struct Walk<'m> {
    pub(super) module: &'m Module,
    pub(super) functions: Vec<Known<'m>>,
    pub(super) words: &'m [u32],
    grid: [u32; 3],
    work: Work,
    /// Whether a loop may have ended at a condition that is unknown.
    unsure: bool,
}

/// A call of a function.
pub(super) struct Frame {
    pub(super) function: usize,
    pub(super) values: Vec<Value>,
    pub(super) locals: Vec<Value>,
    pub(super) arguments: Vec<Value>,
}

/// Where the walk goes on after a statement.
enum Flow {
    Next,
    Break,
    Continue,
    Return(Value),
}

impl<'m> Walk<'m> {
    pub(super) fn new(
        module: &'m Module,
        info: &'m ModuleInfo,
        entry: &str,
        words: &'m [u32],
        grid: [u32; 3],
    ) -> Self {
        let position = module.entry_points.iter().position(|e| e.name == entry);
        let functions = Known::all(module, info, position.expect("reflection found the entry point"));
        Self { module, functions, words, grid, work: Work::default(), unsure: false }
    }

    /// Walks from the beginning to the end.
    pub(super) fn run(mut self) -> Result<Work, String> {
        let entry = self.functions.len() - 1;
        let of = |binding: Option<&Binding>, ty| match binding {
            Some(Binding::BuiltIn(BuiltIn::NumWorkGroups)) => {
                Value::Many(self.grid.iter().map(|&n| Value::Uint(n)).collect())
            }
            _ => Value::zero(self.module, ty),
        };
        let arguments = &self.functions[entry].function.arguments;
        let arguments = arguments.iter().map(|a| of(a.binding.as_ref(), a.ty)).collect();
        self.call(entry, arguments);
        Ok(self.work)
    }

    fn call(&mut self, at: usize, arguments: Vec<Value>) -> Value {
        let function = self.functions[at].function;
        let values = vec![Value::Unknown; function.expressions.len()];
        let mut frame = Frame { function: at, values, locals: vec![], arguments };
        for (handle, variable) in function.local_variables.iter() {
            let value = match variable.init {
                _ if !self.functions[at].local(handle.index()) => Value::Unknown,
                Some(init) => constant(self.module, &function.expressions, init),
                None => Value::zero(self.module, variable.ty),
            };
            frame.locals.push(value);
        }
        match self.block(&mut frame, &function.body) {
            Flow::Return(value) => value,
            _ => Value::Unknown,
        }
    }

    fn block(&mut self, frame: &mut Frame, block: &'m Block) -> Flow {
        for statement in block {
            match self.statement(frame, statement) {
                Flow::Next => {}
                other => return other,
            }
        }
        Flow::Next
    }

    fn statement(&mut self, frame: &mut Frame, statement: &'m Statement) -> Flow {
        match statement {
            Statement::Emit(range) => {
                if let Some((first, last)) = range.first_and_last() {
                    self.emit(frame, first.index(), last.index() + 1);
                }
            }
            Statement::Block(block) => return self.block(frame, block),
            Statement::If { condition, accept, reject } => {
                let taken = match self.operand(frame, *condition) {
                    Value::Bool(true) => accept,
                    Value::Bool(false) => reject,
                    // What a value decides is not known: the walk goes on, and a loop that may end here does so.
                    _ => {
                        let [ends, may_end] = [leaves(accept), leaves(reject)];
                        self.unsure |= ends != may_end;
                        if ends && !may_end { reject } else { accept }
                    }
                };
                return self.block(frame, taken);
            }
            Statement::Switch { selector, cases } => {
                let chosen = match self.operand(frame, *selector) {
                    Value::Uint(v) => cases.iter().position(|c| c.value == SwitchValue::U32(v)),
                    Value::Sint(v) => cases.iter().position(|c| c.value == SwitchValue::I32(v)),
                    _ => None,
                };
                let chosen = chosen.or_else(|| cases.iter().position(|c| c.value == SwitchValue::Default));
                for case in cases.iter().skip(chosen.unwrap_or(cases.len())) {
                    match self.block(frame, &case.body) {
                        Flow::Next if case.fall_through => {}
                        Flow::Next | Flow::Break => break,
                        other => return other,
                    }
                }
            }
            Statement::Loop { body, continuing, break_if } => {
                return self.repeat(frame, body, continuing, *break_if);
            }
            Statement::Break => return Flow::Break,
            Statement::Continue => return Flow::Continue,
            Statement::Return { value } => {
                return Flow::Return(value.map_or(Value::Unknown, |v| self.operand(frame, v)));
            }
            Statement::ControlBarrier(_) => self.work.barriers += 1,
            Statement::Store { pointer, value } => {
                if let Value::Pointer(Root::Local(local), path) = self.operand(frame, *pointer) {
                    let value = self.operand(frame, *value);
                    frame.locals[local].set(&path, value);
                }
            }
            Statement::Call { function, arguments, result } => {
                let given: Vec<_> = arguments.iter().map(|a| self.operand(frame, *a)).collect();
                // The callee may write through pointers.
                let lent = given.iter().filter_map(|v| match v {
                    Value::Pointer(Root::Local(local), _) => Some(*local),
                    _ => None,
                });
                lent.for_each(|local| frame.locals[local] = Value::Unknown);
                let given = given.into_iter().map(|v| match v {
                    Value::Pointer(Root::Local(_), path) => Value::Pointer(Root::Elsewhere, path),
                    other => other,
                });
                let value = self.call(function.index(), given.collect());
                if let Some(result) = result {
                    frame.values[result.index()] = value;
                }
            }
            _ => {}
        }
        Flow::Next
    }

    fn repeat(
        &mut self,
        frame: &mut Frame,
        body: &'m Block,
        continuing: &'m Block,
        break_if: Option<Handle<Expression>>,
    ) -> Flow {
        let before = std::mem::replace(&mut self.unsure, false);
        for _ in 0..PASSES {
            match self.block(frame, body) {
                Flow::Break => break,
                Flow::Return(value) => return Flow::Return(value),
                Flow::Next | Flow::Continue => {}
            }
            self.block(frame, continuing);
            let ends = break_if.is_some_and(|e| self.operand(frame, e) != Value::Bool(false));
            if ends || self.unsure {
                break;
            }
        }
        self.unsure = before;
        Flow::Next
    }

    /// Evaluates the needed ones of the expressions `first..last`, and counts the cost of all.
    fn emit(&mut self, frame: &mut Frame, first: usize, last: usize) {
        let known = &self.functions[frame.function];
        self.work.add(known.cost(first, last));
        let mut at = known.next[first];
        while at < last {
            let known = &self.functions[frame.function];
            let (next, handle) = (known.next[at + 1], known.handles[at]);
            frame.values[at] = self.value(frame, handle);
            at = next;
        }
    }
}

/// Whether a block ends by leaving what is around it. At the end of a function both branches do.
fn leaves(block: &Block) -> bool {
    matches!(block.last(), Some(Statement::Break | Statement::Continue | Statement::Return { .. }))
}
