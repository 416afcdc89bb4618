//! Last pass: values get slots by their lifetimes. A slot is a whole buffer, since usage is tracked per whole
//! buffer and dispatch: one dispatch may not read and write one buffer through two bindings. Values whose
//! lifetimes do not overlap share a slot; the biggest values choose first.

/// A value that needs memory from its first to its last step, both included.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The size in bytes.
    pub bytes: u64,
    /// The first step that writes it.
    pub first: usize,
    /// The last step that reads it.
    pub last: usize,
    /// Whether it has a slot of its own, which is zero at the start, so that the gaps between its parts stay
    /// zero.
    pub exclusive: bool,
}

/// The slots, and which of them each request gets.
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    /// The size of each slot in bytes.
    pub slots: Vec<u64>,
    /// The slot of each request.
    pub slot_of: Vec<usize>,
}

/// Gives requests slots, the biggest first: each takes the first slot that is free during its lifetime.
pub fn assign(requests: &[Request]) -> Assignment {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(requests[i].bytes), requests[i].first, i));
    let mut out = Assignment { slots: vec![], slot_of: vec![usize::MAX; requests.len()] };
    let mut tenants: Vec<Vec<usize>> = vec![];
    for i in order {
        let r = &requests[i];
        let overlaps = |&j: &usize| {
            let s = &requests[j];
            r.exclusive || s.exclusive || (r.first <= s.last && s.first <= r.last)
        };
        let slot = tenants.iter().position(|t| !t.iter().any(overlaps)).unwrap_or_else(|| {
            out.slots.push(r.bytes);
            tenants.push(vec![]);
            tenants.len() - 1
        });
        tenants[slot].push(i);
        out.slot_of[i] = slot;
    }
    out
}

/// The bytes of the values alive at the worst step. No plan can use less.
pub fn live_minimum(requests: &[Request]) -> u64 {
    let live = |step: usize| {
        requests.iter().filter(|r| r.exclusive || (r.first <= step && step <= r.last)).map(|r| r.bytes).sum()
    };
    requests.iter().map(|r| live(r.first)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: u64, first: usize, last: usize) -> Request {
        Request { bytes, first, last, exclusive: false }
    }

    #[test]
    fn values_that_live_together_never_share() {
        let requests: Vec<_> =
            (0..40usize).map(|i| request(16 * (i as u64 * 7 % 11 + 1), i, i + i * 5 % 6)).collect();
        let assignment = assign(&requests);
        for (i, a) in requests.iter().enumerate() {
            for (j, b) in requests.iter().enumerate().skip(i + 1) {
                let together = a.first <= b.last && b.first <= a.last;
                assert!(!together || assignment.slot_of[i] != assignment.slot_of[j], "{i} and {j}");
            }
            assert!(assignment.slots[assignment.slot_of[i]] >= a.bytes);
        }
        assert!(assignment.slots.iter().sum::<u64>() >= live_minimum(&requests));
    }

    #[test]
    fn a_chain_needs_two_slots() {
        let requests: Vec<_> = (0..10).map(|i| request(64, i, i + 1)).collect();
        assert_eq!(assign(&requests).slots, [64, 64]);
    }
}
