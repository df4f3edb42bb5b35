//! The fault matrix: each fault injected under load, four queues of two processes on two functions. After each row the ledger balances,
//! every queue, PASID, mapping and block is back, no device touched memory of a stopped queue or of another function, no driver broke a rule, and a
//! hundred good jobs run on every queue.

mod around;
mod engine;
mod given_up;
mod ledger;
mod qm_bits;
mod queues;
mod rig;
mod spaces;
mod zip_bits;
