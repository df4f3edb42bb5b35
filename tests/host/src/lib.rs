//! Host test suites: the drivers against the models, the codec against outside judges, the house rules.
//!
//! One module per block; `support` is the machine they run on.
#![forbid(unsafe_code)]

#[cfg(test)]
mod deflate_suite;
#[cfg(test)]
mod house;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod qm_suite;
#[cfg(test)]
mod smmu_suite;
#[cfg(test)]
mod support;
#[cfg(test)]
mod uacce_suite;
#[cfg(test)]
mod zip_suite;
