//! The value of an expression.

use super::{
    value::{Root, Value},
    walk::{Frame, Walk},
};
use naga::{AddressSpace, Arena, Expression, Handle, Literal, Module, RelationalFunction, TypeInner};

impl Walk<'_> {
    /// The value of an operand: it was computed before, or it is one that needs no computing.
    pub(super) fn operand(&self, frame: &Frame, handle: Handle<Expression>) -> Value {
        let arena = &self.functions[frame.function].function.expressions;
        match arena[handle] {
            Expression::FunctionArgument(i) => frame.arguments[i as usize].clone(),
            Expression::LocalVariable(local) => Value::Pointer(Root::Local(local.index()), vec![]),
            Expression::GlobalVariable(global) => {
                let variable = &self.module.global_variables[global];
                let uniform = variable.space == AddressSpace::Uniform;
                Value::Pointer(if uniform { Root::Uniform(variable.ty) } else { Root::Elsewhere }, vec![])
            }
            Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => {
                constant(self.module, arena, handle)
            }
            _ => frame.values[handle.index()].clone(),
        }
    }

    /// Computes an expression from its operands.
    pub(super) fn value(&self, frame: &Frame, handle: Handle<Expression>) -> Value {
        let of = |handle: Handle<Expression>| self.operand(frame, handle);
        let arena = &self.functions[frame.function].function.expressions;
        match &arena[handle] {
            Expression::Access { base, index } => step(of(*base), of(*index).index()),
            Expression::AccessIndex { base, index } => step(of(*base), Some(*index)),
            Expression::Compose { ty, components } => {
                compose(self.module, *ty, components.iter().map(|c| of(*c)).collect())
            }
            Expression::Splat { size, value } => Value::Many(vec![of(*value); *size as usize]),
            Expression::Swizzle { size, vector, pattern } => {
                let vector = of(*vector);
                let picked = pattern[..*size as usize].iter().map(|&c| vector.element(Some(c as u32)));
                Value::Many(picked.collect())
            }
            Expression::Load { pointer } => match of(*pointer) {
                Value::Pointer(Root::Local(local), path) => frame.locals[local].at(&path),
                Value::Pointer(Root::Uniform(ty), path) => self.uniform(ty, &path),
                _ => Value::Unknown,
            },
            Expression::Unary { op, expr } => of(*expr).unary(*op),
            Expression::Binary { op, left, right } => of(*left).binary(*op, of(*right)),
            Expression::Select { condition, accept, reject } => {
                let (accept, reject) = (of(*accept), of(*reject));
                match of(*condition) {
                    Value::Bool(true) => accept,
                    Value::Bool(false) => reject,
                    Value::Many(each) => Value::Many(
                        each.iter()
                            .zip(0..)
                            .map(|(c, i)| match c {
                                Value::Bool(true) => accept.element(Some(i)),
                                Value::Bool(false) => reject.element(Some(i)),
                                _ => Value::Unknown,
                            })
                            .collect(),
                    ),
                    _ => Value::Unknown,
                }
            }
            Expression::Relational { fun, argument } => match (fun, of(*argument)) {
                (RelationalFunction::All, Value::Many(each)) => joined(&each, true),
                (RelationalFunction::Any, Value::Many(each)) => joined(&each, false),
                _ => Value::Unknown,
            },
            Expression::Math { fun, arg, arg1, arg2, .. } => {
                let other = |argument: &Option<_>| argument.map_or(Value::Unknown, of);
                of(*arg).math(*fun, other(arg1), other(arg2))
            }
            Expression::As { expr, kind, .. } => of(*expr).convert(*kind),
            _ => of(handle),
        }
    }

    /// A value in the uniform buffer.
    fn uniform(&self, ty: Handle<naga::Type>, path: &[Option<u32>]) -> Value {
        let (mut ty, mut at, mut rest) = (ty, 0, path);
        let word = |at: u32| self.words.get(at as usize / 4).copied().unwrap_or(0);
        while let Some((index, after)) = rest.split_first() {
            let Some(index) = *index else { return Value::Unknown };
            match &self.module.types[ty].inner {
                TypeInner::Struct { members, .. } => {
                    let member = &members[index as usize];
                    (ty, at) = (member.ty, at + member.offset);
                }
                TypeInner::Array { base, stride, .. } => (ty, at) = (*base, at + index * stride),
                _ => return Value::read(self.module, ty, at, &word).at(rest),
            }
            rest = after;
        }
        Value::read(self.module, ty, at, &word)
    }
}

/// Whether all, or any, of some booleans are true.
fn joined(each: &[Value], all: bool) -> Value {
    let decides = Value::Bool(!all);
    match each {
        _ if each.contains(&decides) => decides,
        _ if each.contains(&Value::Unknown) => Value::Unknown,
        _ => Value::Bool(all),
    }
}

/// One step into a value or along a pointer.
fn step(base: Value, index: Option<u32>) -> Value {
    match base {
        Value::Pointer(root, mut path) => {
            path.push(index);
            Value::Pointer(root, path)
        }
        value => value.element(index),
    }
}

/// A value of its parts; vectors among a vector's parts are laid out one after another.
fn compose(module: &Module, ty: Handle<naga::Type>, parts: Vec<Value>) -> Value {
    if !matches!(module.types[ty].inner, TypeInner::Vector { .. }) {
        return Value::Many(parts);
    }
    let flat = parts.into_iter().flat_map(|part| match part {
        Value::Many(each) => each,
        scalar => vec![scalar],
    });
    Value::Many(flat.collect())
}

/// The value of a constant expression.
pub(super) fn constant(module: &Module, arena: &Arena<Expression>, handle: Handle<Expression>) -> Value {
    match &arena[handle] {
        Expression::Literal(Literal::U32(v)) => Value::Uint(*v),
        Expression::Literal(Literal::I32(v)) => Value::Sint(*v),
        Expression::Literal(Literal::Bool(v)) => Value::Bool(*v),
        Expression::Constant(c) => constant(module, &module.global_expressions, module.constants[*c].init),
        Expression::ZeroValue(ty) => Value::zero(module, *ty),
        Expression::Compose { ty, components } => {
            compose(module, *ty, components.iter().map(|c| constant(module, arena, *c)).collect())
        }
        Expression::Splat { size, value } => {
            Value::Many(vec![constant(module, arena, *value); *size as usize])
        }
        _ => Value::Unknown,
    }
}
