//! SMMUv3: the driver against the model, and the model against the architecture.

mod driver_bring_up;
mod driver_faults;
mod driver_machine;
mod driver_maintenance;
mod driver_queues;
