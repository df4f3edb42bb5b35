//! The Stream table: linear or two-level, and what its entries hold (IHI 0070, sections 3.3, 5.1, 5.2).

use hal::{Clock, DmaBuffer, DmaMapper, RegisterWindow, StreamId};
use heapless::Vec;
use smmu_spec::{
    command::{Leaf, Operation},
    regs::{STRTAB_BASE, STRTAB_BASE_CFG},
    ste::{L1STD, L1STD_BYTES, STE_BYTES, STE_DW0, STE_DW1, STE_DW2, STE_DW3},
};
use tock_registers::{
    RegisterLongName,
    fields::{Field, FieldValue},
};

use crate::ats::AtsOptions;
use crate::command_queue::CommandQueue;
use crate::entry::{Change, Words, rewrite};
use crate::error::SmmuError;
use crate::features::Features;
use crate::init::MAX_STREAMS;
use crate::port::Port;
use crate::stage2::Untagged;

/// StreamID bits that a level-2 array resolves: 256 entries of 64 bytes.
const SPLIT: u32 = 8;
/// Level-2 arrays that the driver keeps: one for each attached stream in the worst case. One without an attached stream goes where it is needed.
const MAX_ARRAYS: usize = MAX_STREAMS;
/// In place of the number of an array that nothing leads to.
const UNLINKED: u32 = u32::MAX;

/// An STE that aborts silently.
pub(crate) fn abort() -> Words {
    [(STE_DW0::V::SET + STE_DW0::CONFIG::Abort).value, 0, 0, 0, 0, 0, 0, 0]
}

/// An STE that passes addresses through, with the attributes that come in.
pub(crate) fn bypass() -> Words {
    [(STE_DW0::V::SET + STE_DW0::CONFIG::Bypass).value, STE_DW1::SHCFG::Incoming.value, 0, 0, 0, 0, 0, 0]
}

/// Shape of a CD table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CdFormat {
    Linear,
    TwoLevel,
}

/// Where a stream's contexts are, and how its traffic is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stage1 {
    pub(crate) context_pointer: u64,
    pub(crate) format: CdFormat,
    pub(crate) substream_bits: u8,
    pub(crate) untagged: Untagged,
    pub(crate) cacheable: bool,
    pub(crate) never_stalls: bool,
    pub(crate) ats: Option<AtsOptions>,
}

/// S1DSS, and the shareability of what bypasses stage 1.
pub(crate) fn default_substream(untagged: Untagged) -> FieldValue<u64, STE_DW1::Register> {
    match untagged {
        Untagged::Abort => STE_DW1::S1DSS::Terminate,
        Untagged::Bypass => STE_DW1::S1DSS::Bypass + STE_DW1::SHCFG::Incoming,
        Untagged::Table => STE_DW1::S1DSS::Ssid0,
    }
}

impl Stage1 {
    /// An STE that translates by stage 1.
    pub(crate) fn ste(&self) -> Words {
        let mut dw0 = STE_DW0::V::SET
            + STE_DW0::CONFIG::Stage1
            + STE_DW0::S1CONTEXTPTR.val(self.context_pointer >> STE_DW0::S1CONTEXTPTR.shift)
            + STE_DW0::S1CDMAX.val(u64::from(self.substream_bits));
        if self.format == CdFormat::TwoLevel {
            dw0 += STE_DW0::S1FMT::TwoLevel64K;
        }
        let mut dw1 = default_substream(self.untagged) + STE_DW1::S1STALLD.val(u64::from(self.never_stalls));
        if self.cacheable {
            dw1 += STE_DW1::S1CIR::WriteBackReadAllocate + STE_DW1::S1COR::WriteBackReadAllocate + STE_DW1::S1CSH::Inner;
        }
        if let Some(options) = self.ats {
            dw1 += STE_DW1::EATS::Full + STE_DW1::PPAR.val(u64::from(options.response_carries_substream));
        }
        [dw0.value, dw1.value, 0, 0, 0, 0, 0, 0]
    }
}

fn bits<R: RegisterLongName>(fields: &[Field<u64, R>]) -> u64 {
    fields.iter().fold(0, |all, f| all | f.mask << f.shift)
}

/// The bits of an STE that the SMMU looks at.
pub(crate) fn used(ste: &Words) -> Words {
    use STE_DW0 as W0;
    use STE_DW1 as W1;
    let mut used = [0; 8];
    used[0] = bits(&[W0::V]);
    if !W0::V.is_set(ste[0]) {
        return used;
    }
    used[0] |= bits(&[W0::CONFIG]);
    let config = W0::CONFIG.read(ste[0]);
    let translates = config & 4 != 0;
    if translates && config & 1 != 0 {
        used[0] |= bits(&[W0::S1FMT, W0::S1CONTEXTPTR, W0::S1CDMAX]);
        used[1] |= bits(&[W1::S1DSS, W1::S1CIR, W1::S1COR, W1::S1CSH, W1::S1STALLD, W1::STRW, W1::EATS, W1::MEV]);
        used[2] |= bits(&[STE_DW2::S2VMID]);
        if ste[1] & bits(&[W1::S1DSS]) == W1::S1DSS::Bypass.value {
            used[1] |= bits(&[W1::SHCFG]);
        }
    }
    if translates && config & 2 != 0 {
        used[1] |= bits(&[W1::S2FWB, W1::EATS, W1::SHCFG, W1::MEV]);
        used[2] |= bits(&[
            STE_DW2::S2VMID,
            STE_DW2::S2T0SZ,
            STE_DW2::S2SL0,
            STE_DW2::S2IR0,
            STE_DW2::S2OR0,
            STE_DW2::S2SH0,
            STE_DW2::S2TG,
            STE_DW2::S2PS,
            STE_DW2::S2AA64,
            STE_DW2::S2ENDI,
            STE_DW2::S2AFFD,
            STE_DW2::S2PTW,
            STE_DW2::S2HD,
            STE_DW2::S2HA,
            STE_DW2::S2S,
            STE_DW2::S2R,
        ]);
        used[3] |= bits(&[STE_DW3::S2TTB, STE_DW3::S2DS, STE_DW3::S2SL0_2]);
    }
    if translates && ste[1] & bits(&[W1::EATS]) != 0 {
        // Automatic answers to page requests.
        used[1] |= bits(&[W1::PPAR]);
    }
    if config == 4 {
        used[1] |= bits(&[W1::SHCFG]);
    }
    used
}

/// The Stream table.
pub(crate) struct StreamTable<B> {
    /// STEs, or level-1 descriptors.
    root: B,
    log2_streams: u32,
    is_two_level: bool,
    /// Level-2 arrays by level-1 index.
    arrays: Vec<(u32, B), MAX_ARRAYS>,
}

impl<B: DmaBuffer> StreamTable<B> {
    /// Makes a table for `stream_bits` in which every stream aborts (linear) or has no entry yet (two-level).
    pub(crate) fn new<M: DmaMapper<Buffer = B>>(memory: &M, features: &Features, stream_bits: u8) -> Result<Self, SmmuError> {
        let log2_streams = u32::from(features.stream_bits.min(stream_bits));
        let is_two_level = features.two_level_streams && log2_streams > SPLIT;
        let bytes = if is_two_level { (L1STD_BYTES as usize) << (log2_streams - SPLIT) } else { (STE_BYTES as usize) << log2_streams };
        let root = memory.alloc(bytes, bytes.next_power_of_two().max(64))?;
        if !is_two_level {
            fill_with_abort(&root);
        }
        Ok(Self { root, log2_streams, is_two_level, arrays: Vec::new() })
    }

    pub(crate) fn free<M: DmaMapper<Buffer = B>>(self, memory: &M) {
        for (_, array) in self.arrays {
            memory.free(array);
        }
        memory.free(self.root);
    }

    /// STRTAB_BASE.
    pub(crate) fn base(&self) -> u64 {
        (STRTAB_BASE::ADDR.val(self.root.device_address().0 >> STRTAB_BASE::ADDR.shift) + STRTAB_BASE::RA::SET).value
    }

    /// STRTAB_BASE_CFG.
    pub(crate) fn shape(&self) -> u32 {
        let size = STRTAB_BASE_CFG::LOG2SIZE.val(self.log2_streams);
        if self.is_two_level { (size + STRTAB_BASE_CFG::SPLIT.val(SPLIT) + STRTAB_BASE_CFG::FMT::TwoLevel).value } else { size.value }
    }

    pub(crate) fn covers(&self, stream: StreamId) -> bool {
        u64::from(stream.0) < 1 << self.log2_streams
    }

    /// Makes the stream's entry exist, aborting, where the table is two-level. `attached` names the streams whose entries must stay.
    pub(crate) fn ensure<W: RegisterWindow, C: Clock, M: DmaMapper<Buffer = B>>(
        &mut self,
        port: &Port<W, C, M>,
        queue: &mut CommandQueue<B>,
        stream: StreamId,
        attached: impl Iterator<Item = StreamId> + Clone,
    ) -> Result<(), SmmuError> {
        let index = stream.0 >> SPLIT;
        if !self.is_two_level || self.arrays.iter().any(|(i, _)| *i == index) {
            return Ok(());
        }
        let array = if self.arrays.is_full() {
            self.take_idle(port, queue, attached)?
        } else {
            let bytes = (STE_BYTES as usize) << SPLIT;
            let array = port.memory.alloc(bytes, bytes)?;
            fill_with_abort(&array);
            array
        };
        // The array before the descriptor that makes it reachable.
        port.publish();
        let descriptor = L1STD::L2PTR.val(array.device_address().0 >> L1STD::L2PTR.shift) + L1STD::SPAN.val(u64::from(SPLIT) + 1);
        self.link(index, descriptor.value);
        // Kept whatever happens below: the SMMU may have seen it.
        let _ = self.arrays.push((index, array));
        // The invalid descriptor may be cached.
        queue.push(port, Operation::CfgiSte { stream, leaf: Leaf::AllLevels })?;
        queue.sync(port)
    }

    fn link(&self, index: u32, descriptor: u64) {
        self.root.write64(index as usize * L1STD_BYTES as usize, descriptor);
    }

    /// Unlinks an array without attached streams: its entries abort, and go on to do so. What the SMMU keeps of it is gone when this returns, and
    /// only then: it would find the next owner's entries under the old numbers.
    fn take_idle<W: RegisterWindow, C: Clock, M: DmaMapper<Buffer = B>>(
        &mut self,
        port: &Port<W, C, M>,
        queue: &mut CommandQueue<B>,
        attached: impl Iterator<Item = StreamId> + Clone,
    ) -> Result<B, SmmuError> {
        let is_idle = |index: u32| attached.clone().all(|stream| stream.0 >> SPLIT != index);
        let at = self.arrays.iter().position(|(index, _)| is_idle(*index)).ok_or(SmmuError::NoRoom)?;
        let index = self.arrays[at].0;
        let forget = if index == UNLINKED {
            // An earlier attempt failed here.
            Operation::CFGI_ALL
        } else {
            self.link(index, 0);
            self.arrays[at].0 = UNLINKED;
            Operation::CfgiSteRange { stream: StreamId(index << SPLIT), range: SPLIT as u8 - 1 }
        };
        queue.push(port, forget)?;
        queue.sync(port)?;
        Ok(self.arrays.swap_remove(at).1)
    }

    fn locate(&self, stream: StreamId) -> Option<(&B, usize)> {
        if !self.covers(stream) {
            return None;
        }
        if !self.is_two_level {
            return Some((&self.root, stream.0 as usize * STE_BYTES as usize));
        }
        let (_, array) = self.arrays.iter().find(|(i, _)| *i == stream.0 >> SPLIT)?;
        Some((array, (stream.0 & ((1 << SPLIT) - 1)) as usize * STE_BYTES as usize))
    }

    /// Changes the stream's entry; when this returns no other configuration is in force.
    pub(crate) fn set<W: RegisterWindow, C: Clock, M: DmaMapper<Buffer = B>>(
        &self,
        port: &Port<W, C, M>,
        queue: &mut CommandQueue<B>,
        stream: StreamId,
        target: &Words,
    ) -> Result<Change, SmmuError> {
        let (buffer, at) = self.locate(stream).ok_or(SmmuError::StreamOutOfRange(stream))?;
        let current = core::array::from_fn(|i| buffer.read64(at + 8 * i));
        rewrite(
            &current,
            target,
            used,
            |word, value| buffer.write64(at + 8 * word, value),
            |_| {
                queue.push(port, Operation::CfgiSte { stream, leaf: Leaf::Only })?;
                queue.sync(port)
            },
        )
    }
}

fn fill_with_abort(array: &impl DmaBuffer) {
    let [dw0, ..] = abort();
    for at in (0..array.len_bytes()).step_by(STE_BYTES as usize) {
        array.write64(at, dw0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_the_words_of_the_document() {
        let single = Stage1 {
            context_pointer: 0x4101_0000,
            format: CdFormat::Linear,
            substream_bits: 0,
            untagged: Untagged::Table,
            cacheable: true,
            never_stalls: false,
            ats: None,
        };
        assert_eq!(single.ste(), [0x0000_0000_4101_000b, 0xd6, 0, 0, 0, 0, 0, 0]);
        let table = Stage1 { context_pointer: 0x4800_0000, format: CdFormat::TwoLevel, substream_bits: 16, ..single };
        assert_eq!(table.ste()[..2], [0x8000_0000_4800_002b, 0xd6]);
        let terminating = Stage1 { never_stalls: true, cacheable: false, ..single };
        assert_eq!(terminating.ste()[1], 0x0800_0002);
        let ats = Stage1 { ats: Some(AtsOptions { response_carries_substream: true }), ..single };
        assert_eq!(ats.ste()[1], 0x1004_00d6);
        assert_eq!(Stage1 { untagged: Untagged::Abort, ..table }.ste()[1], 0xd4);
        assert_eq!(Stage1 { untagged: Untagged::Bypass, ..table }.ste()[1], 0x0000_1000_0000_00d5);
        assert_eq!(abort()[..2], [1, 0]);
        assert_eq!(bypass()[..2], [9, 1 << 44]);
    }

    #[test]
    fn no_builder_sets_a_bit_that_nobody_looks_at() {
        let stage1 = Stage1 {
            context_pointer: 0x4101_0000,
            format: CdFormat::TwoLevel,
            substream_bits: 20,
            untagged: Untagged::Table,
            cacheable: true,
            never_stalls: true,
            ats: None,
        };
        let with_ats = Stage1 { ats: Some(AtsOptions { response_carries_substream: true }), ..stage1 };
        let passing = Stage1 { untagged: Untagged::Bypass, ..stage1 };
        for ste in [abort(), bypass(), stage1.ste(), with_ats.ste(), passing.ste()] {
            let mask = used(&ste);
            assert!((0..8).all(|i| ste[i] & !mask[i] == 0), "{ste:x?}");
        }
        assert_eq!(used(&[0; 8]), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(used(&abort()), [0xf, 0, 0, 0, 0, 0, 0, 0]);
    }
}
