//! TLB maintenance. The CPU's broadcast invalidations are not followed: whoever changes a table calls here.

use hal::{Clock, DmaMapper, RegisterWindow, Va};
use smmu_spec::{
    command::{Leaf, Operation, TlbiRange},
    descriptor::Granule,
};

use crate::error::SmmuError;
use crate::init::Smmu;

/// Without range invalidation, more pages than this are dropped by ASID.
const MAX_SINGLE_PAGES: u64 = 512;
/// Units of one range command (NUM is 5 bits, units minus 1).
const MAX_UNITS: u64 = 32;
/// Largest SCALE: what fits SCALE's low five bits.
const MAX_SCALE: u32 = 31;

/// One range command's share of `pages` granules: `(units, scale)`, covering units × 2^scale.
fn chunk(pages: u64) -> (u64, u32) {
    let scale = pages.trailing_zeros().min(MAX_SCALE);
    match (pages >> scale) % MAX_UNITS {
        0 => (MAX_UNITS, scale),
        units => (units, scale),
    }
}

fn tg(granule: Granule) -> u8 {
    match granule {
        Granule::Kib4 => 1,
        Granule::Kib16 => 2,
        Granule::Kib64 => 3,
    }
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    /// Drops the translations of `[va, va + len_bytes)` of an address space. When this returns no transaction uses them any more.
    ///
    /// `Leaf::Only` suffices after pages were unmapped or changed; `Leaf::AllLevels` before a table page is freed.
    ///
    /// # Errors
    /// A failure of the command queue: the memory behind the range must then not be reused.
    pub fn invalidate_range(&mut self, asid: u16, va: Va, len_bytes: u64, leaf: Leaf) -> Result<(), SmmuError> {
        if len_bytes == 0 {
            return Ok(());
        }
        let granule = self.space(asid).map_or(self.config.granule, |s| s.granule);
        let page = 1_u64 << granule.shift();
        let first = va.align_down(page).0;
        let Some(pages) = va.0.checked_add(len_bytes - 1).map(|last| (last - first) / page + 1) else {
            return self.invalidate_asid(asid);
        };
        self.push_invalidation(
            granule,
            first,
            pages,
            leaf,
            |range| Operation::TlbiNhVa { vmid: 0, asid, range },
            Operation::TlbiNhAsid { vmid: 0, asid },
        )?;
        self.commands.sync(&self.port)?;
        // Devices after the TLB, or they would fetch the old translation again.
        self.invalidate_devices(asid, Some((Va(first), va.0 + (len_bytes - 1))))
    }

    /// Queues what drops `pages` granules from `first` on: ranges where the SMMU has them, single pages, or `all` where that is cheaper.
    pub(crate) fn push_invalidation(
        &mut self,
        granule: Granule,
        first: u64,
        pages: u64,
        leaf: Leaf,
        by_address: impl Fn(TlbiRange) -> Operation,
        all: Operation,
    ) -> Result<(), SmmuError> {
        if !self.features.has_range_invalidation {
            if pages > MAX_SINGLE_PAGES {
                return self.commands.push(&self.port, all);
            }
            for i in 0..pages {
                self.commands.push(&self.port, by_address(TlbiRange::single(first + (i << granule.shift()), leaf)))?;
            }
            return Ok(());
        }
        let mut address = first;
        let mut left = pages;
        while left > 0 {
            let (units, scale) = chunk(left);
            // One page is not a range: with TTL = 0 that encoding is illegal.
            let range = if units == 1 && scale == 0 {
                TlbiRange::single(address, leaf)
            } else {
                TlbiRange { address, leaf, tg: tg(granule), num: (units - 1) as u8, scale: scale as u8, ttl: 0 }
            };
            self.commands.push(&self.port, by_address(range))?;
            let done = units << scale;
            left -= done;
            address += done << granule.shift();
        }
        Ok(())
    }

    /// Drops all non-global translations of an address space.
    ///
    /// # Errors
    /// A failure of the command queue.
    pub fn invalidate_asid(&mut self, asid: u16) -> Result<(), SmmuError> {
        self.commands.push(&self.port, Operation::TlbiNhAsid { vmid: 0, asid })?;
        self.commands.sync(&self.port)?;
        self.invalidate_devices(asid, None)
    }

    /// Drops every translation.
    ///
    /// # Errors
    /// A failure of the command queue.
    pub fn invalidate_all(&mut self) -> Result<(), SmmuError> {
        self.commands.push(&self.port, Operation::TlbiNsnhAll)?;
        self.commands.sync(&self.port)?;
        for at in 0..self.spaces.len() {
            self.invalidate_devices(self.spaces[at].asid, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::chunk;

    #[test]
    fn chunks_cover_exactly_the_pages_in_few_commands() {
        for pages in (1..5000).chain([1 << 20, (1 << 20) - 1, 1 << 31, 1 << 36, 33 << 31, 0xf_ffff_ffff]) {
            let (mut left, mut commands) = (pages, 0);
            while left > 0 {
                let (units, scale) = chunk(left);
                assert!((1..=32).contains(&units) && scale <= 31);
                left = u64::checked_sub(left, units << scale).expect("never past the end");
                commands += 1;
            }
            assert!(commands <= 9, "{pages} pages took {commands} commands");
        }
        assert_eq!((chunk(1), chunk(512), chunk(513), chunk(1 << 36)), ((1, 0), (1, 9), (1, 0), (32, 31)));
    }
}
