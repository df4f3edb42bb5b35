//! smmu_suite
