//! PL011 UART, output only. Arm DDI 0183, chapter 3.

use embedded_io::{ErrorType, Write};
use hal::{Permission, Reg, RegisterWindow};

/// UARTDR - data. Offset 0x000.
const UARTDR: Reg<u32> = Reg::<u32>::new("UARTDR", 0x000, Permission::ReadWrite, 0);
/// UARTFR - flags. Offset 0x018, reset 0x90. Bit 5 TXFF: transmit FIFO full. Bit 4 RXFE: receive FIFO empty.
const UARTFR: Reg<u32> = Reg::<u32>::new("UARTFR", 0x018, Permission::ReadOnly, 0x90);
/// UARTCR - control. Offset 0x030, reset 0x300. Bit 0 UARTEN, bit 8 TXE, bit 9 RXE.
const UARTCR: Reg<u32> = Reg::<u32>::new("UARTCR", 0x030, Permission::ReadWrite, 0x300);

const TXFF: u32 = 1 << 5;
const RXFE: u32 = 1 << 4;

/// A PL011 behind a register window.
#[derive(Clone, Copy, Debug)]
pub struct Pl011<W> {
    window: W,
}

impl<W: RegisterWindow> Pl011<W> {
    /// Takes a UART over; the line settings stay as firmware left them, which QEMU ignores.
    pub fn new(window: W) -> Self {
        UARTCR.set(&window, 0x301);
        Self { window }
    }

    /// Sends one byte, waiting for room in the FIFO. The UART drains by itself, so the wait ends.
    pub fn put(&mut self, byte: u8) {
        while UARTFR.get(&self.window) & TXFF != 0 {
            crate::cpu::relax();
        }
        UARTDR.set(&self.window, u32::from(byte));
    }

    /// Takes a received byte, if there is one.
    pub fn get(&mut self) -> Option<u8> {
        (UARTFR.get(&self.window) & RXFE == 0).then(|| UARTDR.get(&self.window) as u8)
    }
}

impl<W> ErrorType for Pl011<W> {
    type Error = core::convert::Infallible;
}

impl<W: RegisterWindow> Write for Pl011<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        for byte in bytes {
            self.put(*byte);
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl<W: RegisterWindow> core::fmt::Write for Pl011<W> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(byte);
        }
        Ok(())
    }
}
