//! The crate `smmu`, enabled, with as many PASIDs and pages, and a cache that holds them all.

use smmu::SMMU;
use smmu::types::{AccessType, IOVA, PA, PASID, PagePermissions, SMMUConfig, SecurityState, StreamConfig, StreamID};

use crate::machine::{SID, address, output};

/// An enabled instance with `count` PASIDs, its cache warm.
pub struct Peer {
    smmu: SMMU,
    stream: StreamID,
    pasids: Vec<PASID>,
}

impl Peer {
    pub fn new(count: u32) -> Self {
        let mut config = SMMUConfig::default();
        config.cache_config.tlb_cache_size = 1 << 17;
        let smmu = SMMU::with_config(config);
        smmu.enable().expect("enabled");
        let stream = StreamID::new(SID).expect("a stream");
        let mut config = StreamConfig::stage1_only();
        (config.translation_enabled, config.stage1_enabled, config.pasid_enabled) = (true, true, true);
        (config.max_pasid, config.s1cd_max) = (crate::machine::MOST, 17);
        smmu.configure_stream(stream, config).expect("a configuration");
        let pasids: Vec<_> = (0..count).map(|ssid| PASID::new(ssid).expect("a PASID")).collect();
        for (ssid, pasid) in pasids.iter().enumerate() {
            smmu.create_pasid(stream, *pasid).expect("created");
            smmu.set_pasid_asid(stream, *pasid, ssid as u16).expect("an ASID");
            let va = address(ssid as u32) & !0xfff;
            let (page, at) = (IOVA::new(va).expect("a page"), PA::new(output(va)).expect("an address"));
            smmu.map_page(stream, *pasid, page, at, PagePermissions::read_write(), SecurityState::NonSecure).expect("mapped");
        }
        let peer = Self { smmu, stream, pasids };
        for ssid in 0..count {
            let at = address(ssid);
            assert_eq!(peer.translate(ssid, at), Some(output(at)), "PASID {ssid}");
        }
        peer
    }

    #[inline]
    pub fn translate(&self, ssid: u32, va: u64) -> Option<u64> {
        let (pasid, at) = (self.pasids[ssid as usize], IOVA::new(va).ok()?);
        let data = self.smmu.translate(self.stream, pasid, at, AccessType::Read, SecurityState::NonSecure).ok()?;
        Some(data.physical_address().as_u64())
    }
}
