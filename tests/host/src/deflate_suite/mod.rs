//! deflate_suite
