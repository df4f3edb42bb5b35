//! qm_suite
