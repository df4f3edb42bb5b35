//! The bodies of the fuzz targets, which are files of the host suite.
#![allow(dead_code)]

#[path = "../../host/src/smmu_suite/fuzz_bodies.rs"]
pub mod fuzz_bodies;
#[path = "../../host/src/smmu_suite/model_bench.rs"]
mod model_bench;
#[path = "../../host/src/smmu_suite/reference.rs"]
mod reference;
#[path = "../../host/src/smmu_suite/rng.rs"]
mod rng;
