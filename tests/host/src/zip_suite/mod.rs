//! zip_suite
