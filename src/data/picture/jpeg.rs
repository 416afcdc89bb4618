//! Whether a JPEG is whole: by its segments, and by whether its pixels depend on what follows its last scan.
//!
//! A decoder fills in what a scan lacks, and says nothing where the file has an end marker. But what it fills in
//! comes from the bits that follow: of a whole file, the pixels stay the same whatever bytes come before the end
//! marker. Zeros within a scan are found by this where the blocks that follow them do not suffice; where they leave
//! bits over, no decoder at hand tells.

/// The end marker.
const END: [u8; 2] = [0xff, 0xd9];
/// Bytes that a scan's missing blocks would be made of. They begin with ones, since decoders fill in zeros, and hold
/// no marker.
pub(super) const OTHERS: [u8; 16] =
    [254, 219, 109, 182, 91, 173, 214, 107, 53, 154, 77, 166, 211, 233, 116, 58];
/// The scans of a progressive JPEG at most: cameras and programs write about ten.
pub(super) const SCANS: usize = 500;

/// The segments of a JPEG.
pub(super) struct Jpeg<'a> {
    /// Whether the coefficients come in several scans.
    pub(super) in_parts: bool,
    /// All before the end marker, or all if there is none, and where in it the last segment ends.
    body: &'a [u8],
    last: usize,
    /// Whether there is an end marker.
    pub(super) ends: bool,
}

impl<'a> Jpeg<'a> {
    /// Walks through the segments.
    ///
    /// # Errors
    /// An end that is missing before the last scan of all coefficients has begun, too many scans, and colours that
    /// are sampled more finely than the brightness.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let (mut at, mut scans, mut in_parts) = (2, 0, false);
        // The numbers of the components, and by these the coefficients that no later scan refines.
        let (mut components, mut known) = (vec![], [0_u64; 256]);
        loop {
            // Within a scan, 0 and restart markers follow 0xff; between segments they are passed over as well.
            let marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0x01 | 0xd0..=0xd8 | 0xff);
            let next = bytes.get(at..).and_then(|rest| rest.windows(2).position(marker));
            let Some(next) = next.map(|next| at + next) else {
                // A disk or a program may fill up what it lacks by zeros, of which a scan's end has few.
                let all =
                    !components.is_empty() && components.iter().all(|&c: &u8| known[usize::from(c)] == !0);
                if !all || at > bytes.len() || bytes.ends_with(&[0; 4]) {
                    return Err("cut short: a JPEG without its end".to_owned());
                }
                return Ok(Self { in_parts, body: bytes, last: at, ends: false });
            };
            let (code, length) = (bytes[next + 1], bytes.get(next + 2..next + 4));
            let segment = bytes.get(next + 4..).unwrap_or_default();
            match code {
                0xd9 => return Ok(Self { in_parts, body: &bytes[..next], last: at, ends: true }),
                // Baseline and extended frames, and progressive ones, in Huffman and arithmetic coding.
                0xc0 | 0xc1 | 0xc2 | 0xca => {
                    in_parts |= code & 2 > 0;
                    let (count, each) =
                        (segment.get(5).copied().unwrap_or(0), segment.get(6..).unwrap_or_default());
                    let each = each.chunks_exact(3).take(count.into());
                    // The second byte holds the samples along a row and along a column. Decoders panic if a colour
                    // has more of them than the brightness, which comes first.
                    let (across, down) = (|of: &[u8]| of[1] >> 4, |of: &[u8]| of[1] & 15);
                    let first = each.clone().next().unwrap_or(&[0, 0, 0]);
                    if each.clone().any(|of| across(of) > across(first) || down(of) > down(first)) {
                        return Err("a JPEG whose colours are finer than its brightness".to_owned());
                    }
                    components = each.map(|of| of[0]).collect();
                }
                0xda => {
                    scans += 1;
                    let of_scan = usize::from(segment.first().copied().unwrap_or(0));
                    in_parts |= of_scan < components.len();
                    let (each, rest) = segment
                        .get(1..)
                        .unwrap_or_default()
                        .split_at_checked(2 * of_scan)
                        .unwrap_or_default();
                    if let &[first @ 0..=63, last @ 0..=63, bits, ..] = rest
                        && first <= last
                        && bits & 15 == 0
                    {
                        let these = (!0 >> (63 - last + first)) << first;
                        each.chunks_exact(2).for_each(|of| known[usize::from(of[0])] |= these);
                    }
                }
                _ => {}
            }
            if scans > SCANS {
                return Err(format!("a JPEG of more than {SCANS} scans"));
            }
            at = next + 2 + length.map_or(0, |l| usize::from(u16::from_be_bytes([l[0], l[1]])));
        }
    }

    /// The bytes up to the end marker, followed by others and by an end marker. Of a whole file, no pixel
    /// depends on the others, such as [`OTHERS`].
    pub(super) fn ended(&self, others: &[u8]) -> Vec<u8> {
        // 0xff fills up, and would make markers of what follows.
        let filled = self.body[self.last..].iter().rev().take_while(|&&b| b == 0xff).count();
        [&self.body[..self.body.len() - filled], others, &END].concat()
    }
}
