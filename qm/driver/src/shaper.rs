//! Quality of service of a function: shaper entries (B.5, F.10).

use hal::{Clock, DmaMapper, RegisterWindow};
use qm_spec::regs::pf;
use qm_spec::{ShaperFields, VftType};

use crate::{Qm, QmError, QmState, Role};

/// Algorithm types that have a shaper entry of their own.
const TYPES: u32 = 2;

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Sets what the engine can do at most, per algorithm type: what SHAPER_CFG tells the shaper. Without it the shaper stays off.
    pub const fn set_base_rates(&mut self, rates: [u16; 2]) {
        self.base_rates = Some(rates);
    }

    /// Quality of service of a function as it was set last; of a virtual function what the physical one told it.
    pub fn qos(&self, function: u16) -> Option<u16> {
        self.qos.get(usize::from(function)).copied()
    }

    /// Rewrites base rates and shaper entries of a function.
    pub(crate) fn write_shaper(&self, function: u16) -> Result<(), QmError> {
        let qos = self.qos.get(usize::from(function)).copied().ok_or(QmError::Invalid)?;
        let entry = ShaperFields::for_qos(qos).ok_or(QmError::Invalid)?.encode();
        if let Some([first, second]) = self.base_rates {
            let rates = pf::SHAPER_CFG_FIELDS::ENABLE::SET
                + pf::SHAPER_CFG_FIELDS::TYPE0.val(first.into())
                + pf::SHAPER_CFG_FIELDS::TYPE1.val(second.into());
            pf::SHAPER_CFG.write(&self.registers, rates);
        }
        for alg_type in 0..TYPES {
            self.write_vft(VftType::SHAPER, u32::from(function) | alg_type << 6, entry)?;
        }
        Ok(())
    }

    /// Gives a function a quality of service of 1 to 1000. If the entries cannot be written or do not read back, the earlier one holds.
    ///
    /// # Errors
    /// [`QmError::Invalid`] for a quality or a function out of range, [`QmError::Unsupported`], [`QmError::RegisterTimeout`],
    /// [`QmError::WrongFunctionState`].
    pub fn set_qos(&mut self, function: u16, qos: u16) -> Result<(), QmError> {
        if self.role != Role::Physical || !self.capabilities.shaper {
            return Err(QmError::Unsupported);
        }
        if self.state != QmState::Started {
            return Err(QmError::WrongFunctionState(self.state));
        }
        if function > self.vfs || ShaperFields::for_qos(qos).is_none() {
            return Err(QmError::Invalid);
        }
        let earlier = core::mem::replace(&mut self.qos[usize::from(function)], qos);
        let result = self.write_shaper(function).and_then(|()| {
            let read = self.read_shaper(function)?;
            if read.abs_diff(qos) * 200 <= qos.max(200) { Ok(()) } else { Err(QmError::Invalid) }
        });
        if result.is_err() {
            self.qos[usize::from(function)] = earlier;
            // The error that counts is the first one.
            let _ = self.write_shaper(function);
        }
        result
    }

    /// Reads the quality of service that the device holds for a function.
    ///
    /// # Errors
    /// [`QmError::RegisterTimeout`].
    pub fn read_shaper(&self, function: u16) -> Result<u16, QmError> {
        let entry = self.read_vft(VftType::SHAPER, function.into())?;
        Ok(ShaperFields::decode(entry).map_or(0, |fields| fields.qos()))
    }

    /// One VFT read (B.5).
    fn read_vft(&self, table: VftType, address: u32) -> Result<u64, QmError> {
        self.await_bits(pf::VFT_CFG_RDY, 1)?;
        let registers = &self.registers;
        pf::VFT_CFG_OP_WR.set(registers, 1);
        pf::VFT_CFG_TYPE.set(registers, table.0);
        pf::VFT_CFG.set(registers, address);
        pf::VFT_CFG_RDY.set(registers, 0);
        pf::VFT_CFG_OP_ENABLE.set(registers, 1);
        self.await_bits(pf::VFT_CFG_RDY, 1)?;
        Ok(u64::from(pf::VFT_CFG_DATA_L.get(registers)) | u64::from(pf::VFT_CFG_DATA_H.get(registers)) << 32)
    }
}
