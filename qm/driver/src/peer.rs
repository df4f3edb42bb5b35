//! Messages between the physical function and its virtual ones (B.9): every wait has a bound, and a silent peer stops nobody.

use hal::{Clock, DmaMapper, RegisterWindow, poll_until};
use qm_spec::regs::{function, pf};
use qm_spec::{ALL_VFS, Mailbox, MailboxCommand, MailboxOp, PeerCommand, PeerMessage};

use crate::{Qm, QmError, QmState, Role};

/// A message and who sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The function that sent it.
    pub function: u16,
    /// The message.
    pub message: PeerMessage,
}

/// Destination in IFC_INT_CFG that means every virtual function.
const EVERY_VF: u32 = 0x7f;

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Bits of the virtual functions that have queues.
    pub(crate) const fn vf_bits(&self) -> u64 {
        (u64::MAX >> (63 - self.vfs)) & !1
    }

    /// Drops what peers said to an earlier life and lets their messages interrupt.
    pub(crate) fn open_peer_messages(&self) {
        if self.capabilities.peer_messages {
            if self.role == Role::Physical {
                pf::IFC_INT_SOURCE_P.set(&self.registers, u64::MAX);
            }
            function::IFC_INT_SOURCE_V.set(&self.registers, 1);
            function::IFC_INT_MASK.set(&self.registers, 0);
        }
    }

    pub(crate) fn close_peer_messages(&self) {
        if self.capabilities.peer_messages {
            function::IFC_INT_MASK.set(&self.registers, 1);
        }
    }

    fn post_message(&mut self, to: u16, message: PeerMessage) -> Result<(), QmError> {
        let mailbox = Mailbox { command: MailboxCommand::SRC, op: MailboxOp::Write, queue: to, base: message.encode() };
        Ok(self.mailbox(mailbox, self.parameters.timeouts.mailbox)?)
    }

    fn fetch_message(&mut self, from: u16) -> Result<PeerMessage, QmError> {
        Ok(PeerMessage::decode(self.mailbox_read(MailboxCommand::DST, from)?))
    }

    /// Sends a message to one virtual function, or to all of them ([`ALL_VFS`]), and waits until it was taken.
    ///
    /// # Errors
    /// [`QmError::PeerSilent`] with the lowest function that did not take it in time, [`QmError::Mailbox`], [`QmError::Invalid`] for a function that
    /// has no queues, or on a virtual function.
    pub fn tell_vf(&mut self, to: u16, message: PeerMessage) -> Result<(), QmError> {
        let bits = if to == ALL_VFS { self.vf_bits() } else { self.vf_bits() & 1u64.checked_shl(to.into()).unwrap_or(0) };
        if self.role != Role::Physical || bits == 0 || !self.capabilities.peer_messages {
            return Err(QmError::Invalid);
        }
        self.post_message(to, message)?;
        pf::IFC_INT_CFG.set(&self.registers, if to == ALL_VFS { EVERY_VF } else { to.into() });
        pf::IFC_INT_SET_P.set(&self.registers, 1);
        let mut silent = bits;
        poll_until(&self.clock, self.parameters.timeouts.peer, || {
            silent = pf::IFC_READY_STATUS.get(&self.registers) & bits;
            (silent == 0).then_some(())
        })
        .map_err(|_| QmError::PeerSilent { function: silent.trailing_zeros() as u16 })
    }

    /// Sends a message to the physical function. It waits for room, not for an answer: until the one before was taken.
    ///
    /// # Errors
    /// [`QmError::PeerSilent`], [`QmError::Mailbox`], [`QmError::Invalid`] on the physical function.
    pub fn tell_pf(&mut self, message: PeerMessage) -> Result<(), QmError> {
        if self.role != Role::Virtual || !self.capabilities.peer_messages {
            return Err(QmError::Invalid);
        }
        poll_until(&self.clock, self.parameters.timeouts.peer, || (function::IFC_INT_SET_V.get(&self.registers) & 1 == 0).then_some(()))
            .map_err(|_| QmError::PeerSilent { function: 0 })?;
        self.post_message(0, message)?;
        function::IFC_INT_SET_V.set(&self.registers, 1);
        Ok(())
    }

    /// Takes what virtual functions sent, one message of each; the source is acknowledged even where the fetch fails.
    fn take_vf_messages(&mut self, wanted: u64, mut taken: impl FnMut(u16, Result<PeerMessage, QmError>)) -> u64 {
        let sources = pf::IFC_INT_SOURCE_P.get(&self.registers) & wanted;
        for vf in 1..=qm_spec::MAX_VFS {
            if sources >> vf & 1 == 1 {
                let message = self.fetch_message(vf);
                taken(vf, message);
            }
        }
        if sources != 0 {
            pf::IFC_INT_SOURCE_P.set(&self.registers, sources);
            function::IFC_INT_SOURCE_V.set(&self.registers, 1);
        }
        sources
    }

    /// Waits until every virtual function has answered; returns the bits of those that did not, or that answered anything but `wanted`.
    pub(crate) fn collect_answers(&mut self, wanted: PeerCommand) -> u64 {
        let mut missing = self.vf_bits();
        let mut failed = 0;
        let deadline = self.clock.deadline(self.parameters.timeouts.peer);
        while missing != 0 {
            let late = deadline.has_passed(&self.clock);
            let answered = self.take_vf_messages(missing, |vf, answer| {
                if !answer.is_ok_and(|message| message.command == wanted) {
                    failed |= 1 << vf;
                }
            });
            missing &= !answered;
            if late {
                break;
            }
            self.clock.relax();
        }
        missing | failed
    }

    /// Answers a mailbox interrupt of the physical function: tells `said` what each virtual function sent; a question for the rate is answered.
    ///
    /// # Errors
    /// The first that a question's answer met.
    pub fn handle_vf_messages(&mut self, mut said: impl FnMut(Peer)) -> Result<(), QmError> {
        let mut asked = 0u64;
        self.take_vf_messages(self.vf_bits(), |function, message| {
            if let Ok(message) = message {
                if message.command == PeerCommand::VF_GET_QOS {
                    asked |= 1 << function;
                }
                said(Peer { function, message });
            }
        });
        let mut result = Ok(());
        for vf in 1..=self.vfs {
            if asked >> vf & 1 == 1 {
                let rate = PeerMessage { command: PeerCommand::PF_SET_QOS, argument: u32::from(self.qos[usize::from(vf)]) * 100 };
                result = result.and(self.tell_vf(vf, rate));
            }
        }
        result
    }

    /// Answers a mailbox interrupt of a virtual function: takes the physical function's message and does what it demands. To a reset's beginning
    /// it stops and answers; to its end it starts again and answers.
    ///
    /// # Errors
    /// Those of the work demanded, after the physical function was told of the failure; [`QmError::PeerSilent`], [`QmError::Mailbox`].
    pub fn handle_pf_message(&mut self) -> Result<Option<PeerMessage>, QmError> {
        // A function that is not there any more reads all ones.
        if self.role != Role::Virtual || function::IFC_INT_SOURCE_V.get(&self.registers) != 1 {
            return Ok(None);
        }
        let fetched = self.fetch_message(0);
        function::IFC_INT_SOURCE_V.set(&self.registers, 1);
        let message = fetched?;
        let (done, answers) = match message.command {
            PeerCommand::PF_FLR_PREPARE | PeerCommand::PF_SRST_PREPARE => {
                self.halt_queues();
                self.state = QmState::Resetting;
                (Ok(()), Some((PeerCommand::VF_PREPARE_DONE, PeerCommand::VF_PREPARE_FAIL)))
            }
            PeerCommand::PF_RESET_DONE => {
                self.forget_life();
                self.state = QmState::Down;
                let done = self.initialise().and_then(|()| self.start());
                if done.is_err() {
                    self.state = QmState::Resetting;
                }
                (done, Some((PeerCommand::VF_START_DONE, PeerCommand::VF_START_FAIL)))
            }
            PeerCommand::PF_SET_QOS => {
                self.qos[0] = (message.argument / 100) as u16;
                (Ok(()), None)
            }
            _ => (Ok(()), None),
        };
        if let Some((success, failure)) = answers {
            self.tell_pf(PeerMessage::new(if done.is_ok() { success } else { failure }))?;
        }
        done.map(|()| Some(message))
    }
}
