//! The generated documents of the engine: the reference of entry, lists, contexts and registers, and which test shows which row of the
//! checklist. `ZIP_DOCS=write` renews them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use zip_spec::Status;
use zip_spec::registers::{CAPABILITY_WORDS, CORE_REGISTERS, Core, REGISTERS};

/// Rows of the checklist, what each asks for, and the tests that show it.
const ROWS: &[(&str, &str, &[&str])] = &[
    (
        "ZP-C01",
        "fixed, dynamic, stored and mixed blocks both ways",
        &[
            "zp_c01_our_streams_decode_everywhere",
            "zp_c01_streams_of_zlib_decode",
            "zp_c01_compress_is_decoded_by_the_judge",
            "zp_c01_decompress_what_the_judge_encoded",
        ],
    ),
    (
        "ZP-C02",
        "containers, CRC-32, Adler-32, over streams too",
        &["zp_c02_trailers_are_those_of_zlib", "zp_c02_checksum_and_isize_words", "zp_c02_one_shot_files_of_every_format"],
    ),
    (
        "ZP-C03",
        "lengths 0 to 8 MiB and past it",
        &["zp_c03_sizes_around_every_border", "zp_c03_sizes_around_the_borders", "zp_c03_lengths_out_of_range_are_refused"],
    ),
    ("ZP-C04", "corpora", &["zp_c04_corpus_files_and_their_sizes"]),
    (
        "ZP-C05",
        "incompressible data: the bound",
        &["zp_c05_incompressible_input_grows_by_five_bytes_per_stored_block", "zp_c05_incompressible_data_grows_by_little_and_says_so"],
    ),
    (
        "ZP-C06",
        "distances within the window",
        &[
            "zp_c06_distances_stay_within_the_window_asked_for",
            "zp_c06_no_match_reaches_past_the_window",
            "windows_bound_the_distances_of_every_type",
        ],
    ),
    (
        "ZP-C07",
        "every format, direction and layout on target",
        &["zp_c07_every_format_one_shot_flat_and_in_lists", "lz77_zstd_from_revision_0x30_on", "lz77_only_and_lz4_on_sub_version_0x51"],
    ),
    (
        "ZP-C08",
        "the same on each core; routing and counters",
        &["zp_c08_requests_go_to_cores_of_their_direction_in_turn_and_are_counted", "zp_c08_a_slot_keeps_nothing_of_its_last_job"],
    ),
    ("ZP-C09", "counts and tag exact, nothing written behind them", &["zp_c09_tag_and_type_0_layout"]),
    (
        "ZP-C10",
        "many round trips",
        &["zp_c10_requests_of_eight_queues_there_and_back", "zp_c10_round_trips_at_every_level_in_every_framing"],
    ),
    ("ZP-C11", "the kernel's self-test", &["zp_c11_vector_of_the_kernel_self_test"]),
    (
        "ZP-B01",
        "infcover, and streams of our own",
        &[
            "zp_b01_inline_streams_get_the_recorded_verdict",
            "zp_b01_own_streams_get_the_recorded_verdict_output_and_count",
            "zp_b01_the_engine_gives_own_streams_zlibs_verdict",
        ],
    ),
    ("ZP-B02", "every prefix is truncated", &["zp_b02_every_prefix_is_truncated", "zp_b02_truncated_files_name_their_length"]),
    ("ZP-B03", "every single bit flip", &["zp_b03_no_single_bit_flip_gives_wrong_data_with_a_good_status"]),
    (
        "ZP-B04",
        "distances too far by one",
        &["zp_b04_distances_reach_to_the_first_byte_and_no_further", "zp_b04_a_match_may_reach_over_the_whole_window_at_any_place"],
    ),
    (
        "ZP-B05",
        "bad and odd codes",
        &["zp_b05_random_dynamic_headers_get_zlibs_verdict", "zp_b05_damaged_streams_get_zlibs_verdict", "zp_b05_hlit_and_hdist_limits"],
    ),
    ("ZP-B06", "exhausted input makes no output", &["zp_b06_exhausted_input_makes_no_output"]),
    (
        "ZP-B07",
        "empty blocks, bombs, work per byte",
        &[
            "zp_b07_thousands_of_empty_blocks",
            "zp_b07_a_bomb_is_stopped_by_the_output_limit",
            "zp_b07_work_of_a_request_is_linear_in_what_it_moves",
            "zp_b07_work_per_input_byte_has_a_bound",
        ],
    ),
    (
        "ZP-B08",
        "each wrong field has its error",
        &["zp_b08_each_wrong_trailer_field_has_its_own_error", "zp_b08_bad_files_name_status_and_offset"],
    ),
    (
        "ZP-B09",
        "files of other projects' suites",
        &["zp_b09_vector_files_get_zlibs_verdict_in_every_framing", "zp_b09_the_engine_gives_vector_files_zlibs_verdict"],
    ),
    ("ZP-B10", "bytes behind the end", &["zp_b10_bytes_behind_the_stream_are_not_consumed", "zp_b10_members_follow_one_another"]),
    ("ZP-B11", "random entries", &["zp_b11_random_entries_never_wedge", "zp_b11_entries_with_some_fields_random_never_wedge"]),
    ("ZP-B12", "each bad field has its status", &["zp_b12_each_bad_field_has_its_own_status", "each_profile_takes_its_types_only"]),
    (
        "ZP-O01",
        "too little room",
        &["zp_o01_one_byte_short_is_too_small_and_exact_is_not", "zp_o01_no_room_at_all", "zp_o01_too_little_output_is_told"],
    ),
    (
        "ZP-O02",
        "enlarged and resumed",
        &[
            "zp_s01_compression_with_too_little_room_goes_on_where_it_stopped",
            "zp_s03_streams_stop_full_at_random_and_go_on_in_other_queues",
        ],
    ),
    ("ZP-O03", "counts are true on failure", &["zp_o03_consumed_and_produced_are_true_on_every_failure"]),
    (
        "ZP-O04",
        "lists equal flat",
        &[
            "zp_o04_lists_with_random_cuts_equal_flat",
            "zp_o04_one_byte_entries",
            "zp_o04_offsets_skip_the_header_bytes",
            "lists_with_random_cuts_equal_flat_for_sequences_and_blocks",
        ],
    ),
    (
        "ZP-O05",
        "bad lists",
        &["zp_o05_malformed_lists_are_refused", "zp_o05_a_chain_that_loops_ends", "zp_o05_a_source_list_shorter_than_the_input_is_refused"],
    ),
    ("ZP-O06", "overlap, read-only", &["zp_o06_a_read_only_destination_is_a_fault", "zp_o06_source_and_destination_may_be_one_buffer"]),
    (
        "ZP-S01",
        "streams cut anywhere",
        &["zp_s01_every_cut_of_input_and_output", "zp_s01_one_byte_feeds", "zp_s01_random_splits_equal_one_shot"],
    ),
    ("ZP-S02", "flushes", &["zp_s02_every_sync_leaves_a_decodable_prefix", "zp_s02_empty_finish_ends_the_stream"]),
    (
        "ZP-S03",
        "across queues, engines, cores",
        &[
            "zp_s03_a_stream_moves_between_engines",
            "zp_s03_streams_stop_full_at_random_and_go_on_in_other_queues",
            "zp_s03_streams_move_between_engine_cores",
            "lz77_zstd_streams_go_on_over_blocks_and_engines",
        ],
    ),
    ("ZP-S04", "64 streams on one queue", &["zp_s04_64_streams_interleaved"]),
    (
        "ZP-S05",
        "contexts that a process spoils",
        &[
            "zp_s05_a_corrupted_context_never_escapes",
            "zp_s05_a_continuation_of_nothing_is_refused",
            "lz77_zstd_continuations_of_nothing_are_refused",
        ],
    ),
    ("ZP-S06", "held output before the end", &["zp_s06_held_output_is_drained_before_the_end"]),
    ("ZP-S07", "abandoned streams", &["zp_s07_abandoned_streams_give_everything_back"]),
    (
        "zip b0–b12",
        "error bits: class, reaction, place",
        &[
            "zip_b0_to_b12_each_error_bit_has_its_class",
            "zip_b0_an_ecc_error_names_its_place",
            "errors_are_reported_masked_and_cleared_by_one",
        ],
    ),
    (
        "zip b4–b7",
        "what a process can cause is an error of its request",
        &[
            "a_request_that_names_absent_memory_ends_in_a_status_and_the_queue_lives",
            "sm_f18_an_abort_verdict_ends_the_request_with_the_status_of_its_place",
        ],
    ),
    (
        "lz77, LZ4",
        "what others make of the output",
        &[
            "lz77_zstd_output_in_a_frame_decodes_to_the_input",
            "lz77_only_stands_for_the_input",
            "lz4_blocks_decode_with_lz4_flex_and_back",
            "lz77_calls_give_what_an_encoder_takes",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Holds a document against what it should be, or writes it.
fn stands(path: &str, text: &str) {
    if std::env::var_os("ZIP_DOCS").is_some() {
        std::fs::write(root().join(path), text).expect("a writable document");
    }
    assert!(read(path) == text, "{path} is stale: run the test with ZIP_DOCS=write");
}

/// The names of all functions of the files that tests stand in.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut places: Vec<PathBuf> =
        ["tests/host/src/zip_suite", "tests/host/src/deflate_suite", "tests/target/tests"].map(|place| root().join(place)).into();
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(&place).expect("a readable directory").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(entry.path()).expect("a readable file");
                names.extend(text.lines().filter_map(|line| Some(line.trim().strip_prefix("fn ")?.split('(').next()?.to_owned())));
            }
        }
    }
    names
}

#[test]
fn every_row_of_the_checklist_names_tests_that_exist() {
    let functions = functions();
    let mut out = String::from(
        "# Zip engine: which test shows what\n\nGenerated by the host tests, which look for the names; do not edit.\n\n| row | what | tests |\n|---|---|---|\n",
    );
    for (row, what, tests) in ROWS {
        for test in *tests {
            assert!(functions.contains(*test), "{row}: there is no test {test}");
        }
        let _ = writeln!(out, "| {row} | {what} | {} |", tests.map_names());
    }
    stands("docs/zip/rows.md", &out);
}

/// Leaves the words of links between items of the crate, which lead nowhere here.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("](crate::") {
        let (before, link) = rest.split_at(at);
        let open = before.rfind('[').expect("a link begins");
        out.push_str(&before[..open]);
        out.push_str(&before[open + 1..]);
        rest = link.split_once(')').expect("a link ends").1;
    }
    out + rest
}

/// Names as the table shows them.
trait MapNames {
    fn map_names(&self) -> String;
}

impl MapNames for &[&str] {
    fn map_names(&self) -> String {
        self.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join("<br>")
    }
}

/// Constants of a module or `impl` of a file, with the words above them: `pub const NAME: TYPE = VALUE;`.
fn constants(out: &mut String, text: &str) {
    let mut note = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("/// ") {
            note = if note.is_empty() { words.to_owned() } else { format!("{note} {words}") };
            continue;
        }
        if let Some((name, rest)) = line.strip_prefix("pub const ").and_then(|line| line.split_once(": "))
            && let Some((_, value)) = rest.split_once(" = ")
        {
            let value = value.trim_end_matches(';').trim_start_matches("Self(").trim_end_matches(')');
            let _ = writeln!(out, "| {value} | {name} | {note} |");
        }
        note.clear();
    }
}

/// Part of a file, from one text to another.
fn part<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let after = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}")).1;
    after.split_once(to).map_or(after, |(part, _)| part)
}

/// Fields of a structure that lies in memory: the words above them say where.
fn fields(out: &mut String, text: &str) {
    let mut note = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("/// ") {
            note = if note.is_empty() { words.to_owned() } else { format!("{note} {words}") };
            continue;
        }
        if let Some((name, _)) = line.strip_prefix("pub ").and_then(|line| line.split_once(": ")) {
            let (what, place) = note.split_once("Offset ").unwrap_or_else(|| panic!("{name} says no offset"));
            let (offset, rest) = place.split_once(", ").expect("a length");
            let (bytes, more) = rest.split_once(" bytes").expect("a length in bytes");
            let _ = writeln!(out, "| {offset} | {bytes} | {name} | {}{} |", what.trim(), more.trim_start_matches(['.', ':', ' ']));
        }
        note.clear();
    }
}

#[test]
fn the_reference_of_entry_and_registers_is_what_the_spec_crate_says() {
    let (sqe, context, lz77, sgl) = (
        read("zip-engine/spec/src/sqe.rs"),
        read("zip-engine/spec/src/context.rs"),
        read("zip-engine/spec/src/lz77.rs"),
        read("zip-engine/spec/src/sgl.rs"),
    );
    let selector = read("zip-engine/spec/src/selector.rs");
    let layouts = |out: &mut String, file: &str| crate::smmu_suite::documents::layouts(out, &format!("zip-engine/spec/src/{file}.rs"));
    let mut out = String::from(
        "# Zip engine: entry, lists, context, registers\n\nGenerated from `zip-spec` by the host tests; do not edit. Section letters are those of the project's fact sheet.\n",
    );
    out.push_str("\n## Submission entry\n\n32 words of 32 bits, little-endian.\n\n| word | name | |\n|---|---|---|\n");
    constants(&mut out, part(&sqe, "pub mod dw {", "\n}"));
    layouts(&mut out, "sqe");
    for (title, head, name) in [
        ("Request types: dw9 7:0", "| code | name | |", "RequestType"),
        ("Buffer types: dw9 11:8", "| code | name | |", "BufferType"),
        ("Windows: dw9 15:12", "| code | name | |", "Window"),
        ("Entry types: dw7 31:28", "| code | name | |", "SqeType"),
    ] {
        let _ = writeln!(out, "\n### {title}\n\n{head}\n|---|---|---|");
        constants(&mut out, part(&selector, &format!("impl {name} {{"), "\n}"));
    }
    out.push_str("\n### Status: dw3 7:0\n\nCodes from 0x40 on are the model's own: no list of the part's is public.\n\n| code | name | |\n|---|---|---|\n");
    for (status, name, text) in Status::ALL {
        let _ = writeln!(out, "| {:#04x} | {name} | {text} |", status.0);
    }
    out.push_str("\n## Literals and sequences\n\n| value | name | |\n|---|---|---|\n");
    constants(&mut out, part(&lz77, "}\n\n/// Longest input", "/// One sequence").replacen(" of", "/// Longest input of", 1).as_str());
    out.push_str("\nA sequence:\n\n| offset | bytes | field | |\n|---|---|---|---|\n");
    fields(&mut out, part(&lz77, "pub struct Sequence {", "\n}"));
    layouts(&mut out, "lz77");
    out.push_str("\n## Scatter lists\n\nThe header of a list, 64 bytes:\n\n| offset | bytes | field | |\n|---|---|---|---|\n");
    fields(&mut out, part(&sgl, "pub struct SglHeader {", "\n}"));
    out.push_str("\nAn entry, 32 bytes:\n\n| offset | bytes | field | |\n|---|---|---|---|\n");
    fields(&mut out, part(&sgl, "pub struct SglEntry {", "\n}"));
    out.push_str("\n## Stream context\n\nOffsets in the memory that dw22/23 points to.\n\n| value | name | |\n|---|---|---|\n");
    constants(&mut out, part(&context, "pub mod stream_context {", "pub const fn"));
    layouts(&mut out, "context");
    for (title, registers) in
        [("Registers in BAR2", &REGISTERS[..]), ("Capability words (V3)", &CAPABILITY_WORDS), ("Registers of a core", &CORE_REGISTERS)]
    {
        let _ = writeln!(out, "\n## {title}\n\n| offset | register | access | reset |\n|---|---|---|---|");
        for register in registers {
            let _ = writeln!(out, "| {:#x} | {} | {:?} | {:#x} |", register.offset, register.name, register.permission, register.reset);
        }
    }
    out.push_str("\nCores begin at");
    for (number, core) in Core::ALL.into_iter().enumerate() {
        let _ = write!(out, "{} {:#x} ({core:?})", if number == 0 { "" } else { "," }, core.base());
    }
    out.push_str(".\n");
    layouts(&mut out, "registers");
    stands("docs/zip/reference.md", &without_links(&out));
}
