//! Listings as the compiler writes them, cut short.

use super::{Code, Counts, Instruction, Kind, pace};
use crate::chip::Chip;

/// A sum down columns, on navi21.
const COLUMNS: &str = "BB0:
	s_load_dwordx4 s[8:11], s[2:3], 0x20                        ; f4080201 fa000020
	s_and_saveexec_b64 s[0:1], vcc                              ; be80246a
	s_cbranch_execz BB19                                        ; bf880050
BB2:
	s_cmp_eq_i32 s6, 0                                          ; bf008006
	s_cbranch_scc1 BB14                                         ; bf85001a
BB5:
	s_sub_i32 s9, s9, src_scc                                   ; 8189fd09
	v_cmpx_ge_u32_e32 v2, v1                                    ; 7dac0302
BB6:
	s_andn2_b64 s[10:11], s[10:11], exec                        ; 8a8a7e0a
	s_cbranch_scc0 BB14                                         ; bf840012
BB13:
	s_load_dwordx4 s[12:15], s[2:3], 0x10                       ; f4080301 fa000010
	v_lshlrev_b32_e32 v7, 4, v2                                 ; 340e0484
	s_waitcnt lgkmcnt(0)                                        ; bf8cc07f
	buffer_load_dwordx4 v[8:11], v7, s[12:15], 0 offen          ; e0381000 80030807
	v_add_nc_u32_e32 v2, s7, v2                                 ; 4a040407
	s_waitcnt vmcnt(0)                                          ; bf8c3f70
	v_add_f32_e32 v6, v6, v8                                    ; 060c1106
	v_add_f32_e32 v3, v3, v11                                   ; 06061703
	s_branch BB2                                                ; bf82ffe4
BB14:
	buffer_store_dwordx4 v[4:7], v2, s[4:7], 0 offen glc        ; e0785000 80010402
BB19:
	s_endpgm                                                    ; bf810000
";

/// A loop inside a loop that writes what the inner one reads, with an `else` that is jumped over.
const NESTED: &str = "BB0:
	v_mov_b32_e32 v0, 0
BB1:
	s_cbranch_scc1 BB3
BB2:
	ds_write_b128 v1, v[4:7]
	s_branch BB4
BB3:
	v_mov_b32_e32 v4, 0
BB4:
	s_barrier
BB5:
	ds_read_b128 v[4:7], v1
	s_waitcnt lgkmcnt(0)
	v_fmac_f32_e32 v0, v4, v5
	v_fma_f32 v2, v6, v7, v2
	s_cbranch_scc0 BB5
BB6:
	s_cbranch_scc0 BB1
BB7:
	s_endpgm
";

fn navi21() -> &'static Chip {
    Chip::named("navi21").unwrap()
}

fn read(line: &str) -> Instruction {
    Instruction::read(line).unwrap()
}

#[test]
fn instructions_of_all_three_chips_have_their_kinds() {
    for (line, kind, bytes) in [
        ("v_fmac_f32_e32 v1, v2, v3", Kind::Fma, 0),
        ("v_mac_f32_e32 v1, v2, v3", Kind::Fma, 0),
        ("v_mad_f32 v1, v2, v3, v4", Kind::Fma, 0),
        ("v_fmaak_f32 v1, v2, v3, 0x3f800000", Kind::Fma, 0),
        ("v_mad_u64_u32 v[1:2], s4, v3, v4, v[5:6]", Kind::Mul32, 0),
        ("v_mul_lo_u32 v1, v2, v3", Kind::Mul32, 0),
        ("v_mul_u32_u24_e32 v1, v2, v3", Kind::Valu, 0),
        ("v_rcp_f32_e32 v1, v2", Kind::Trans, 0),
        ("ds_read2_b64 v[0:3], v4 offset1:2", Kind::Lds, 16),
        ("ds_load_b128 v[0:3], v4", Kind::Lds, 16),
        ("ds_write_b32 v0, v1", Kind::Lds, 4),
        ("buffer_load_dword v1, v2, s[4:7], 0 offen", Kind::Vmem, 4),
        ("buffer_load_b96 v[1:3], v2, s[4:7], 0 offen", Kind::Vmem, 12),
        ("buffer_load_ubyte v1, v2, s[4:7], 0 offen", Kind::Vmem, 1),
        ("scratch_store_b32 off, v1, off", Kind::Scratch, 0),
        ("s_buffer_load_b128 s[4:7], s[8:11], null", Kind::Smem, 0),
        ("s_waitcnt vmcnt(3) lgkmcnt(0)", Kind::Wait, 0),
        ("s_barrier", Kind::Barrier, 0),
        ("s_cbranch_execz BB4", Kind::Branch, 0),
        ("s_add_u32 s0, s1, s2", Kind::Salu, 0),
    ] {
        let got = read(line);
        assert_eq!((got.kind, got.bytes()), (kind, bytes), "{line}");
    }
    assert_eq!(Instruction::read("BB4:"), None);
    assert_eq!(Instruction::read("  ; a comment"), None);
}

#[test]
fn waits_say_how_many_accesses_may_be_under_way() {
    let wait = read("s_waitcnt vmcnt(3) lgkmcnt(0)");
    assert_eq!((wait.waits_for("vmcnt"), wait.waits_for("lgkmcnt")), (Some(3), Some(0)));
    assert_eq!(read("s_waitcnt vmcnt(3)").waits_for("lgkmcnt"), None);
}

#[test]
fn registers_are_written_or_read() {
    let count = |line: &str| {
        let (written, read) = read(line).registers();
        (written.len(), read.len())
    };
    assert_eq!(count("buffer_load_dwordx4 v[8:11], v7, s[12:15], 0 offen"), (4, 5));
    assert_eq!(count("buffer_store_dwordx4 v[4:7], v2, s[4:7], 0 offen glc"), (0, 9));
    assert_eq!(count("v_fmac_f32_e32 v1, v2, v3"), (1, 3), "it adds to what is there");
    assert_eq!(count("v_cndmask_b32_e32 v1, v1, v3, vcc"), (1, 3));
    assert_eq!(count("v_mul_f32_e32 v1, 0x4f7ffffe, v1"), (1, 1));
}

#[test]
fn a_loop_is_counted_along_its_common_path() {
    let code = Code::read(COLUMNS);
    let loops = code.loops(navi21(), 64);
    assert_eq!(loops.len(), 1);
    let expected = Counts { valu: 5, vmem: 1, smem: 1, wait: 2, salu: 6, loaded: 16, ..Counts::default() };
    assert_eq!(loops[0].counts, expected);
    let once = code.once(navi21(), 64).counts;
    assert_eq!((once.vmem, once.stored, once.loaded, once.smem), (1, 16, 0, 1));
    assert_eq!(code.instructions(), 20);
}

#[test]
fn a_loop_inside_a_loop_is_counted_apart() {
    let loops = Code::read(NESTED).loops(navi21(), 64);
    assert_eq!(loops.len(), 2);
    let (outer, inner) = (&loops[0], &loops[1]);
    assert_eq!((outer.outer, inner.outer), (None, Some(0)));
    assert_eq!((inner.counts.fma, inner.counts.lds_read, inner.counts.barrier), (2, 16, 0));
    assert_eq!((outer.counts.fma, outer.counts.barrier, outer.counts.lds_bytes), (0, 1, 16));
    assert_eq!(outer.counts.valu, 0, "the other branch is jumped over");
}

#[test]
fn the_share_weighs_instructions_by_their_slots() {
    let counts = Counts { fma: 256, valu: 145, mul32: 10, lds_bytes: 544, ..Counts::default() };
    assert!((counts.share() - 256.0 / 441.0).abs() < 1e-12);
    assert_eq!(counts.lds_bytes_per_fma(), 2.125);
    assert_eq!((Counts::default().share(), Counts::default().lds_bytes_per_fma()), (0.0, 0.0));
    assert_eq!(counts.plus(&counts, 3).fma, 1024);
}

#[test]
fn a_wave_waits_for_operands_and_accesses() {
    let cycles = |lines: &[&str], chip: &str| {
        let instructions: Vec<_> = lines.iter().map(|line| read(line)).collect();
        let pace = pace(&instructions.iter().collect::<Vec<_>>(), Chip::named(chip).unwrap(), 64);
        (pace.cycles, pace.issue)
    };
    let (add, other) = ("v_add_f32_e32 v1, v2, v3", "v_add_f32_e32 v4, v5, v6");
    assert_eq!(cycles(&[add, other], "navi21"), (4, 4), "32 lanes take a wave of 64 in two cycles");
    assert_eq!(cycles(&[add, "v_add_f32_e32 v4, v1, v6"], "navi21"), (8, 4), "the second needs the first");
    assert_eq!(cycles(&[add, "v_add_f32_e32 v4, v1, v6"], "vega20"), (8, 8));
    assert_eq!(cycles(&["v_mul_lo_u32 v1, v2, v3"], "navi21"), (8, 8), "a quarter of the rate");
    let load = "buffer_load_dword v1, v2, s[4:7], 0 offen";
    assert_eq!(cycles(&[load, load, "s_waitcnt vmcnt(1)"], "navi21"), (301, 0));
    assert_eq!(cycles(&[load, load, "s_waitcnt vmcnt(0)"], "navi21"), (302, 0));
    assert_eq!(cycles(&["ds_read_b128 v[0:3], v4", "s_waitcnt lgkmcnt(0)"], "navi21"), (69, 0));
}
