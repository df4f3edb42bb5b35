//! The latest structures as they were decoded.
//!
//! What an STE or CD means depends on its words and on what the implementation has, and on nothing else. So a structure that is fetched again
//! with the same words need not be decoded again; and CDs of one stream mostly differ in ASID and start table only. This is no cache in the
//! architecture's sense: the words are fetched every time.

use smmu_spec::cd::{CD_DW0, CD_DW1};

use crate::context::{CdWords, Context, limit, start_table_mask};
use crate::profile::Features;
use crate::stream::{Stage1Config, SteAction, SteWords};
use crate::tlb::world;
use crate::walk::Tables;

/// Bits of a CD's first two words that two CDs of one form may have different.
const OWN_DW0: u64 = CD_DW0::ASID.mask << CD_DW0::ASID.shift;
const OWN_DW1: u64 = CD_DW1::TTB0.mask << CD_DW1::TTB0.shift;

/// What a legal CD decodes to but for ASID, TTB0 and MAIR.
#[derive(Clone, Copy)]
struct Form {
    dw0: u64,
    dw1: u64,
    dw2: u64,
    /// What decoding takes from the STE.
    owner: (u8, u16, bool),
    context: Context,
    /// Bits of TTB0 that count; 0 while its walks are disabled.
    table_mask: u64,
    /// Log2 of the first address that TTB0 may not have; 64 while its walks are disabled.
    table_limit: u32,
}

pub(crate) struct Decoded {
    /// Words, CR2.E2H, and what they say.
    ste: (SteWords, bool, SteAction),
    cd: Option<Form>,
}

const fn owner(ste: &Stage1Config) -> (u8, u16, bool) {
    (ste.world, ste.vmid, ste.stall_disabled)
}

impl Decoded {
    pub const fn new() -> Self {
        // V = 0 is ILLEGAL.
        Self { ste: ([0; 4], false, SteAction::Illegal), cd: None }
    }

    /// [`SteAction::decode`].
    #[inline]
    pub fn ste(&mut self, words: &SteWords, e2h: bool, f: &Features) -> &SteAction {
        if self.ste.0 != *words || self.ste.1 != e2h {
            self.ste = (*words, e2h, SteAction::decode(words, e2h, f));
        }
        &self.ste.2
    }

    /// [`Context::decode`], into `to`; it is left alone if the CD is ILLEGAL.
    #[inline]
    pub fn cd(&mut self, words: &CdWords, ste: &Stage1Config, f: &Features, to: &mut Option<Context>) {
        let is_known = self.cd.as_ref().is_some_and(|form| form.is_of(words, ste));
        if !is_known {
            self.cd = Form::of(words, ste, f);
        }
        if let Some(form) = &self.cd {
            form.fill(words, f, to);
        }
    }
}

impl Form {
    /// Decodes a CD; `None` if ILLEGAL.
    #[inline(never)]
    fn of(words: &CdWords, ste: &Stage1Config, f: &Features) -> Option<Self> {
        let context = Context::decode(words, ste, f)?;
        let half = &context.halves[0];
        let (table_mask, table_limit) = if half.walks_disabled {
            (0, 64)
        } else {
            let Tables { granule, input_bits, start_level, output_bits, .. } = half.tables;
            (start_table_mask(granule, input_bits, start_level), limit(granule, output_bits))
        };
        Some(Self { dw0: words[0], dw1: words[1], dw2: words[2], owner: owner(ste), context, table_mask, table_limit })
    }

    #[inline]
    fn is_of(&self, words: &CdWords, ste: &Stage1Config) -> bool {
        let differs = (words[0] ^ self.dw0) & !OWN_DW0 | (words[1] ^ self.dw1) & !OWN_DW1 | words[2] ^ self.dw2;
        differs == 0 && owner(ste) == self.owner
    }

    /// Gives the context of a CD of this form, unless its own words make it ILLEGAL.
    #[inline]
    fn fill(&self, words: &CdWords, f: &Features, to: &mut Option<Context>) {
        let asid = CD_DW0::ASID.read(words[0]) as u16;
        let table = CD_DW1::TTB0.read(words[1]) << 4;
        let uses_asid = self.context.tag.world() != world::EL2;
        let is_legal = (asid <= 0xff || f.asid16 || !uses_asid) && (self.table_limit == 64 || table >> self.table_limit == 0);
        if !is_legal {
            return;
        }
        // The words of its own are stored after the copy, so that who reads them next need not wait for stores of another width.
        let context = to.insert(self.context);
        if uses_asid {
            context.tag = context.tag.with_asid(asid);
            for half in &mut context.halves {
                half.tables.tag = context.tag;
            }
        }
        context.halves[0].tables.table = table & self.table_mask;
        context.mair = words[3];
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
            let (f, mut decoded, mut legal) = (Features::of(&profile.ids), Decoded::new(), 0);
            for _ in 0..rounds {
                // A legal CD: T0SZ 25, 4 KiB, EPD1, V, IPS, AA64, R, A. Then some bits of it change, and the words of an address space.
                let mut dw0 = 0x0000_6204_c000_3519_u64;
                if next(state) & 3 == 0 {
                    dw0 ^= 1 << (next(state) % 48);
                }
                let ste = Stage1Config {
                    context_ptr: 0,
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
                    let mut got = None;
                    decoded.cd(&words, &ste, &f, &mut got);
                    assert_eq!(got, expected, "{words:x?}");
                }
            }
            assert!(legal > rounds / 4, "{}: {legal}", profile.name);
        }
    }

    #[test]
    fn an_ste_is_decoded_when_a_word_of_it_changes() {
        let f = Features::of(&Profile::STALL.ids);
        let mut decoded = Decoded::new();
        for words in [[9, 0, 0, 0], [9, 0, 0, 0], [0, 0, 0, 0], [0x8000_0000_4800_002b, 0xd6, 0, 0], [0x8000_0000_4800_002b, 0xd6, 5, 0]] {
            for e2h in [false, true] {
                assert_eq!(*decoded.ste(&words, e2h, &f), SteAction::decode(&words, e2h, &f));
            }
        }
    }
}
