//! SMMUv3: the driver against the model, and the model against the architecture.

mod documents;
mod driver_ats;
mod driver_bring_up;
mod driver_faults;
mod driver_machine;
mod driver_maintenance;
mod driver_queues;
mod fuzz;
mod fuzz_bodies;
mod model_ats;
mod model_bench;
mod model_caches;
mod model_commands;
mod model_configuration;
mod model_events;
mod model_ports;
mod model_reference;
mod model_registers;
mod model_stage2;
mod model_stalls;
mod model_walk;
mod reference;
mod rng;
