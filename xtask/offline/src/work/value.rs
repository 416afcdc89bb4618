//! Values of WGSL as far as control flow needs them: whole numbers, booleans, vectors and structures of them, and
//! pointers. Everything else is unknown.

use naga::{BinaryOperator as Op, MathFunction, Module, ScalarKind, TypeInner, UnaryOperator};

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value {
    /// A float, or something that was read from memory.
    #[default]
    Unknown,
    Uint(u32),
    Sint(i32),
    Bool(bool),
    /// A vector, an array or a structure.
    Many(Vec<Value>),
    Pointer(Root, Vec<Option<u32>>),
}

/// What a pointer leads into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Root {
    Local(usize),
    Uniform(naga::Handle<naga::Type>),
    /// Storage, workgroup memory, or a variable of the caller.
    Elsewhere,
}

/// The largest array whose elements are followed.
const LARGEST: u32 = 256;

impl Value {
    pub(super) fn element(&self, index: Option<u32>) -> Self {
        match (self, index) {
            (Self::Many(all), Some(i)) => all.get(i as usize).cloned().unwrap_or_default(),
            _ => Self::Unknown,
        }
    }

    /// The whole number, as an index.
    pub(super) fn index(&self) -> Option<u32> {
        match *self {
            Self::Uint(v) => Some(v),
            Self::Sint(v) => u32::try_from(v).ok(),
            _ => None,
        }
    }

    /// The value at a path.
    pub(super) fn at(&self, path: &[Option<u32>]) -> Self {
        path.iter().fold(self.clone(), |value, &index| value.element(index))
    }

    /// Writes a value at a path; all is unknown after a write to an unknown place.
    pub(super) fn set(&mut self, path: &[Option<u32>], value: Self) {
        match (path.split_first(), self) {
            (None, this) => *this = value,
            (Some((Some(i), rest)), Self::Many(all)) if (*i as usize) < all.len() => {
                all[*i as usize].set(rest, value);
            }
            (Some(_), this) => *this = Self::Unknown,
        }
    }

    /// Applies a function to each element, or to the scalar.
    fn map(self, f: &impl Fn(Self) -> Self) -> Self {
        match self {
            Self::Many(all) => Self::Many(all.into_iter().map(|v| v.map(f)).collect()),
            scalar => f(scalar),
        }
    }

    /// Applies a function to pairs of elements; a scalar pairs with each element of a vector.
    pub(super) fn zip(self, other: Self, f: &impl Fn(Self, Self) -> Self) -> Self {
        match (self, other) {
            (Self::Many(a), Self::Many(b)) => {
                Self::Many(a.into_iter().zip(b).map(|(a, b)| a.zip(b, f)).collect())
            }
            (Self::Many(a), b) => Self::Many(a.into_iter().map(|a| a.zip(b.clone(), f)).collect()),
            (a, Self::Many(b)) => Self::Many(b.into_iter().map(|b| a.clone().zip(b, f)).collect()),
            (a, b) => f(a, b),
        }
    }

    pub(super) fn unary(self, op: UnaryOperator) -> Self {
        self.map(&|v| match (op, v) {
            (UnaryOperator::Negate, Self::Sint(v)) => Self::Sint(v.wrapping_neg()),
            (UnaryOperator::LogicalNot, Self::Bool(v)) => Self::Bool(!v),
            (UnaryOperator::BitwiseNot, Self::Uint(v)) => Self::Uint(!v),
            (UnaryOperator::BitwiseNot, Self::Sint(v)) => Self::Sint(!v),
            _ => Self::Unknown,
        })
    }

    pub(super) fn binary(self, op: Op, other: Self) -> Self {
        self.zip(other, &|a, b| match (a, b) {
            (Self::Uint(a), Self::Uint(b)) => uint(op, a, b),
            (Self::Sint(a), Self::Sint(b)) => sint(op, a, b),
            (Self::Sint(a), Self::Uint(b)) if matches!(op, Op::ShiftLeft | Op::ShiftRight) => {
                sint(op, a, b as i32)
            }
            (Self::Bool(a), Self::Bool(b)) => match op {
                Op::And | Op::LogicalAnd => Self::Bool(a && b),
                Op::InclusiveOr | Op::LogicalOr => Self::Bool(a || b),
                Op::Equal => Self::Bool(a == b),
                Op::NotEqual | Op::ExclusiveOr => Self::Bool(a != b),
                _ => Self::Unknown,
            },
            // One side may decide alone.
            (Self::Bool(false), _) | (_, Self::Bool(false)) if op == Op::LogicalAnd => Self::Bool(false),
            (Self::Bool(true), _) | (_, Self::Bool(true)) if op == Op::LogicalOr => Self::Bool(true),
            _ => Self::Unknown,
        })
    }

    pub(super) fn math(self, fun: MathFunction, second: Self, third: Self) -> Self {
        let smaller = |a: Self, b: Self| if a.binary_is(Op::Less, &b) { a } else { b };
        let larger = |a: Self, b: Self| if a.binary_is(Op::Greater, &b) { a } else { b };
        let known = |f: &dyn Fn(Self, Self) -> Self, a: Self, b: Self| match (&a, &b) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            _ => f(a, b),
        };
        match fun {
            MathFunction::Min => self.zip(second, &|a, b| known(&smaller, a, b)),
            MathFunction::Max => self.zip(second, &|a, b| known(&larger, a, b)),
            MathFunction::Clamp => self.math(MathFunction::Max, second, Self::Unknown).math(
                MathFunction::Min,
                third,
                Self::Unknown,
            ),
            MathFunction::Abs => self.map(&|v| match v {
                Self::Sint(v) => Self::Sint(v.wrapping_abs()),
                Self::Uint(v) => Self::Uint(v),
                _ => Self::Unknown,
            }),
            _ => Self::Unknown,
        }
    }

    fn binary_is(&self, op: Op, other: &Self) -> bool {
        self.clone().binary(op, other.clone()) == Self::Bool(true)
    }

    /// Conversion to a kind of scalar.
    pub(super) fn convert(self, kind: ScalarKind) -> Self {
        self.map(&|v| match (kind, v) {
            (ScalarKind::Uint, Self::Sint(v)) => Self::Uint(v as u32),
            (ScalarKind::Sint, Self::Uint(v)) => Self::Sint(v as i32),
            (ScalarKind::Uint, Self::Bool(v)) => Self::Uint(v.into()),
            (ScalarKind::Sint, Self::Bool(v)) => Self::Sint(v.into()),
            (ScalarKind::Bool, Self::Uint(v)) => Self::Bool(v != 0),
            (ScalarKind::Bool, Self::Sint(v)) => Self::Bool(v != 0),
            (ScalarKind::Uint, v @ Self::Uint(_))
            | (ScalarKind::Sint, v @ Self::Sint(_))
            | (ScalarKind::Bool, v @ Self::Bool(_)) => v,
            _ => Self::Unknown,
        })
    }

    /// The zero of a type.
    pub(super) fn zero(module: &Module, ty: naga::Handle<naga::Type>) -> Self {
        Self::read(module, ty, 0, &|_| 0)
    }

    /// The value of a type whose 32-bit words lie at byte offsets from `at`.
    pub(super) fn read(
        module: &Module,
        ty: naga::Handle<naga::Type>,
        at: u32,
        word: &impl Fn(u32) -> u32,
    ) -> Self {
        let scalar = |kind: ScalarKind, at: u32| match kind {
            ScalarKind::Uint => Self::Uint(word(at)),
            ScalarKind::Sint => Self::Sint(word(at) as i32),
            ScalarKind::Bool => Self::Bool(word(at) != 0),
            _ => Self::Unknown,
        };
        match &module.types[ty].inner {
            TypeInner::Scalar(s) => scalar(s.kind, at),
            TypeInner::Vector { size, scalar: s } => {
                Self::Many((0..*size as u32).map(|i| scalar(s.kind, at + 4 * i)).collect())
            }
            TypeInner::Array { base, size: naga::ArraySize::Constant(n), stride } if n.get() <= LARGEST => {
                Self::Many((0..n.get()).map(|i| Self::read(module, *base, at + i * stride, word)).collect())
            }
            TypeInner::Struct { members, .. } => {
                Self::Many(members.iter().map(|m| Self::read(module, m.ty, at + m.offset, word)).collect())
            }
            _ => Self::Unknown,
        }
    }
}

fn uint(op: Op, a: u32, b: u32) -> Value {
    let number = match op {
        Op::Add => a.wrapping_add(b),
        Op::Subtract => a.wrapping_sub(b),
        Op::Multiply => a.wrapping_mul(b),
        // WGSL: x / 0 is x, x % 0 is 0.
        Op::Divide => a.checked_div(b).unwrap_or(a),
        Op::Modulo => a.checked_rem(b).unwrap_or(0),
        Op::And => a & b,
        Op::ExclusiveOr => a ^ b,
        Op::InclusiveOr => a | b,
        Op::ShiftLeft => a.wrapping_shl(b),
        Op::ShiftRight => a.wrapping_shr(b),
        _ => return compared(op, a.cmp(&b)),
    };
    Value::Uint(number)
}

fn sint(op: Op, a: i32, b: i32) -> Value {
    let number = match op {
        Op::Add => a.wrapping_add(b),
        Op::Subtract => a.wrapping_sub(b),
        Op::Multiply => a.wrapping_mul(b),
        Op::Divide => a.checked_div(b).unwrap_or(a),
        Op::Modulo => a.checked_rem(b).unwrap_or(0),
        Op::And => a & b,
        Op::ExclusiveOr => a ^ b,
        Op::InclusiveOr => a | b,
        Op::ShiftLeft => a.wrapping_shl(b as u32),
        Op::ShiftRight => a.wrapping_shr(b as u32),
        _ => return compared(op, a.cmp(&b)),
    };
    Value::Sint(number)
}

fn compared(op: Op, order: std::cmp::Ordering) -> Value {
    match op {
        Op::Equal => Value::Bool(order.is_eq()),
        Op::NotEqual => Value::Bool(order.is_ne()),
        Op::Less => Value::Bool(order.is_lt()),
        Op::LessEqual => Value::Bool(order.is_le()),
        Op::Greater => Value::Bool(order.is_gt()),
        Op::GreaterEqual => Value::Bool(order.is_ge()),
        _ => Value::Unknown,
    }
}
