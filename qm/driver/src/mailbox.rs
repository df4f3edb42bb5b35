//! Mailbox: one command at a time, each with a deadline.

use core::time::Duration;

use hal::{Clock, DmaBuffer, DmaMapper, Iova, RegisterWindow, poll_until};
use qm_spec::regs::function::{MB_CMD_DATA_ADDR_H, MB_CMD_DATA_ADDR_L, MB_CMD_SEND_BASE};
use qm_spec::{CONTEXT_WORDS, ContextWords, MB_W0, Mailbox, MailboxCommand, MailboxOp, MailboxStatus};
use tock_registers::LocalRegisterCopy;

use crate::{MailboxError, Qm, QmError, QmState};

type MailboxWord = LocalRegisterCopy<u32, MB_W0::Register>;

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Waits until the mailbox is idle; its word 0 if it came to be.
    fn mailbox_idle(&self, within: Duration) -> Option<MailboxWord> {
        poll_until(&self.clock, within, || {
            let word = MB_CMD_SEND_BASE.read(&self.registers);
            (!word.is_set(MB_W0::BUSY)).then_some(word)
        })
        .ok()
    }

    fn wait_for_turn(&mut self, command: MailboxCommand) -> Result<(), MailboxError> {
        if self.mailbox_idle(self.parameters.timeouts.mailbox).is_none() {
            self.count_mailbox_error();
            return Err(MailboxError::Busy { command });
        }
        self.mailbox_owes = false;
        Ok(())
    }

    fn count_mailbox_error(&mut self) {
        self.statistics.mailbox_errors = self.statistics.mailbox_errors.wrapping_add(1);
    }

    /// Stores the command. Everything that it names is visible to the device before it: the barrier stands in front of the store (I.1).
    fn post(&self, mailbox: &Mailbox) {
        self.mapper.dma_wmb();
        let (low, high) = mailbox.encode();
        self.registers.write128(MB_CMD_SEND_BASE.offset(), low, high);
    }

    fn await_end(&mut self, command: MailboxCommand, queue: u16, within: Duration) -> Result<(), MailboxError> {
        let word = self.mailbox_idle(within);
        let error = match word.map(|word| MailboxStatus(word.read(MB_W0::STATUS) as u8)) {
            Some(MailboxStatus::SUCCESS) => match word {
                Some(word) if (word.read(MB_W0::CMD), word.read(MB_W0::QUEUE)) != (command.0.into(), queue.into()) => {
                    MailboxError::Mismatch { command, seen: word.get() }
                }
                _ => return Ok(()),
            },
            Some(status) => MailboxError::Refused { command, status },
            None => {
                self.mailbox_owes = true;
                MailboxError::TimedOut { command }
            }
        };
        self.count_mailbox_error();
        Err(error)
    }

    /// Runs a command whose words 1 and 2 are `base`.
    pub(crate) fn mailbox(&mut self, mailbox: Mailbox, within: Duration) -> Result<(), MailboxError> {
        self.wait_for_turn(mailbox.command)?;
        self.post(&mailbox);
        self.await_end(mailbox.command, mailbox.queue, within)
    }

    /// Runs a command that returns 64 bits.
    pub(crate) fn mailbox_read(&mut self, command: MailboxCommand, queue: u16) -> Result<u64, MailboxError> {
        self.mailbox(Mailbox { command, op: MailboxOp::Read, queue, base: 0 }, self.parameters.timeouts.mailbox)?;
        Ok(u64::from(MB_CMD_DATA_ADDR_L.get(&self.registers)) | u64::from(MB_CMD_DATA_ADDR_H.get(&self.registers)) << 32)
    }

    /// Whoever asks for a command while the device may be dead is told so at once, rather than to wait for an answer that cannot come. The reset's own
    /// commands come before and after.
    pub(crate) fn must_not_be_resetting(&self) -> Result<(), QmError> {
        if self.state == QmState::Resetting { Err(QmError::Resetting) } else { Ok(()) }
    }

    fn context_address(&self) -> Result<Iova, QmError> {
        self.context.as_ref().map(DmaBuffer::device_address).ok_or(QmError::WrongFunctionState(self.state))
    }

    /// Gives the device a context. The buffer is filled only once the device is done with its last use.
    pub(crate) fn load_context(&mut self, command: MailboxCommand, queue: u16, words: &ContextWords) -> Result<(), QmError> {
        let address = self.context_address()?;
        self.wait_for_turn(command)?;
        if let Some(buffer) = &self.context {
            for (index, word) in words.iter().enumerate() {
                buffer.write32(index * 4, *word);
            }
        }
        self.post(&Mailbox::with_address(command, MailboxOp::Write, queue, address));
        Ok(self.await_end(command, queue, self.parameters.timeouts.mailbox)?)
    }

    /// Takes a context from the device.
    ///
    /// # Errors
    /// [`QmError::Mailbox`]; [`QmError::WrongFunctionState`] before [`Qm::initialise`]; [`QmError::Resetting`].
    pub fn dump_context(&mut self, command: MailboxCommand, queue: u16) -> Result<ContextWords, QmError> {
        self.must_not_be_resetting()?;
        let address = self.context_address()?;
        let within = self.parameters.timeouts.mailbox;
        self.mailbox(Mailbox::with_address(command, MailboxOp::Read, queue, address), within)?;
        // The end of the command was read from a register; the words must not be older.
        self.mapper.dma_rmb();
        let mut words = [0; CONTEXT_WORDS];
        if let Some(buffer) = &self.context {
            for (index, word) in words.iter_mut().enumerate() {
                *word = buffer.read32(index * 4);
            }
        }
        Ok(words)
    }
}
