//! CD tables: one CD, a linear table, or two levels with 64 KiB leaves; and what a CD holds (IHI 0070, sections 3.4, 5.3, 5.4).

use hal::{Clock, DmaBuffer, DmaMapper, RegisterWindow, StreamId, SubstreamId};
use heapless::Vec;
use smmu_spec::{
    cd::{CD_BYTES, CD_DW0, CD_DW1, L1CD, L1CD_BYTES, SPLIT_64K},
    command::{Leaf, Operation},
    descriptor::Granule,
};

use crate::command_queue::CommandQueue;
use crate::entry::{Change, Step, Words, rewrite};
use crate::error::SmmuError;
use crate::features::{Features, StallModel};
use crate::port::Port;
use crate::space::TableDescription;
use crate::stream_table::CdFormat;

/// 64 KiB leaves of one stream's table, of 1,024 SubstreamIDs each: those of all that the driver itself hands out. One that holds no context any
/// more goes where it is needed.
const MAX_LEAVES: usize = 16;
/// In place of the number of a leaf that nothing leads to.
const UNLINKED: u32 = u32::MAX;
/// SubstreamID bits of a linear table: 64 KiB.
const LINEAR_BITS: u8 = 10;

/// SubstreamID bits that a CD table of ours resolves on this SMMU, and whether it has two levels.
const fn shape(features: &Features) -> (u8, bool) {
    let is_two_level = features.two_level_cds && features.substream_bits > LINEAR_BITS;
    let reach = if is_two_level || features.substream_bits < LINEAR_BITS { features.substream_bits } else { LINEAR_BITS };
    (reach, is_two_level)
}

/// One more than the largest SubstreamID that can be bound: what the tables reach.
pub(crate) const fn substream_limit(features: &Features) -> u32 {
    1 << shape(features).0
}

/// How a context answers faults, and who else knows its ASID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Treatment {
    /// Faults wait for software.
    pub(crate) stall: bool,
    /// The ASID is the driver's own, not a CPU's.
    pub(crate) private_asid: bool,
    /// Walks are cacheable and inner shareable.
    pub(crate) cacheable: bool,
}

/// A CD for a TTB0 table. Terminated faults abort and are recorded.
pub(crate) fn context(table: &TableDescription, how: Treatment) -> Words {
    let granule = match table.granule {
        Granule::Kib4 => CD_DW0::TG0::Granule4K,
        Granule::Kib16 => CD_DW0::TG0::Granule16K,
        Granule::Kib64 => CD_DW0::TG0::Granule64K,
    };
    let mut dw0 = CD_DW0::T0SZ.val(u64::from(table.t0sz))
        + granule
        + CD_DW0::EPD1::SET
        + CD_DW0::V::SET
        + CD_DW0::IPS.val(u64::from(table.ips))
        + CD_DW0::AA64::SET
        + CD_DW0::S.val(u64::from(how.stall))
        + CD_DW0::R::SET
        + CD_DW0::A::SET
        + CD_DW0::ASET.val(u64::from(how.private_asid))
        + CD_DW0::ASID.val(u64::from(table.asid));
    if how.cacheable {
        dw0 += CD_DW0::IR0::WriteBackWriteAllocate + CD_DW0::OR0::WriteBackWriteAllocate + CD_DW0::SH0::Inner;
    }
    let dw1 = CD_DW1::TTB0.val(table.ttb0.0 >> CD_DW1::TTB0.shift);
    [dw0.value, dw1.value, 0, table.mair, 0, 0, 0, 0]
}

const WALK0: u64 = {
    let fields = [CD_DW0::T0SZ, CD_DW0::TG0, CD_DW0::IR0, CD_DW0::OR0, CD_DW0::SH0];
    let mut all = 0;
    let mut i = 0;
    while i < fields.len() {
        all |= fields[i].mask << fields[i].shift;
        i += 1;
    }
    all
};
const TTB0: u64 = CD_DW1::TTB0.mask << CD_DW1::TTB0.shift;

/// The same context with TTB0 walks off. Late traffic ends quietly: it neither stalls nor is recorded, unless stalls are forced.
pub(crate) fn quiesced(cd: &Words, stall_model: StallModel) -> Words {
    let mut quiet = *cd;
    let mut clear = CD_DW0::R::SET;
    if stall_model != StallModel::StallOnly {
        clear += CD_DW0::S::SET;
    }
    quiet[0] = cd[0] & !(WALK0 | clear.value) | CD_DW0::EPD0::SET.value;
    quiet[1] &= !TTB0;
    quiet
}

/// The bits of a CD that the SMMU looks at.
pub(crate) fn used(cd: &Words) -> Words {
    if !CD_DW0::V.is_set(cd[0]) {
        return [CD_DW0::V::SET.value, 0, 0, 0, 0, 0, 0, 0];
    }
    let mut used = [u64::MAX; 8];
    if CD_DW0::EPD0.is_set(cd[0]) {
        used[0] &= !WALK0;
        used[1] &= !TTB0;
    }
    used
}

/// The state of one entry of a CD table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    Empty,
    Live { asid: u16 },
    Quiesced { asid: u16 },
}

/// A stream's CD table.
pub(crate) struct CdTable<B> {
    /// The CDs, or level-1 descriptors.
    root: B,
    substream_bits: u8,
    is_two_level: bool,
    leaves: Vec<(u32, B), MAX_LEAVES>,
}

/// When the last, tidying stores of a change must be visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tidied {
    /// When the call returns.
    AtOnce,
    /// With the CMD_SYNC that the caller goes on to.
    ByTheNextSync,
}

impl<B: DmaBuffer> CdTable<B> {
    /// Makes an empty table for all SubstreamIDs of this SMMU, or for one context if it has none.
    pub(crate) fn new<M: DmaMapper<Buffer = B>>(memory: &M, features: &Features) -> Result<Self, SmmuError> {
        let (substream_bits, is_two_level) = shape(features);
        let bytes = if is_two_level {
            (L1CD_BYTES as usize) << (u32::from(substream_bits) - SPLIT_64K)
        } else {
            (CD_BYTES as usize) << substream_bits
        };
        let root = memory.alloc(bytes, bytes.next_power_of_two().max(64))?;
        Ok(Self { root, substream_bits, is_two_level, leaves: Vec::new() })
    }

    pub(crate) fn free<M: DmaMapper<Buffer = B>>(self, memory: &M) {
        for (_, leaf) in self.leaves {
            memory.free(leaf);
        }
        memory.free(self.root);
    }

    pub(crate) fn pointer(&self) -> u64 {
        self.root.device_address().0
    }

    pub(crate) const fn format(&self) -> CdFormat {
        if self.is_two_level { CdFormat::TwoLevel } else { CdFormat::Linear }
    }

    /// log2 of the number of contexts; 0 if the stream has no SubstreamIDs.
    pub(crate) const fn substream_bits(&self) -> u8 {
        self.substream_bits
    }

    pub(crate) const fn covers(&self, substream: SubstreamId) -> bool {
        substream.0 < 1 << self.substream_bits
    }

    /// Makes the leaf of `substream` exist. `reachable` is given once the SMMU may follow the table: cached copies are dropped then.
    pub(crate) fn ensure<W: RegisterWindow, C: Clock, M: DmaMapper<Buffer = B>>(
        &mut self,
        port: &Port<W, C, M>,
        reachable: Option<(&mut CommandQueue<B>, StreamId)>,
        substream: SubstreamId,
    ) -> Result<(), SmmuError> {
        let index = substream.0 >> SPLIT_64K;
        if !self.is_two_level || self.leaves.iter().any(|(i, _)| *i == index) {
            return Ok(());
        }
        let (leaf, reachable) = match reachable {
            Some((queue, stream)) if self.leaves.is_full() => (self.take_idle(port, queue, stream)?, Some((queue, stream))),
            reachable => {
                let bytes = (CD_BYTES as usize) << SPLIT_64K;
                (port.memory.alloc(bytes, bytes)?, reachable)
            }
        };
        // The leaf without a valid context before the descriptor that makes it reachable.
        port.publish();
        let descriptor = L1CD::V::SET + L1CD::L2PTR.val(leaf.device_address().0 >> L1CD::L2PTR.shift);
        self.link(index, descriptor.value);
        // Kept whatever happens below: the SMMU may have seen it.
        let _ = self.leaves.push((index, leaf));
        if let Some((queue, stream)) = reachable {
            // The invalid descriptor may be cached.
            queue.push(port, Operation::CfgiCd { stream, substream, leaf: Leaf::AllLevels })?;
            queue.sync(port)?;
        }
        Ok(())
    }

    fn link(&self, index: u32, descriptor: u64) {
        self.root.write64(index as usize * L1CD_BYTES as usize, descriptor);
    }

    /// Unlinks a leaf that holds no context. What the SMMU keeps of it is gone when this returns, and only then: it would find the next owner's
    /// contexts under the old numbers.
    fn take_idle<W: RegisterWindow, C: Clock, M: DmaMapper<Buffer = B>>(
        &mut self,
        port: &Port<W, C, M>,
        queue: &mut CommandQueue<B>,
        stream: StreamId,
    ) -> Result<B, SmmuError> {
        let is_idle = |leaf: &B| (0..leaf.len_bytes()).step_by(CD_BYTES as usize).all(|at| !CD_DW0::V.is_set(leaf.read64(at)));
        let at = self.leaves.iter().position(|(_, leaf)| is_idle(leaf)).ok_or(SmmuError::NoRoom)?;
        let index = self.leaves[at].0;
        if index != UNLINKED {
            self.link(index, 0);
            self.leaves[at].0 = UNLINKED;
        }
        queue.push(port, Operation::CfgiCdAll { stream })?;
        queue.sync(port)?;
        Ok(self.leaves.swap_remove(at).1)
    }

    fn locate(&self, substream: SubstreamId) -> Option<(&B, usize)> {
        if !self.covers(substream) {
            return None;
        }
        if !self.is_two_level {
            return Some((&self.root, substream.0 as usize * CD_BYTES as usize));
        }
        let (_, leaf) = self.leaves.iter().find(|(i, _)| *i == substream.0 >> SPLIT_64K)?;
        Some((leaf, (substream.0 & ((1 << SPLIT_64K) - 1)) as usize * CD_BYTES as usize))
    }

    /// The entry as it stands; all 0 where no leaf exists.
    pub(crate) fn read(&self, substream: SubstreamId) -> Words {
        match self.locate(substream) {
            Some((buffer, at)) => core::array::from_fn(|i| buffer.read64(at + 8 * i)),
            None => [0; 8],
        }
    }

    pub(crate) fn slot(&self, substream: SubstreamId) -> Slot {
        let dw0 = self.locate(substream).map_or(0, |(buffer, at)| buffer.read64(at));
        let asid = CD_DW0::ASID.read(dw0) as u16;
        match (CD_DW0::V.is_set(dw0), CD_DW0::EPD0.is_set(dw0)) {
            (false, _) => Slot::Empty,
            (true, false) => Slot::Live { asid },
            (true, true) => Slot::Quiesced { asid },
        }
    }

    /// Writes an entry of a table that the SMMU cannot reach yet.
    pub(crate) fn prepare(&self, substream: SubstreamId, cd: &Words) -> Result<(), SmmuError> {
        let (buffer, at) = self.locate(substream).ok_or(SmmuError::SubstreamOutOfRange(substream))?;
        for (i, word) in cd.iter().enumerate() {
            buffer.write64(at + 8 * i, *word);
        }
        Ok(())
    }

    /// Changes an entry of a reachable table; when this returns no other configuration of it is in force.
    pub(crate) fn set<W: RegisterWindow, C: Clock, M: DmaMapper<Buffer = B>>(
        &self,
        port: &Port<W, C, M>,
        queue: &mut CommandQueue<B>,
        stream: StreamId,
        substream: SubstreamId,
        target: &Words,
    ) -> Result<Change, SmmuError> {
        self.change(port, queue, (stream, substream), &self.read(substream), target, Tidied::AtOnce)
    }

    /// The same from words that the caller has just read; `tidied` says whose CMD_SYNC the last stores wait for.
    pub(crate) fn change<W: RegisterWindow, C: Clock, M: DmaMapper<Buffer = B>>(
        &self,
        port: &Port<W, C, M>,
        queue: &mut CommandQueue<B>,
        (stream, substream): (StreamId, SubstreamId),
        current: &Words,
        target: &Words,
        tidied: Tidied,
    ) -> Result<Change, SmmuError> {
        let (buffer, at) = self.locate(substream).ok_or(SmmuError::SubstreamOutOfRange(substream))?;
        rewrite(
            current,
            target,
            used,
            |word, value| buffer.write64(at + 8 * word, value),
            |step| {
                queue.push(port, Operation::CfgiCd { stream, substream, leaf: Leaf::Only })?;
                if step == Step::Tidying && tidied == Tidied::ByTheNextSync { Ok(()) } else { queue.sync(port) }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal::Pa;

    fn table() -> TableDescription {
        TableDescription { ttb0: Pa(0x4020_3000), t0sz: 25, granule: Granule::Kib4, ips: 4, mair: 0xff, asid: 7 }
    }

    #[test]
    fn contexts_are_the_words_of_the_document() {
        let private = Treatment { stall: false, private_asid: true, cacheable: true };
        assert_eq!(context(&table(), private), [0x0007_e204_c000_3519, 0x4020_3000, 0, 0xff, 0, 0, 0, 0]);
        let shared = Treatment { stall: true, private_asid: false, cacheable: true };
        assert_eq!(context(&table(), shared)[0], 0x0007_7204_c000_3519);
        assert_eq!(context(&table(), Treatment { cacheable: false, ..private })[0], 0x0007_e204_c000_0019);
    }

    #[test]
    fn a_quiesced_context_keeps_its_asid_and_shows_no_table() {
        let live = context(&table(), Treatment { stall: true, private_asid: false, cacheable: true });
        let quiet = quiesced(&live, StallModel::StallOrTerminate);
        assert_eq!(quiet, [0x0007_4204_c000_4000, 0, 0, 0xff, 0, 0, 0, 0]);
        assert_eq!(quiesced(&live, StallModel::StallOnly)[0], 0x0007_5204_c000_4000);
        let mask = used(&quiet);
        assert!((0..8).all(|i| quiet[i] & !mask[i] == 0));
        assert_eq!(used(&[0; 8]), [1 << 31, 0, 0, 0, 0, 0, 0, 0]);
    }
}
