//! The latest structures as they were decoded.
//!
//! What an STE or CD means depends on its words and on what the implementation has, and on nothing else. So a structure that is fetched again
//! with the same words need not be decoded again; and CDs of one stream mostly differ in ASID and start table only. This is no cache in the
//! architecture's sense: the words are fetched every time.

use smmu_spec::cd::{CD_DW0, CD_DW1};

use crate::context::{CdWords, Context};
use crate::profile::Features;
use crate::stream::{Stage1Config, SteAction, SteWords};
use crate::tlb::world;

/// Bits of a CD's first two words that two CDs of one form may have different.
const OWN_DW0: u64 = CD_DW0::ASID.mask << CD_DW0::ASID.shift;
const OWN_DW1: u64 = CD_DW1::TTB0.mask << CD_DW1::TTB0.shift;

/// What a legal CD decodes to but for ASID, TTB0 and MAIR.
struct Form {
    dw0: u64,
    dw1: u64,
    dw2: u64,
    owner: u32,
    context: Context,
    /// Bits of TTB0 that count; none while its walks are disabled.
    table_mask: u64,
    /// Bits that TTB0 may not have; none while its walks are disabled.
    table_limit: u64,
    /// False in the EL2 world.
    uses_asid: bool,
    /// Bits that the ASID may not have.
    asid_limit: u16,
}

/// What decoding a CD takes from the STE, as a number.
const fn owner(ste: &Stage1Config) -> u32 {
    ste.vmid as u32 | (ste.world as u32) << 16 | (ste.stall_disabled as u32) << 24
}

/// The latest STE: its words, CR2.E2H, and what they say.
pub(crate) struct LatestSte {
    words: SteWords,
    e2h: bool,
    action: SteAction,
}

impl LatestSte {
    pub const fn new() -> Self {
        // V = 0 is ILLEGAL.
        Self { words: [0; 4], e2h: false, action: SteAction::Illegal }
    }

    /// The STE that was decoded last, and what it says.
    pub const fn parts(&self) -> (SteWords, &SteAction) {
        (self.words, &self.action)
    }

    /// [`SteAction::decode`].
    #[inline(always)]
    pub fn decode(&mut self, words: &SteWords, e2h: bool, f: &Features) -> &SteAction {
        let differs = words.iter().zip(&self.words).fold(0, |differs, (new, old)| differs | new ^ old);
        if differs != 0 || self.e2h != e2h {
            self.learn(words, e2h, f);
        }
        &self.action
    }

    #[inline(never)]
    fn learn(&mut self, words: &SteWords, e2h: bool, f: &Features) {
        *self = Self { words: *words, e2h, action: SteAction::decode(words, e2h, f) };
    }
}

/// The latest CD. What is the next one's own is written into it.
pub(crate) struct LatestCd(Option<Form>);

impl LatestCd {
    pub const fn new() -> Self {
        Self(None)
    }

    /// The form of the CD that was decoded last, if it was legal: what a CD of this form has in its first three words but for what is its own, the
    /// mask that leaves this of the first two, and what the CD says.
    pub fn parts(&self) -> Option<([u64; 3], [u64; 2], &Context)> {
        let form = self.0.as_ref()?;
        let asid = u64::from(form.asid_limit) << CD_DW0::ASID.shift;
        let mask = [!OWN_DW0 | asid, !OWN_DW1 | form.table_limit & OWN_DW1];
        Some(([form.dw0 & !OWN_DW0, form.dw1 & !OWN_DW1, form.dw2], mask, &form.context))
    }

    /// [`Context::decode`].
    #[inline(always)]
    pub fn decode(&mut self, words: &CdWords, ste: &Stage1Config, f: &Features) -> Option<&Context> {
        let is_known = self.0.as_ref().is_some_and(|form| form.is_of(words, ste));
        if !is_known {
            self.learn(words, ste, f);
        }
        self.0.as_mut()?.own(words)
    }

    #[inline(never)]
    fn learn(&mut self, words: &CdWords, ste: &Stage1Config, f: &Features) {
        self.0 = Form::of(words, ste, f);
    }
}

impl Form {
    /// Decodes a CD; `None` if ILLEGAL.
    fn of(words: &CdWords, ste: &Stage1Config, f: &Features) -> Option<Self> {
        let context = Context::decode(words, ste, f)?;
        let half = &context.halves[0];
        let (table_mask, table_limit) = if half.walks_disabled { (0, 0) } else { (half.tables.start_mask(), half.tables.beyond) };
        let uses_asid = context.tag.world() != world::EL2;
        let asid_limit = if uses_asid && !f.asid16 { 0xff00 } else { 0 };
        Some(Self {
            dw0: words[0],
            dw1: words[1],
            dw2: words[2],
            owner: owner(ste),
            context,
            table_mask,
            table_limit,
            uses_asid,
            asid_limit,
        })
    }

    #[inline(always)]
    fn is_of(&self, words: &CdWords, ste: &Stage1Config) -> bool {
        let differs = (words[0] ^ self.dw0) & !OWN_DW0 | (words[1] ^ self.dw1) & !OWN_DW1 | words[2] ^ self.dw2;
        differs | u64::from(owner(ste) ^ self.owner) == 0
    }

    /// Gives the context of a CD of this form, unless its own words make it ILLEGAL.
    #[inline(always)]
    fn own(&mut self, words: &CdWords) -> Option<&Context> {
        let asid = CD_DW0::ASID.read(words[0]) as u16;
        let table = CD_DW1::TTB0.read(words[1]) << 4;
        if asid & self.asid_limit != 0 || table & self.table_limit != 0 {
            return None;
        }
        let context = &mut self.context;
        if self.uses_asid {
            context.tag = context.tag.with_asid(asid);
            for half in &mut context.halves {
                half.tables.tag = context.tag;
            }
        }
        context.halves[0].tables.table = table & self.table_mask;
        context.mair = words[3];
        Some(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::stream::{CdTable, DefaultSubstream};

    /// A small generator: decoding is compared, not proved.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        *state ^ *state >> 29
    }

    #[test]
    fn a_structure_of_the_form_of_the_latest_one_means_what_decoding_says() {
        let state = &mut 7;
        let mut profiles = [Profile::STALL, Profile::STALL_S1, Profile::MIN, Profile::QEMU72];
        // 8-bit ASIDs.
        profiles[1].ids.idr0 &= !(1 << 12);
        let rounds = if cfg!(miri) { 50 } else { 5_000 };
        for profile in profiles {
            let (f, mut latest, mut legal) = (Features::of(&profile.ids), LatestCd::new(), 0);
            for _ in 0..rounds {
                // A legal CD: T0SZ 25, 4 KiB, EPD1, V, IPS, AA64, R, A. Then some bits of it change, and the words of an address space.
                let mut dw0 = 0x0000_6204_c000_3519_u64;
                if next(state) & 3 == 0 {
                    dw0 ^= 1 << (next(state) % 48);
                }
                let ste = Stage1Config {
                    table_base: 0,
                    cd_max: 0,
                    table: CdTable::Linear,
                    default_substream: DefaultSubstream::Ssid0,
                    world: [0, 0, 0, 2, 3][(next(state) % 5) as usize],
                    vmid: 0,
                    stall_disabled: false,
                };
                for _ in 0..4 {
                    let table = next(state) >> (next(state) % 40) & OWN_DW1;
                    // Half of the ASIDs have 8 bits, so that implementations without more see legal ones too.
                    let asid = next(state) & if next(state) & 1 == 0 { OWN_DW0 } else { 0xff << 48 };
                    let words = [dw0 | asid, table | next(state) & 6 & next(state), 0, next(state)];
                    let expected = Context::decode(&words, &ste, &f);
                    legal += u32::from(expected.is_some());
                    assert_eq!(latest.decode(&words, &ste, &f).copied(), expected, "{words:x?}");
                }
            }
            assert!(legal > rounds / 4, "{}: {legal}", profile.name);
        }
    }

    #[test]
    fn an_ste_is_decoded_when_a_word_of_it_changes() {
        let f = Features::of(&Profile::STALL.ids);
        let mut latest = LatestSte::new();
        for words in [[9, 0, 0, 0], [9, 0, 0, 0], [0, 0, 0, 0], [0x8000_0000_4800_002b, 0xd6, 0, 0], [0x8000_0000_4800_002b, 0xd6, 5, 0]] {
            for e2h in [false, true] {
                assert_eq!(*latest.decode(&words, e2h, &f), SteAction::decode(&words, e2h, &f));
            }
        }
    }
}
