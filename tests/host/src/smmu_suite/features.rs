//! Every field of the identification registers: what shows it where a profile has it, and where it is listed as missing where none has.

use std::collections::BTreeSet;

use smmu_model::Profile;
use smmu_spec::id::IdRegisters;

/// Tests that show what a field promises. A field without a row reads the same in every profile, as the table of limits says.
pub const SHOWN: &[(&str, &str, &[&str])] = &[
    ("IDR0", "S2P", &["stage_2_alone_translates_and_names_its_faults", "ste_config_6_and_7_need_stage_2_and_config_7_stage_1"]),
    ("IDR0", "S1P", &["sm_t15_stage_1_equals_the_reference", "commands_of_stage_1_are_illegal_without_it"]),
    ("IDR0", "TTF", &["v_0_and_aa64_0_are_illegal", "ste_s2aa64_0_is_illegal"]),
    ("IDR0", "COHACC", &["sm_c23_every_profile_is_served_or_refused_by_name"]),
    ("IDR0", "HTTU", &["sm_t06_access_flag_and_dirty_state_are_updated", "ha_and_hd_need_httu", "ste_s2ha_and_s2hd_need_httu"]),
    ("IDR0", "HYP", &["the_plain_el2_world_has_one_half_no_asid_and_no_unprivileged_level", "the_e2h_world_has_asids_and_privilege"]),
    ("IDR0", "ATS", &["ats_success_carries_what_the_tables_grant", "f_bad_ats_treq_where_ats_is_off"]),
    ("IDR0", "NS1ATS", &["split_stage_ats_gives_intermediate_addresses_and_stage_2_translates_the_traffic"]),
    ("IDR0", "ASID16", &["asid_above_8_bits_needs_asid16", "tags_that_do_not_exist_make_the_command_do_nothing"]),
    ("IDR0", "MSI", &["message_signalled_interrupts_of_events_and_global_errors", "msi_registers_do_not_exist_without_idr0_msi"]),
    ("IDR0", "SEV", &["sync_by_interrupt_message_and_event"]),
    ("IDR0", "PRI", &["page_requests_reach_the_queue_and_are_answered_by_command", "cr0_bits_of_absent_features_are_never_acknowledged"]),
    ("IDR0", "VMID16", &["ste_s2vmid_above_8_bits_needs_vmid16"]),
    ("IDR0", "CD2L", &["sm_p06_two_level_cd_tables", "s1fmt_two_level_needs_cd2l_and_3_acts_as_linear"]),
    ("IDR0", "TTENDIAN", &["big_endian_tables_need_their_feature_unless_no_half_walks", "ste_s2endi_needs_big_endian_tables"]),
    (
        "IDR0",
        "STALL_MODEL",
        &["stall_bit_follows_the_model_and_s1stalld", "ste_s2s_follows_the_stall_model", "sm_f03_stall_map_resume_retry"],
    ),
    ("IDR0", "TERM_MODEL", &["a_0_is_illegal_under_term_model"]),
    ("IDR0", "ST_LEVEL", &["sm_c12_two_level_table_with_every_split"]),
    ("IDR1", "SIDSIZE", &["log2size_is_clamped_to_sidsize"]),
    ("IDR1", "SSIDSIZE", &["s1cdmax_above_ssidsize_is_illegal", "sm_p03_substream_with_stage_1_off_or_without_ssids"]),
    ("IDR1", "PRIQS", &["sm_c11_queue_length_is_clamped_to_idr1"]),
    ("IDR1", "EVENTQS", &["sm_c11_queue_length_is_clamped_to_idr1"]),
    ("IDR1", "CMDQS", &["sm_c11_queue_length_is_clamped_to_idr1"]),
    (
        "IDR1",
        "ATTR_PERMS_OVR",
        &[
            "privcfg_decides_privilege_before_permissions_and_in_the_record",
            "instcfg_makes_reads_instruction_fetches_or_data_and_leaves_writes_alone",
        ],
    ),
    (
        "IDR1",
        "ATTR_TYPES_OVR",
        &[
            "memory_type_and_shareability_are_replaced_where_no_stage_1_is",
            "gbpa_replaces_memory_type_and_shareability_of_what_passes_a_disabled_smmu",
            "memory_types_of_overrides_are_those_of_stage_2_descriptors",
        ],
    ),
    ("IDR3", "HAD", &["sm_t15_random_walks_equal_the_reference_4k"]),
    ("IDR3", "XNX", &["xn_codes_follow_xnx"]),
    ("IDR3", "PPS", &["pri_overflow_holds_until_acknowledged_and_answers_success"]),
    ("IDR3", "FWB", &["attributes_of_both_stages_combine_to_the_weaker", "s2fwb_is_looked_at_where_it_exists"]),
    ("IDR3", "RIL", &["sm_i03_range_fields_are_illegal_where_the_architecture_says", "misaligned_ranges_do_nothing_and_are_violations"]),
    ("IDR3", "BBML", &["a_block_becomes_a_table_of_the_same_pages_without_a_break"]),
    ("IDR3", "E0PD", &["sm_t05_e0pd_keeps_unprivileged_traffic_out_of_a_half"]),
    ("IDR3", "PTWNNC", &["s2ptw_keeps_walks_out_of_device_memory"]),
    ("IDR3", "EPAN", &["sm_t05_epan_extends_pan_to_unprivileged_executable_pages"]),
    ("IDR5", "OAS", &["s1contextptr_beyond_oas_is_illegal", "stage_1_bypass_address_beyond_oas_is_f_addr_size_and_always_recorded"]),
    ("IDR5", "GRAN4K", &["sm_t15_random_walks_equal_the_reference_4k", "reserved_and_missing_granules_are_illegal"]),
    ("IDR5", "GRAN16K", &["sm_t15_random_walks_equal_the_reference_16k", "reserved_and_missing_granules_are_illegal"]),
    ("IDR5", "GRAN64K", &["sm_t15_random_walks_equal_the_reference_64k", "reserved_and_missing_granules_are_illegal"]),
    ("IDR5", "STALL_MAX", &["stall_max_bounds_what_is_recorded_at_once"]),
];

const REGISTERS: [&str; 4] = ["IDR0", "IDR1", "IDR3", "IDR5"];

fn value_of(ids: &IdRegisters, register: &str) -> u32 {
    match register {
        "IDR0" => ids.idr0,
        "IDR1" => ids.idr1,
        "IDR3" => ids.idr3,
        "IDR5" => ids.idr5,
        _ => panic!("{register}: no profile has a value for it"),
    }
}

/// A field of an identification register, as the spec file has it.
struct Field {
    register: &'static str,
    name: String,
    low: u32,
    width: u32,
}

impl Field {
    fn of(&self, profile: &Profile) -> u32 {
        value_of(&profile.ids, self.register) >> self.low & ((1 << self.width) - 1)
    }
}

fn fields(spec: &str) -> Vec<Field> {
    let mut fields = vec![];
    for register in REGISTERS {
        let layout = spec.split(&format!("pub {register} [")).nth(1).and_then(|t| t.split("\n    ],").next()).expect("a layout");
        for line in layout.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            let Some((name, rest)) = line.split_once(" OFFSET(") else { continue };
            let number = |text: &str| text.split(')').next().and_then(|n| n.parse().ok()).expect("a number");
            let width = number(rest.split("NUMBITS(").nth(1).expect("a width"));
            fields.push(Field { register, name: name.into(), low: number(rest), width });
        }
    }
    fields
}

/// What the table of limits says that the registers say: "IDR0.ATOS = VATOS = 0; IDR0.HTTU < 3" as (register, field, bound, is_equal).
fn claims(limits: &str) -> Vec<(String, String, u32, bool)> {
    let mut claims = vec![];
    for line in limits.lines().filter(|line| line.starts_with("| ")) {
        let cell = line.split('|').nth(3).expect("a cell").replace([',', ';'], " ");
        let (mut register, mut names, mut is_equal) = (String::new(), vec![], true);
        for word in cell.split_whitespace() {
            if let Some((name, field)) = word.split_once('.').filter(|(name, _)| name.starts_with("IDR")) {
                register = name.into();
                names.push(field.to_owned());
            } else if let "=" | "<" = word {
                is_equal = word == "=";
            } else if let Ok(value) = word.parse() {
                claims.extend(names.drain(..).map(|name| (register.clone(), name, value, is_equal)));
            } else if !register.is_empty() && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
                names.push(word.to_owned());
            }
        }
        assert!(names.is_empty(), "{line}: no value for {names:?}");
    }
    claims
}

/// The rows of the generated list: field, its values, the tests or `None`.
///
/// # Panics
/// If a field that differs between profiles or is in use has no test, or one that has none is not in the table of limits as it reads.
pub fn rows(spec: &str, limits: &str) -> Vec<(String, String, Option<&'static [&'static str]>)> {
    let (fields, claims) = (fields(spec), claims(limits));
    let known: BTreeSet<_> = fields.iter().map(|f| (f.register.to_owned(), f.name.clone())).collect();
    for (register, name, bound, is_equal) in &claims {
        let field =
            fields.iter().find(|f| f.register == register && f.name == *name).unwrap_or_else(|| panic!("no field {register}.{name}"));
        for profile in Profile::ALL {
            let value = field.of(&profile);
            let holds = if *is_equal { value == *bound } else { value < *bound };
            assert!(holds, "the table of limits on {register}.{name}: {} has {value}", profile.name);
        }
    }
    for (register, name, _) in SHOWN {
        assert!(known.contains(&((*register).to_owned(), (*name).to_owned())), "no field {register}.{name}");
    }
    let row = |field: &Field| {
        let shown = SHOWN.iter().find(|(r, n, _)| *r == field.register && *n == field.name).map(|(.., tests)| *tests);
        let values = Profile::ALL.map(|profile| field.of(&profile));
        if shown.is_none() {
            let is_listed = claims.iter().any(|(r, n, _, is_equal)| *r == field.register && *n == field.name && *is_equal);
            assert!(
                is_listed,
                "{}.{} reads {values:?}: no test shows it, and the table of limits does not name it",
                field.register, field.name
            );
        }
        (format!("{}.{}", field.register, field.name), values.map(|v| v.to_string()).join(" "), shown)
    };
    fields.iter().map(row).collect()
}
