//! The generated documents: which test shows which rule, and the reference of registers and layouts. `SMMU_DOCS=write` renews them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use smmu_spec::{command::Opcode, event::EventId, id::IdRegisters, regs};

use super::features;

/// What shows a rule.
enum Shown {
    /// These tests.
    By(&'static [&'static str]),
    /// The architecture leaves it to the implementation; these words stand in the model's table of limits.
    Limit(&'static str),
    /// No profile has it, as this function of the identification registers says; these words stand in the table of limits.
    Absent(&'static str, fn(&IdRegisters) -> bool),
    /// The table of limits names it, as was looked up already.
    Listed,
}
use Shown::{Absent, By, Limit, Listed};

const fn has_mpam(ids: &IdRegisters) -> bool {
    ids.idr3 >> 7 & 1 == 1
}

type Row = (&'static str, &'static str, Shown);

const STE: &[Row] = &[
    ("V = 0", "C_BAD_STE", By(&["every_config_code", "sm_c15_ste_abort_is_silent_and_invalid_is_recorded"])),
    ("Config 5, 7 without IDR0.S1P; 6, 7 without S2P", "C_BAD_STE", By(&["ste_config_6_and_7_need_stage_2_and_config_7_stage_1"])),
    ("S1CDMax > IDR1.SSIDSIZE", "C_BAD_STE", By(&["s1cdmax_above_ssidsize_is_illegal"])),
    ("S1Fmt 1, 2 without IDR0.CD2L", "C_BAD_STE", By(&["s1fmt_two_level_needs_cd2l_and_3_acts_as_linear"])),
    ("S1ContextPtr beyond OAS", "C_BAD_STE", By(&["s1contextptr_beyond_oas_is_illegal"])),
    (
        "the same, nested: beyond the input size of stage 2",
        "F_TRANSLATION, CLASS = CD",
        By(&["a_nested_cd_beyond_the_input_size_is_a_stage_2_translation_fault_of_the_cd"]),
    ),
    ("STRW 1, 3", "C_BAD_STE", By(&["strw_and_vmid_are_not_looked_at_without_their_features"])),
    ("S1STALLD without both stall models", "C_BAD_STE", By(&["s1stalld_needs_both_stall_models"])),
    ("EATS = 1 with S2S = 1", "C_BAD_STE", By(&["ste_eats_1_with_s2s_is_illegal"])),
    ("EATS = 2 unless nested, S2S = 0, NS1ATS = 0", "C_BAD_STE", By(&["ste_eats_2_needs_nesting_without_s2s_and_ns1ats_0"])),
    (
        "S2VMID 15:8 without IDR0.VMID16",
        "C_BAD_STE",
        By(&["ste_s2vmid_above_8_bits_needs_vmid16", "strw_and_vmid_are_not_looked_at_without_their_features"]),
    ),
    ("S2S against IDR0.STALL_MODEL", "C_BAD_STE", By(&["ste_s2s_follows_the_stall_model"])),
    ("S2AA64 = 0", "C_BAD_STE", By(&["ste_s2aa64_0_is_illegal"])),
    ("S2HA, S2HD beyond IDR0.HTTU", "C_BAD_STE", By(&["ste_s2ha_and_s2hd_need_httu"])),
    ("S2HAFT = 1 with S2HA = 0", "C_BAD_STE", By(&["ste_s2haft_without_s2ha_is_illegal_where_it_exists"])),
    ("S2TG reserved or missing", "C_BAD_STE", By(&["ste_s2tg_reserved_or_missing_is_illegal"])),
    ("S2TTB beyond S2PS, or 48 bits with small granules", "C_BAD_STE", By(&["ste_s2ttb_beyond_s2ps_is_illegal"])),
    ("S2T0SZ out of range", "C_BAD_STE", By(&["ste_s2t0sz_outside_its_range_is_illegal"])),
    ("S2SL0 against S2T0SZ and S2TG", "C_BAD_STE", By(&["ste_s2sl0_without_a_level_or_with_too_many_tables_is_illegal"])),
    ("S2ENDI against IDR0.TTENDIAN", "C_BAD_STE", By(&["ste_s2endi_needs_big_endian_tables"])),
];

/// What the fields of the configuration structures decide beside what is ILLEGAL.
const FIELDS: &[Row] = &[
    ("STE.Config", "abort, bypass, stages", By(&["every_config_code", "stage_2_alone_translates_and_names_its_faults"])),
    (
        "STE.S1Fmt, S1CDMax, S1ContextPtr",
        "place of the CD",
        By(&[
            "golden_table_decodes",
            "sm_p06_two_level_cd_tables",
            "nested_strw_is_ignored_and_the_table_pointer_is_an_intermediate_address",
        ]),
    ),
    ("STE.S1DSS", "traffic without a SubstreamID", By(&["sm_p04_s1dss_by_substream_matrix", "s1dss_bypass_leaves_stage_2"])),
    (
        "STE.STRW, CR2.E2H",
        "stream world",
        By(&["the_plain_el2_world_has_one_half_no_asid_and_no_unprivileged_level", "the_e2h_world_has_asids_and_privilege"]),
    ),
    (
        "STE.S2VMID",
        "tag",
        By(&["stage_1_only_streams_carry_the_vmid_where_stage_2_exists", "vmids_separate_guests_and_s12_vmall_drops_both_stages_of_one"]),
    ),
    (
        "STE.PRIVCFG",
        "privilege",
        By(&["privcfg_decides_privilege_before_permissions_and_in_the_record", "permission_overrides_need_their_feature"]),
    ),
    ("STE.INSTCFG", "instruction or data", By(&["instcfg_makes_reads_instruction_fetches_or_data_and_leaves_writes_alone"])),
    (
        "STE and GBPA.MTCFG, MemAttr, SHCFG",
        "attributes without stage 1",
        By(&[
            "memory_type_and_shareability_are_replaced_where_no_stage_1_is",
            "gbpa_replaces_memory_type_and_shareability_of_what_passes_a_disabled_smmu",
        ]),
    ),
    (
        "ATS completions, translated traffic",
        "R, W, Exe; size, SSV, PnU, InD",
        By(&[
            "ats_success_carries_what_the_tables_grant",
            "ats_grants_execution_with_reading_only_and_privilege_to_substreams_only",
            "ats_requests_are_subject_to_privcfg_and_instcfg",
            "ats_meets_faults_of_stage_2_below_stage_1_as_a_page_that_allows_nothing",
            "ats_of_bypassed_stage_1_grants_nothing_beyond_the_address_size",
            "split_stage_traffic_is_data_unprivileged_and_of_the_size_of_an_input",
        ]),
    ),
    ("STE.EATS, CR0.ATSCHK", "ATS", By(&["f_bad_ats_treq_where_ats_is_off", "f_transl_forbidden_where_translated_traffic_is_not_allowed"])),
    ("STE.MEV", "merging of records", By(&["sm_f16_records_of_one_page_merge_where_mev_allows_it"])),
    ("STE.PPAR", "automatic page responses", By(&["pri_overflow_holds_until_acknowledged_and_answers_success"])),
    ("STE.S2PTW", "walks that meet Device memory", By(&["s2ptw_keeps_walks_out_of_device_memory"])),
    (
        "STE.S2AFFD, S2HA, S2HD",
        "Access flag, dirty state",
        By(&["s2affd_and_s2ha_decide_about_a_clear_access_flag", "s2hd_makes_a_clean_page_dirty_for_a_write_only"]),
    ),
    ("STE.S2S, S2R", "stall, record", By(&["s2s_stalls_and_s2r_records"])),
    ("STE.S2FWB", "forced write-back", By(&["s2fwb_is_looked_at_where_it_exists", "attributes_of_both_stages_combine_to_the_weaker"])),
    ("CD.T0SZ, T1SZ, TBI0, TBI1", "range of either half", By(&["sm_t04_ttb1_split_and_tbi"])),
    ("CD.EPD0, EPD1", "no walks", By(&["quiesced_descriptor_still_hits_until_tlbi"])),
    ("CD.HAD0, HAD1", "hierarchical attributes", By(&["sm_t15_random_walks_equal_the_reference_4k"])),
    (
        "CD.WXN, PAN, EPAN, E0PD0, E0PD1",
        "permissions",
        By(&[
            "sm_t05_permissions_are_those_of_the_architectures_tables",
            "sm_t05_epan_extends_pan_to_unprivileged_executable_pages",
            "sm_t05_e0pd_keeps_unprivileged_traffic_out_of_a_half",
        ]),
    ),
    (
        "CD.AFFD, HA, HD",
        "Access flag, dirty state",
        By(&["sm_t06_affd_suppresses_f_access", "sm_t06_access_flag_and_dirty_state_are_updated"]),
    ),
    (
        "CD.S, R, A",
        "stall, record, abort",
        By(&["a_r_s_decide_about_governed_faults_only", "every_governed_fault_can_stall_with_or_without_r"]),
    ),
    ("CD.ASID, ASET", "tag", By(&["aset_separates_global_entries", "sm_i02_each_tlb_invalidation_drops_what_it_names_and_no_more"])),
    ("CD.IPS", "output size", By(&["sm_f01_f_addr_size_of_table_and_leaf", "ttb0_beyond_the_output_size_is_illegal"])),
];

const CD: &[Row] = &[
    ("V = 0", "C_BAD_CD", By(&["v_0_and_aa64_0_are_illegal", "sm_c18_illegal_cd"])),
    ("AA64 = 0", "C_BAD_CD", By(&["v_0_and_aa64_0_are_illegal"])),
    ("S against S1STALLD and IDR0.STALL_MODEL", "C_BAD_CD", By(&["stall_bit_follows_the_model_and_s1stalld"])),
    ("A = 0 with IDR0.TERM_MODEL", "C_BAD_CD", By(&["a_0_is_illegal_under_term_model"])),
    ("HA, HD beyond IDR0.HTTU", "C_BAD_CD", By(&["ha_and_hd_need_httu"])),
    ("HAFT = 1 with HA = 0", "C_BAD_CD", By(&["haft_without_ha_is_illegal_where_it_exists"])),
    ("ASID 15:8 without IDR0.ASID16", "C_BAD_CD", By(&["asid_above_8_bits_needs_asid16"])),
    ("ENDI against IDR0.TTENDIAN", "C_BAD_CD", By(&["big_endian_tables_need_their_feature_unless_no_half_walks"])),
    (
        "TxSZ out of range",
        "C_BAD_CD",
        By(&["t0sz_outside_16_to_39_is_illegal_unless_epd0", "the_upper_half_has_the_same_rules_and_only_while_it_is_walked"]),
    ),
    ("TGx reserved or missing", "C_BAD_CD", By(&["reserved_and_missing_granules_are_illegal", "tg1_0_is_reserved"])),
    (
        "TTBx beyond IPS, or 48 bits with small granules",
        "C_BAD_CD",
        By(&["ttb0_beyond_the_output_size_is_illegal", "the_upper_half_has_the_same_rules_and_only_while_it_is_walked"]),
    ),
];

/// What comes first where several things are wrong.
const ORDER: &[Row] = &[
    (
        "stream, STE, substream, CD, translation",
        "events 03, 04, none, 08, 06, 09, 0A, 10",
        By(&["checks_come_in_the_architecture_s_order"]),
    ),
    (
        "stage 2 of the CD, the CD, stage 1 with stage 2 of each descriptor, stage 2 of the result",
        "one event for each",
        By(&["nested_checks_come_in_the_architecture_s_order"]),
    ),
    (
        "per level abort, hole, size; Access flag; permission",
        "equal to a naive walker",
        By(&["sm_t15_stage_1_equals_the_reference", "sm_t15_stage_2_equals_the_reference", "sm_t15_nested_equals_the_reference"]),
    ),
];

const EVENTS: &[(EventId, Shown)] = &[
    (EventId::F_UUT, By(&["sm_f01_f_uut_carries_the_access_as_it_came_and_a_reason_also_while_disabled"])),
    (EventId::C_BAD_STREAMID, By(&["sm_c13_streamid_at_and_above_log2size", "sm_f14_bad_streamid_is_silent_without_recinvsid"])),
    (EventId::F_STE_FETCH, By(&["sm_c17_ste_fetch_abort"])),
    (EventId::C_BAD_STE, By(&["sm_c15_ste_abort_is_silent_and_invalid_is_recorded"])),
    (EventId::F_BAD_ATS_TREQ, By(&["f_bad_ats_treq_where_ats_is_off"])),
    (EventId::F_STREAM_DISABLED, By(&["sm_p04_s1dss_by_substream_matrix"])),
    (EventId::F_TRANSL_FORBIDDEN, By(&["f_transl_forbidden_where_translated_traffic_is_not_allowed"])),
    (EventId::C_BAD_SUBSTREAMID, By(&["sm_p03_substream_with_stage_1_off_or_without_ssids", "a_substream_needs_stage_1"])),
    (EventId::F_CD_FETCH, By(&["sm_c17_cd_fetch_abort"])),
    (EventId::C_BAD_CD, By(&["sm_c18_illegal_cd"])),
    (EventId::F_WALK_EABT, By(&["sm_f01_f_walk_eabt_names_the_descriptor", "aborted_stage_2_walks_name_their_class"])),
    (
        EventId::F_TRANSLATION,
        By(&["sm_f01_f_translation_of_holes_ranges_and_disabled_walks", "nested_walks_name_descriptor_and_cd_in_their_faults"]),
    ),
    (
        EventId::F_ADDR_SIZE,
        By(&["sm_f01_f_addr_size_of_table_and_leaf", "an_input_beyond_the_address_size_is_a_stage_1_address_size_fault_that_never_stalls"]),
    ),
    (EventId::F_ACCESS, By(&["sm_f01_f_access_and_f_permission", "s2affd_and_s2ha_decide_about_a_clear_access_flag"])),
    (
        EventId::F_PERMISSION,
        By(&["sm_f01_f_access_and_f_permission", "ttrnw_marks_denied_reads_of_descriptors", "s2ptw_keeps_walks_out_of_device_memory"]),
    ),
    (EventId::F_TLB_CONFLICT, Limit("F_TLB_CONFLICT")),
    (EventId::F_CFG_CONFLICT, Limit("F_CFG_CONFLICT")),
    (EventId::E_PAGE_REQUEST, Limit("E_PAGE_REQUEST")),
    (EventId::F_VMS_FETCH, Absent("F_VMS_FETCH", has_mpam)),
];

const ERRORS: &[Row] = &[
    ("CERROR_ILL", "opcode or field", By(&["sm_i09_every_opcode_is_accepted_or_illegal_as_the_profile_says"])),
    ("CERROR_ABT", "queue read aborted", By(&["sm_i10_queue_read_abort_is_cerror_abt_and_retried_after_acknowledgement"])),
    ("CERROR_ATC_INV_SYNC", "endpoint did not complete", By(&["cerror_atc_inv_sync_stands_at_the_sync_and_goes_away_on_repair"])),
    ("SSec = 1", "CERROR_ILL", By(&["sm_i09_every_opcode_is_accepted_or_illegal_as_the_profile_says"])),
    (
        "range without NUM, SCALE, TTL; range fields without IDR3.RIL",
        "CERROR_ILL",
        By(&["sm_i03_range_fields_are_illegal_where_the_architecture_says"]),
    ),
    (
        "CFGI_CD*, TLBI_NH_* without IDR0.S1P; TLBI_EL2_* without Hyp; TLBI_S12_VMALL, TLBI_S2_IPA without S2P",
        "CERROR_ILL",
        By(&["sm_i09_every_opcode_is_accepted_or_illegal_as_the_profile_says", "commands_of_stage_1_are_illegal_without_it"]),
    ),
    (
        "ATC_INV without IDR0.ATS; PRI_RESP without PRI; RESUME, STALL_TERM with STALL_MODEL = 1",
        "CERROR_ILL",
        By(&["sm_i09_every_opcode_is_accepted_or_illegal_as_the_profile_says"]),
    ),
    (
        "the first ILLEGAL command of a stream, and no other, stops the queue",
        "CERROR_ILL",
        By(&["random_bytes_as_commands_stop_the_queue_where_the_rules_say"]),
    ),
    ("CMD_SYNC with CS = 3", "CERROR_ILL", By(&["sm_i08_sync_with_cs_3_is_illegal"])),
    ("CMD_PRI_RESP with Resp = 3", "CERROR_ILL", By(&["page_requests_reach_the_queue_and_are_answered_by_command"])),
    ("CMD_ATC_INV with Size > 52", "CERROR_ILL", By(&["atc_inv_ranges_and_owners"])),
];

/// Every mistake of software that strict mode names.
const VIOLATIONS: &[(&str, Shown)] = &[
    ("AccessShape", By(&["sm_c03_halves_of_wide_registers_and_bad_widths"])),
    ("GuardedWrite", By(&["sm_c09_guarded_registers_ignore_writes_while_enabled"])),
    ("UpdateInProgress", By(&["a_field_rewritten_before_its_acknowledgement_is_a_violation"])),
    ("GbpaWithoutUpdate", By(&["sm_c05_gbpa_needs_update_and_update_clears"])),
    ("InactiveErrorAcknowledged", By(&["sm_i16_global_errors_toggle_and_are_acknowledged_by_value"])),
    ("MisalignedBase", By(&["sm_c10_misaligned_bases_are_violations"])),
    ("IndicesApart", By(&["sm_i13_prod_beyond_full_is_a_violation_and_nothing_runs"])),
    ("UnknownStall", By(&["sm_f05_unknown_and_repeated_tags_are_ignored_and_logged", "a_resume_before_its_record_is_ignored"])),
    ("DisabledWithStalls", By(&["disabling_the_smmu_aborts_stalled_transactions"])),
    ("UnimplementedTag", By(&["tags_that_do_not_exist_make_the_command_do_nothing"])),
    ("MisalignedRange", By(&["misaligned_ranges_do_nothing_and_are_violations"])),
    ("RangeFieldsWithoutGranule", By(&["range_fields_without_a_granule_are_a_violation"])),
    (
        "AsidClash",
        By(&["one_asid_for_two_tables_is_a_violation", "one_asid_for_two_tables_is_a_violation_also_when_the_first_cd_was_evicted"]),
    ),
    (
        "TornUpdate",
        By(&[
            "a_live_ste_changed_in_two_words_is_a_torn_update",
            "a_live_cd_changed_in_two_words_is_a_torn_update_and_a_disabled_half_has_no_table",
            "cds_that_are_invalidated_all_at_once_are_compared_too",
            "a_transaction_that_met_half_of_a_change_is_no_excuse_for_the_other_half",
            "an_ste_changed_by_one_word_or_through_v_0_or_in_unused_bits_is_sound",
            "structures_that_nothing_reaches_may_change_in_any_way",
        ]),
    ),
    (
        "WrongContiguous",
        By(&[
            "sm_t13_a_contiguous_hint_must_be_true_and_never_gives_a_third_page",
            "sm_t13_a_run_may_be_filled_entry_by_entry_and_a_hole_in_it_is_wrong",
            "bits_that_are_softwares_may_differ_in_a_contiguous_run",
        ]),
    ),
    ("WithoutBreak", By(&["another_output_without_a_break_is_named_where_it_is_met"])),
    (
        "FreedWhileCached",
        By(&["memory_is_given_up_after_its_invalidation_and_sync", "a_level_2_table_is_given_up_after_what_leads_there_is_invalidated"]),
    ),
    ("FreedBeforeSync", By(&["memory_is_given_up_after_its_invalidation_and_sync"])),
];

/// The variants of `Violation`, as its file has them.
fn violations() -> Vec<String> {
    let text = read("smmu/model/src/violation.rs");
    let body = text.split("pub enum Violation {").nth(1).and_then(|t| t.split("\n}").next()).expect("the enum");
    let variant = |line: &str| {
        let rest = line.strip_prefix("    ").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))?;
        rest.split(|c: char| !c.is_ascii_alphanumeric()).next().map(str::to_owned)
    };
    body.lines().filter_map(variant).collect()
}

/// What every implemented command does, by opcode.
fn command(opcode: Opcode) -> Shown {
    match opcode {
        Opcode::PREFETCH_CONFIG | Opcode::PREFETCH_ADDR => By(&["sm_i19_prefetch_has_no_effect_on_results"]),
        Opcode::CFGI_STE | Opcode::CFGI_STE_RANGE | Opcode::CFGI_CD | Opcode::CFGI_CD_ALL => {
            By(&["sm_i04_each_configuration_command_drops_the_cds_it_names_and_no_more"])
        }
        Opcode::TLBI_NH_ALL | Opcode::TLBI_NH_ASID | Opcode::TLBI_NH_VA | Opcode::TLBI_NH_VAA => {
            By(&["sm_i02_each_tlb_invalidation_drops_what_it_names_and_no_more"])
        }
        Opcode::TLBI_EL2_ALL | Opcode::TLBI_EL2_VA => By(&["the_plain_el2_world_has_one_half_no_asid_and_no_unprivileged_level"]),
        Opcode::TLBI_EL2_ASID | Opcode::TLBI_EL2_VAA => By(&["the_e2h_world_has_asids_and_privilege"]),
        Opcode::TLBI_S12_VMALL | Opcode::TLBI_NSNH_ALL => By(&["vmids_separate_guests_and_s12_vmall_drops_both_stages_of_one"]),
        Opcode::TLBI_S2_IPA => By(&["tlbi_s2_ipa_reaches_stage_2_entries_and_not_combined_ones"]),
        Opcode::ATC_INV => By(&["atc_inv_holds_the_sync_until_the_endpoint_has_completed", "an_endpoint_keeps_a_page_until_atc_inv"]),
        Opcode::PRI_RESP => By(&["page_requests_reach_the_queue_and_are_answered_by_command"]),
        Opcode::RESUME => By(&["sm_f03_stall_map_resume_retry", "sm_f04_abort_and_read_zero_verdicts"]),
        Opcode::STALL_TERM => By(&["sm_f06_stall_term_ends_all_of_a_stream_and_no_other"]),
        Opcode::SYNC => By(&["earlier_commands_are_done_and_later_ones_wait_until_repair"]),
        Opcode::CFGI_VMS_PIDM => Absent("CMD_CFGI_VMS_PIDM", has_mpam),
        Opcode::TLBI_EL3_ALL | Opcode::TLBI_EL3_VA => By(&["sm_i09_every_opcode_is_accepted_or_illegal_as_the_profile_says"]),
        other => panic!("{other:?} has no row: name the test that shows what it does"),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of all tests of the model and of its suite.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for directory in ["smmu/model/src", "tests/host/src/smmu_suite"] {
        for file in std::fs::read_dir(root().join(directory)).expect("a directory").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("a text");
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if line == "#[test]"
                    && let Some(name) = lines.next().and_then(|l| l.strip_prefix("fn ")).and_then(|l| l.split('(').next())
                {
                    names.insert(name.to_owned());
                }
            }
        }
    }
    names
}

/// Compares a document with what it should be, or writes it.
fn stands(path: &str, text: &str) {
    if std::env::var_os("SMMU_DOCS").is_some() {
        std::fs::write(root().join(path), text).expect("a writable document");
    }
    assert!(read(path) == text, "{path} is stale: run the test with SMMU_DOCS=write");
}

fn section(out: &mut String, title: &str, head: [&str; 2], rows: &[(String, String, &Shown)]) {
    let (tests, limits) = (tests(), read("docs/not_supported/smmu.md"));
    let _ = writeln!(out, "\n## {title}\n\n| {} | {} | shown by |\n|---|---|---|", head[0], head[1]);
    for (rule, effect, shown) in rows {
        let by = match shown {
            By(names) => {
                for name in *names {
                    assert!(tests.contains(*name), "{rule}: no test is named {name}");
                }
                names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            }
            Limit(words) | Absent(words, _) => {
                if let Absent(_, has) = shown {
                    let having: Vec<_> = smmu_model::Profile::ALL.iter().filter(|p| has(&p.ids)).map(|p| p.name).collect();
                    assert!(having.is_empty(), "{rule}: {having:?} advertise the feature, so a test must show the rule");
                }
                assert!(limits.contains(words), "{rule}: the table of limits does not name {words}");
                "– see `docs/not_supported/smmu.md`".to_owned()
            }
            Listed => "– see `docs/not_supported/smmu.md`".to_owned(),
        };
        let _ = writeln!(out, "| {rule} | {effect} | {by} |");
    }
}

fn rows(table: &[Row]) -> Vec<(String, String, &Shown)> {
    table.iter().map(|(rule, effect, shown)| ((*rule).to_owned(), (*effect).to_owned(), shown)).collect()
}

#[test]
fn every_rule_names_the_tests_that_show_it() {
    let mut out = String::from("# SMMUv3 model: rules and the tests that show them\n\nGenerated by the host tests; do not edit.\n");
    section(&mut out, "ILLEGAL Stream table entries", ["rule", "record"], &rows(STE));
    section(&mut out, "ILLEGAL Context descriptors", ["rule", "record"], &rows(CD));
    section(&mut out, "Fields of STE and CD", ["field", "decides"], &rows(FIELDS));
    section(&mut out, "Order of checks", ["what", "shows as"], &rows(ORDER));
    let listed: Vec<_> = EVENTS.iter().map(|(id, _)| *id).collect();
    assert_eq!(listed, EventId::ALL, "a row for every event");
    let events: Vec<_> = EVENTS.iter().map(|(id, shown)| (id.name().expect("named").to_owned(), format!("{:#04x}", id.0), shown)).collect();
    section(&mut out, "Events", ["event", "number"], &events);
    section(&mut out, "Command errors", ["rule", "reason"], &rows(ERRORS));
    let commands: Vec<_> = (0..=255).map(Opcode).filter(|o| o.name().is_some()).map(|o| (o, command(o))).collect();
    let commands: Vec<_> = commands.iter().map(|(o, shown)| (format!("{o:?}"), format!("{:#04x}", o.0), shown)).collect();
    section(&mut out, "Commands", ["command", "opcode"], &commands);
    let names = smmu_model::Profile::ALL.map(|p| p.name).join(" ");
    let fields = features::rows(&read("smmu/spec/src/regs.rs"), &read("docs/not_supported/smmu.md"));
    let fields: Vec<_> = fields.into_iter().map(|(field, values, tests)| (field, values, tests.map_or(Listed, By))).collect();
    let fields: Vec<_> = fields.iter().map(|(field, values, shown)| (field.clone(), values.clone(), shown)).collect();
    section(&mut out, "Identification registers", ["field", &format!("in {names}")], &fields);
    let listed: Vec<_> = VIOLATIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), violations().iter().collect(), "a row for every violation");
    let strict: Vec<_> = VIOLATIONS.iter().map(|(name, shown)| ((*name).to_owned(), "logged".to_owned(), shown)).collect();
    section(&mut out, "Strict mode", ["violation", "effect"], &strict);
    stands("docs/smmu/rules.md", &out);
}

/// The layouts of a spec file: every `pub NAME [ fields ]` of its `register_bitfields!`.
pub(crate) fn layouts(out: &mut String, path: &str) {
    let (mut notes, mut inside) = (String::new(), false);
    for line in read(path).lines().map(str::trim) {
        if let Some(note) = line.strip_prefix("/// ") {
            notes = if notes.is_empty() { note.to_owned() } else { format!("{notes} {note}") };
            continue;
        }
        if let Some(name) = line.strip_prefix("pub ").and_then(|l| l.strip_suffix(" [")) {
            inside = true;
            let _ = writeln!(out, "\n### {name}\n\n{notes}\n\n| bits | field | |\n|---|---|---|");
        } else if inside && line == "]," {
            inside = false;
        } else if inside && let Some((name, rest)) = line.split_once(" OFFSET(") {
            let number = |text: &str| text.split(')').next().and_then(|n| n.parse::<u32>().ok()).expect("a number");
            let (low, width) = (number(rest), number(rest.split("NUMBITS(").nth(1).expect("a width")));
            let bits = if width == 1 { low.to_string() } else { format!("{}:{low}", low + width - 1) };
            let _ = writeln!(out, "| {bits} | {name} | {notes} |");
        }
        notes.clear();
    }
}

#[test]
fn the_reference_of_registers_and_layouts_is_what_the_spec_crate_says() {
    let mut out = String::from("# SMMUv3: registers and layouts\n\nGenerated from `smmu-spec` by the host tests; do not edit.\n");
    out.push_str("\n## Register map\n\n| offset | register | bytes | access | reset |\n|---|---|---|---|---|\n");
    for reg in regs::ALL {
        let _ = writeln!(out, "| {:#07x} | {} | {} | {:?} | {:#x} |", reg.offset, reg.name, reg.bytes, reg.permission, reg.reset);
    }
    for (title, file) in [
        ("Registers", "regs"),
        ("Stream table", "ste"),
        ("Context descriptors", "cd"),
        ("Commands", "command"),
        ("Event records", "event"),
        ("PRI queue entries", "pri"),
        ("Translation table descriptors", "descriptor"),
    ] {
        let _ = writeln!(out, "\n## {title}");
        layouts(&mut out, &format!("smmu/spec/src/{file}.rs"));
    }
    stands("docs/smmu/reference.md", &out);
}
