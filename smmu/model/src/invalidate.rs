//! Invalidation commands (IHI 0070 4.3, 4.4): they drop exactly what the architecture demands.

use hal::{StreamId, SubstreamId};
use smmu_spec::command::{Command, Leaf, TlbiRange};
use smmu_spec::descriptor::Granule;
use smmu_spec::regs::STRTAB_BASE_CFG;
use smmu_spec::ste::effective_split;

use crate::configuration::Configuration;
use crate::model::SmmuModel;
use crate::stream::{CdTable, SteAction, SteConfig};
use crate::tlb::{Addresses, Owner, Scope};
use crate::violation::Violation;

/// The command is illegal.
pub(crate) struct Illegal;

/// What a TLB invalidation by owner and address names.
pub(crate) struct ByAddress {
    pub world: u8,
    pub vmid: u16,
    pub owner: Owner,
    pub range: TlbiRange,
}

impl SmmuModel {
    /// Makes resolved contexts unusable: after any configuration command, and when SMMUEN changes.
    pub(crate) fn forget_resolved(&mut self) {
        self.generation += 1;
        self.forget_recent();
    }

    /// Drops TLB entries, and the copies of recent answers with them.
    pub(crate) fn invalidate_tlb(&mut self, scope: &Scope) {
        self.walker.tlb.invalidate(scope);
        self.forget_recent();
        self.invalidated_since_sync = true;
    }

    fn split(&self) -> u32 {
        effective_split(STRTAB_BASE_CFG::SPLIT.read(self.regs.strtab_base_cfg))
    }

    pub(crate) fn invalidate_ste(&mut self, stream: StreamId, leaf: Leaf) {
        self.forget_resolved();
        let key = u64::from(stream.0);
        self.configuration.streams.ste.remove(key);
        self.configuration.contexts.cd.remove_where(|k, _| k >> 20 == key);
        self.configuration.contexts.l1cd.remove_where(|k, _| k >> 20 == key);
        self.configuration.contexts.retire_owners(|named| named == stream);
        if leaf == Leaf::AllLevels {
            let index = key >> self.split();
            self.configuration.streams.l1std.remove(index);
        }
    }

    /// The aligned block of 2^(range + 1) streams around `stream`; everything for range 31.
    pub(crate) fn invalidate_ste_range(&mut self, stream: StreamId, range: u8) {
        self.forget_resolved();
        let split = self.split();
        let Configuration { streams, contexts } = &mut self.configuration;
        // Who invalidates everything may have changed everything.
        streams.seen.clear();
        contexts.seen.clear();
        if range >= 31 {
            streams.ste.clear();
            contexts.cd.clear();
            streams.l1std.clear();
            contexts.l1cd.clear();
            contexts.retire_owners(|_| true);
            return;
        }
        let shift = u32::from(range) + 1;
        let block = u64::from(stream.0) >> shift;
        streams.ste.remove_where(|k, _| k >> shift == block);
        contexts.cd.remove_where(|k, _| k >> 20 >> shift == block);
        contexts.l1cd.remove_where(|k, _| k >> 20 >> shift == block);
        contexts.retire_owners(|named| u64::from(named.0) >> shift == block);
        let (first, last) = (block << shift, (block << shift) | ((1 << shift) - 1));
        streams.l1std.remove_where(|k, _| (first >> split..=last >> split).contains(&k));
    }

    pub(crate) fn invalidate_cd(&mut self, stream: StreamId, substream: SubstreamId, leaf: Leaf) {
        self.forget_resolved();
        let base = u64::from(stream.0) << 20;
        self.configuration.contexts.cd.remove(base | u64::from(substream.0));
        if leaf == Leaf::AllLevels {
            // The index into the level-1 table depends on a format that software may have changed meanwhile: drop both readings.
            let split = match self.configuration.streams.ste.get(u64::from(stream.0)) {
                Some(SteAction::Translate(SteConfig { stage1: Some(config), .. })) => match config.table {
                    CdTable::TwoLevel(split) => Some(split),
                    CdTable::Linear => None,
                },
                _ => None,
            };
            match split {
                Some(split) => self.configuration.contexts.l1cd.remove(base | u64::from(substream.0 >> split)),
                None => self.configuration.contexts.l1cd.remove_where(|k, _| k >> 20 == u64::from(stream.0)),
            }
        }
    }

    pub(crate) fn invalidate_cd_all(&mut self, stream: StreamId) {
        self.forget_resolved();
        let key = u64::from(stream.0);
        self.configuration.contexts.cd.remove_where(|k, _| k >> 20 == key);
        self.configuration.contexts.l1cd.remove_where(|k, _| k >> 20 == key);
        self.configuration.contexts.retire_owners(|named| named == stream);
    }

    /// Drops entries of an owner at any address.
    pub(crate) fn invalidate_owner(&mut self, world: u8, vmid: u16, owner: Owner, command: Command) {
        if self.names_missing_tag(vmid, owner, command) {
            return;
        }
        self.invalidate_tlb(&Scope { world, vmid: self.features.s2p.then_some(vmid), owner, addresses: None });
    }

    /// Drops entries of an owner in a range.
    ///
    /// # Errors
    /// [`Illegal`] for a range of NUM = SCALE = TTL = 0, and for any range field without IDR3.RIL.
    pub(crate) fn invalidate_range(&mut self, what: &ByAddress, command: Command) -> Result<(), Illegal> {
        let ByAddress { world, vmid, owner, range } = *what;
        let TlbiRange { address, leaf, tg, num, scale, mut ttl } = range;
        if !self.features.ril && (tg | num | scale | ttl) != 0 {
            return Err(Illegal);
        }
        let first = normalise(address);
        let addresses = match Granule::from_tlbi_tg(u64::from(tg)) {
            None => {
                if (num | scale | ttl) != 0 {
                    self.log(Violation::RangeFieldsWithoutGranule { command: command.0[0] });
                }
                Addresses { first, last: first | 0xfff, leaf, granule: None, level: None }
            }
            Some(granule) => {
                if granule == Granule::Kib16 && ttl == 1 {
                    ttl = 0;
                }
                if (num | scale | ttl) == 0 {
                    return Err(Illegal);
                }
                let cell = if ttl == 0 { granule.shift() } else { granule.level_shift(u32::from(ttl)) };
                if address & ((1 << cell) - 1) != 0 {
                    self.log(Violation::MisalignedRange { command: command.0[1] });
                    return Ok(());
                }
                let bytes = (u128::from(num) + 1) << scale << granule.shift();
                Addresses { first, last: end_of_range(first, bytes), leaf, granule: Some(granule), level: (ttl != 0).then_some(ttl) }
            }
        };
        if self.names_missing_tag(vmid, owner, command) {
            return Ok(());
        }
        self.invalidate_tlb(&Scope { world, vmid: self.features.s2p.then_some(vmid), owner, addresses: Some(addresses) });
        Ok(())
    }

    /// Logs and reports a VMID or ASID that the implementation does not have.
    fn names_missing_tag(&mut self, vmid: u16, owner: Owner, command: Command) -> bool {
        let asid = match owner {
            Owner::Asid(asid) | Owner::AsidOrGlobal(asid) => asid,
            Owner::All => 0,
        };
        let f = &self.features;
        let is_missing = (!f.s2p && vmid != 0) || (!f.vmid16 && vmid > 0xff) || (!f.asid16 && asid > 0xff);
        if is_missing {
            self.log(Violation::UnimplementedTag { command: command.0[0] });
        }
        is_missing
    }
}

/// Sign-extends from bit 55, as translations do with an ignored top byte.
const fn normalise(address: u64) -> u64 {
    ((address << 8) as i64 >> 8) as u64
}

/// Last byte of a range that neither wraps nor crosses from the lower into the upper half.
fn end_of_range(first: u64, bytes: u128) -> u64 {
    let limit = if first >> 63 == 0 { (1 << 55) - 1 } else { u64::MAX };
    (u128::from(first) + bytes - 1).min(u128::from(limit)) as u64
}
