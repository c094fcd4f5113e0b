//! Numbers of system calls, which differ from machine to machine, and within one machine between its own programs and
//! those of its 32-bit predecessor.

use std::str::FromStr as _;

/// Whose system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    X86,
    Aarch64,
    Arm,
}

/// `linux/audit.h`: the ELF machine, with bits for 64-bit and little-endian.
const WIDE: u32 = 0x8000_0000;
const LITTLE: u32 = 0x4000_0000;

impl Architecture {
    const ALL: [Self; 4] = [Self::X86_64, Self::X86, Self::Aarch64, Self::Arm];

    /// Those that programs of this machine may have, its own first; none where barepod has no tables.
    pub(super) fn here() -> &'static [Self] {
        match std::env::consts::ARCH {
            "x86_64" => &[Self::X86_64, Self::X86],
            "aarch64" => &[Self::Aarch64, Self::Arm],
            _ => &[],
        }
    }

    /// By its name in profiles; `None` for one that this machine has nothing to do with.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "SCMP_ARCH_X86_64" | "amd64" => Some(Self::X86_64),
            "SCMP_ARCH_X86" | "x86" => Some(Self::X86),
            "SCMP_ARCH_AARCH64" | "arm64" => Some(Self::Aarch64),
            "SCMP_ARCH_ARM" | "arm" => Some(Self::Arm),
            _ => None,
        }
    }

    /// As the kernel tells it to a filter (`AUDIT_ARCH_*`).
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 62 | WIDE | LITTLE,
            Self::X86 => 3 | LITTLE,
            Self::Aarch64 => 183 | WIDE | LITTLE,
            Self::Arm => 40 | LITTLE,
        }
    }

    /// The number of a system call; `None` where this architecture has none of that name.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let number = match self {
            Self::X86_64 => syscalls::x86_64::Sysno::from_str(name).ok().map(|call| call.id()),
            Self::X86 => syscalls::x86::Sysno::from_str(name).ok().map(|call| call.id()),
            Self::Aarch64 => syscalls::aarch64::Sysno::from_str(name).ok().map(|call| call.id()),
            Self::Arm => syscalls::arm::Sysno::from_str(name).ok().map(|call| call.id()),
        };
        let private =
            || PRIVATE.iter().find(|(known, _)| self == Self::Arm && *known == name).map(|(_, number)| *number);
        number.and_then(|number| u32::try_from(number).ok()).or_else(private)
    }

    /// Whether any architecture has a system call of this name.
    pub(super) fn is_known(name: &str) -> bool {
        Self::ALL.iter().any(|one| one.number(name).is_some()) || ELSEWHERE.contains(&name)
    }
}

/// From here on 32-bit ARM has calls of its own, far from the others.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

/// Those.
const PRIVATE: [(&str, u32); 3] =
    [("breakpoint", ARM_PRIVATE + 1), ("cacheflush", ARM_PRIVATE + 2), ("set_tls", ARM_PRIVATE + 5)];

/// Calls that common profiles name and that only machines have which barepod does not run on.
const ELSEWHERE: [&str; 13] = [
    "multiplexer",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rtas",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "spu_create",
    "spu_run",
    "swapcontext",
    "sync_file_range2",
];
