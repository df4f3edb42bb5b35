//! The Command queue: commands in, completion by CMD_SYNC, repair after a command error (IHI 0070, sections 3.5, 4.7, 7.1).

use hal::{Clock, DmaBuffer, DmaMapper, RegisterWindow};
use smmu_spec::{
    command::{Operation, SyncSignal},
    queue::{CMD_BYTES, RingIndex},
    regs::{CMDQ_CONS, GERROR, SMMU_CMDQ_CONS, SMMU_CMDQ_PROD, SMMU_GERROR, SMMU_GERRORN, cerror},
};

use crate::completion::{Completion, Mailbox};
use crate::error::{CommandError, CommandFailure, SmmuError, Timeout};
use crate::port::Port;

/// How often in a row a queue that cannot be read is tried again.
const ABORT_RETRIES: u32 = 3;

/// The producer side of the Command queue.
pub(crate) struct CommandQueue<B> {
    ring: B,
    log2_entries: u32,
    /// Where the next command goes.
    prod: RingIndex,
    /// Up to where the SMMU has been told.
    told: RingIndex,
    /// Up to where the SMMU is known to have come.
    cons: RingIndex,
    /// The first command refused since the last CMD_SYNC.
    failure: Option<CommandFailure>,
    repairs: u32,
    completion: Completion,
    /// With `Completion::Message`.
    mailbox: Option<Mailbox<B>>,
    dead: bool,
}

impl<B: DmaBuffer> CommandQueue<B> {
    /// `completion` is one that this SMMU has.
    pub(crate) fn new<M: DmaMapper<Buffer = B>>(memory: &M, log2_entries: u32, completion: Completion) -> Result<Self, SmmuError> {
        let bytes = (CMD_BYTES as usize) << log2_entries;
        let ring = memory.alloc(bytes, bytes.max(32))?;
        let mailbox = match completion {
            Completion::Message => match Mailbox::new(memory) {
                Ok(mailbox) => Some(mailbox),
                Err(error) => {
                    memory.free(ring);
                    return Err(error);
                }
            },
            _ => None,
        };
        let zero = RingIndex::new(0, log2_entries);
        Ok(Self { ring, log2_entries, prod: zero, told: zero, cons: zero, failure: None, repairs: 0, completion, mailbox, dead: false })
    }

    pub(crate) fn free<M: DmaMapper<Buffer = B>>(self, memory: &M) {
        if let Some(mailbox) = self.mailbox {
            mailbox.free(memory);
        }
        memory.free(self.ring);
    }

    pub(crate) fn base(&self) -> u64 {
        self.ring.device_address().0
    }

    pub(crate) const fn log2_entries(&self) -> u32 {
        self.log2_entries
    }

    /// Ends all use of the queue.
    pub(crate) fn kill(&mut self) {
        self.dead = true;
    }

    /// Queues a command without telling the SMMU yet; waits for room if there is none.
    pub(crate) fn push<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>, op: Operation) -> Result<(), SmmuError> {
        if self.dead {
            return Err(SmmuError::Dead);
        }
        if self.prod.is_full(self.cons) {
            self.submit(port);
            self.wait(port, |queue| !queue.prod.is_full(queue.cons))?;
        }
        let at = self.prod.index() as usize * CMD_BYTES as usize;
        let [low, high] = op.encode().0;
        self.ring.write64(at, low);
        self.ring.write64(at + 8, high);
        self.prod = self.prod.next();
        Ok(())
    }

    /// Tells the SMMU of all queued commands.
    pub(crate) fn submit<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) {
        if self.told != self.prod {
            // Commands, and the structures that they speak of, before the index.
            port.publish();
            SMMU_CMDQ_PROD.set(&port.window, self.prod.raw());
            self.told = self.prod;
        }
    }

    /// Adds a CMD_SYNC and waits until the SMMU has passed it: everything queued before has taken effect.
    pub(crate) fn sync<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<(), SmmuError> {
        let signal = match (self.completion, &mut self.mailbox) {
            (Completion::Message, Some(mailbox)) => mailbox.next(),
            (Completion::Event, _) => SyncSignal::Sev,
            (Completion::Interrupt, _) => SyncSignal::Irq { address: 0, data: 0, shareability: 0, attributes: 0 },
            _ => SyncSignal::None,
        };
        self.push(port, Operation::Sync(signal))?;
        self.submit(port);
        if !self.await_message(port)? {
            self.wait(port, |queue| queue.cons == queue.prod)?;
        }
        // What the SMMU wrote before completing (event records, HTTU) is read only from here on.
        port.acquire();
        self.repairs = 0;
        match self.failure.take() {
            Some(failure) => Err(SmmuError::Command(failure)),
            None => Ok(()),
        }
    }

    /// Waits for the message of the CMD_SYNC just submitted; false if CMDQ_CONS must be asked instead.
    fn await_message<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<bool, SmmuError> {
        if self.completion != Completion::Message {
            return Ok(false);
        }
        let deadline = port.clock.deadline(port.patience);
        loop {
            let late = deadline.has_passed(&port.clock);
            port.acquire();
            if self.mailbox.as_ref().is_some_and(Mailbox::has_arrived) {
                // It is written once CMDQ_CONS has passed the command, and nothing was queued behind it.
                self.cons = self.told;
                return Ok(true);
            }
            let active = SMMU_GERROR.get(&port.window) ^ SMMU_GERRORN.get(&port.window);
            if GERROR::CMDQ_ERR.is_set(active) {
                self.repair(port)?;
            } else if late || GERROR::MSI_CMDQ_ABT_ERR.is_set(active) {
                // Messages do not come through: this one is not waited for, and no other is asked for.
                self.completion = Completion::Poll;
                return Ok(false);
            } else {
                port.clock.relax();
            }
        }
    }

    fn wait<W: RegisterWindow, C: Clock, M: DmaMapper>(
        &mut self,
        port: &Port<W, C, M>,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), SmmuError> {
        let deadline = port.clock.deadline(port.patience);
        loop {
            let late = deadline.has_passed(&port.clock);
            let seen = SMMU_CMDQ_CONS.get(&port.window);
            self.take_cons(seen)?;
            if done(self) {
                return Ok(());
            }
            if self.has_error(port) {
                self.repair(port)?;
            } else if late {
                self.dead = true;
                return Err(Timeout { register: SMMU_CMDQ_CONS.info.name, wanted: self.prod.raw(), seen }.into());
            } else {
                port.clock.relax();
            }
        }
    }

    /// Believes the consumer index only if it lies between where the SMMU was and what it was told.
    fn take_cons(&mut self, register: u32) -> Result<(), SmmuError> {
        let field = CMDQ_CONS::RD.read(register);
        let cons = RingIndex::new(field, self.log2_entries);
        let before = self.told.used_since(self.cons);
        match (self.told.used_since(cons), before) {
            (Some(now), Some(before)) if now <= before && cons.raw() == field => {
                self.cons = cons;
                Ok(())
            }
            _ => {
                self.dead = true;
                Err(SmmuError::BadIndex { register: SMMU_CMDQ_CONS.info.name, seen: register })
            }
        }
    }

    fn has_error<W: RegisterWindow, C: Clock, M: DmaMapper>(&self, port: &Port<W, C, M>) -> bool {
        GERROR::CMDQ_ERR.is_set(SMMU_GERROR.get(&port.window) ^ SMMU_GERRORN.get(&port.window))
    }

    /// Makes the queue go on after a command error, if there is one: replaces an illegal command by a CMD_SYNC, then acknowledges.
    /// The next CMD_SYNC reports the command.
    pub(crate) fn repair<W: RegisterWindow, C: Clock, M: DmaMapper>(&mut self, port: &Port<W, C, M>) -> Result<(), SmmuError> {
        if !self.has_error(port) {
            return Ok(());
        }
        let register = SMMU_CMDQ_CONS.get(&port.window);
        self.take_cons(register)?;
        let at = self.cons.index() as usize * CMD_BYTES as usize;
        let command = [self.ring.read64(at), self.ring.read64(at + 8)];
        let error = match CMDQ_CONS::ERR.read(register) as u8 {
            cerror::ILL => CommandError::Illegal,
            cerror::ABT => CommandError::QueueAbort,
            cerror::ATC_INV_SYNC => CommandError::AtcTimeout,
            other => CommandError::Unknown(other),
        };
        let failure = CommandFailure { error, command };
        self.failure.get_or_insert(failure);
        self.repairs += 1;
        let limit = if error == CommandError::QueueAbort { ABORT_RETRIES } else { 2 * self.prod.entries() };
        if self.repairs > limit || self.cons == self.told {
            // It fails at a command that was never given, or again and again: nothing that the driver writes will help.
            self.dead = true;
            return Err(SmmuError::Command(failure));
        }
        if matches!(error, CommandError::Illegal | CommandError::Unknown(_)) {
            let [low, high] = Operation::Sync(SyncSignal::None).encode().0;
            self.ring.write64(at, low);
            self.ring.write64(at + 8, high);
        }
        // The slot is read again as soon as the error is acknowledged.
        port.publish();
        let acknowledged = SMMU_GERRORN.get(&port.window) ^ GERROR::CMDQ_ERR::SET.value;
        SMMU_GERRORN.set(&port.window, acknowledged);
        Ok(())
    }

    /// The first command refused since the last CMD_SYNC; it will not be reported again.
    pub(crate) fn take_failure(&mut self) -> Option<CommandFailure> {
        self.failure.take()
    }
}
