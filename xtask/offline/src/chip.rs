//! The chips that pipelines are compiled for, and the figures of a card with each, by which time is modelled.
//!
//! The figures are the vendor's published ones; none was measured.

/// A chip, and a card that carries it.
#[derive(Debug, PartialEq)]
pub struct Chip {
    /// The name that the driver knows.
    pub name: &'static str,
    /// The card.
    pub card: &'static str,
    /// The clock in Hz.
    pub clock: f64,
    /// The compute units.
    pub units: u64,
    /// The SIMDs of a compute unit.
    pub simds: u64,
    /// The lanes of a SIMD; a wave of 64 takes 64 / `lanes` cycles per instruction.
    pub lanes: u64,
    /// The cycles after which a dependent instruction may follow, beside its own.
    pub dependent: u64,
    /// The vector registers of a SIMD, for waves of 64.
    pub registers: u64,
    /// The most waves of a SIMD.
    pub waves: u64,
    /// The bytes of workgroup memory that `sharers` SIMDs have together.
    pub memory: u64,
    /// The SIMDs that share `memory`.
    pub sharers: u64,
    /// The bytes that a compute unit reads or writes in workgroup memory per cycle.
    pub memory_rate: f64,
    /// The bytes that a compute unit loads from its first cache per cycle.
    pub cache_rate: f64,
    /// The bytes that the card's memory moves per second.
    pub bandwidth: f64,
}

/// The share of the published bandwidth that programs reach.
const REACHED: f64 = 0.85;

/// All chips: RDNA 2, RDNA 3 and GCN.
pub const CHIPS: [Chip; 3] = [
    Chip {
        name: "navi21",
        card: "Radeon RX 6800",
        clock: 2.1e9,
        units: 60,
        simds: 2,
        lanes: 32,
        dependent: 4,
        registers: 512,
        waves: 16,
        memory: 128 << 10,
        sharers: 4,
        memory_rate: 128.0,
        cache_rate: 64.0,
        bandwidth: 512e9 * REACHED,
    },
    Chip {
        name: "gfx1100",
        card: "Radeon RX 7900 XTX",
        clock: 2.3e9,
        units: 96,
        simds: 2,
        lanes: 32,
        dependent: 4,
        registers: 768,
        waves: 16,
        memory: 128 << 10,
        sharers: 4,
        memory_rate: 128.0,
        cache_rate: 64.0,
        bandwidth: 960e9 * REACHED,
    },
    Chip {
        name: "vega20",
        card: "Radeon VII",
        clock: 1.75e9,
        units: 60,
        simds: 4,
        lanes: 16,
        dependent: 0,
        registers: 256,
        waves: 10,
        memory: 64 << 10,
        sharers: 4,
        memory_rate: 128.0,
        cache_rate: 64.0,
        bandwidth: 1024e9 * REACHED,
    },
];

impl Chip {
    /// The chip of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CHIPS.iter().find(|chip| chip.name == name)
    }

    /// The multiply-adds that all SIMDs together can do per second.
    pub fn peak(&self) -> f64 {
        (self.units * self.simds * self.lanes) as f64 * self.clock
    }

    /// The waves of so many lanes that a SIMD holds beside each other, by registers and workgroup memory. The
    /// memory holds whole workgroups, whose waves are spread over the SIMDs that share it.
    pub fn resident(&self, lanes: u64, registers: u64, memory: u64, waves_of_workgroup: u64) -> f64 {
        let by_registers = (self.registers * 64 / lanes / registers.max(8)).min(self.waves) as f64;
        let groups = self.memory.checked_div(memory).unwrap_or(u64::MAX) as f64;
        by_registers.min(groups * waves_of_workgroup as f64 / self.sharers as f64).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_follow_from_registers_and_workgroup_memory() {
        let waves = |chip: &str, registers, memory, of_workgroup| {
            Chip::named(chip).unwrap().resident(64, registers, memory, of_workgroup)
        };
        assert_eq!(waves("navi21", 40, 8192, 4), 12.0);
        assert_eq!(waves("navi21", 152, 8704, 1), 3.0);
        assert_eq!(waves("navi21", 128, 8704, 1), 3.75, "15 workgroups of one wave on four SIMDs");
        assert_eq!(waves("navi21", 8, 0, 4), 16.0, "no more than the chip can follow");
        assert_eq!(waves("gfx1100", 132, 0, 1), 5.0);
        assert_eq!(waves("vega20", 36, 8192, 4), 7.0);
        assert_eq!(waves("vega20", 256, 65_536, 1), 1.0, "one runs in any case");
        assert_eq!(
            CHIPS[0].resident(32, 144, 0, 2),
            7.0,
            "half the lanes leave room for twice the registers"
        );
    }

    #[test]
    fn chips_have_names_of_their_own() {
        assert!(CHIPS.iter().all(|chip| Chip::named(chip.name) == Some(chip)));
        assert_eq!(Chip::named("navi22"), None);
        assert!((CHIPS[0].peak() - 8.06e12).abs() < 0.01e12, "16.1 TFLOP/s");
    }
}
