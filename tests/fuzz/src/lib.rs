//! The bodies of the fuzz targets, which are files of the host suite. Miri runs them too, and the tests of the ports.
#![allow(dead_code)]

#[cfg(test)]
#[path = "../../host/src/smmu_suite/fuzz.rs"]
mod fuzz;
#[path = "../../host/src/smmu_suite/fuzz_bodies.rs"]
pub mod fuzz_bodies;
#[path = "../../host/src/smmu_suite/model_bench.rs"]
mod model_bench;
#[cfg(test)]
#[path = "../../host/src/smmu_suite/model_ports.rs"]
mod model_ports;
#[path = "../../host/src/smmu_suite/reference.rs"]
mod reference;
#[path = "../../host/src/smmu_suite/rng.rs"]
mod rng;
