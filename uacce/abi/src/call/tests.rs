extern crate std;
use super::*;
use std::vec::Vec;

fn every_call(run: &mut dyn FnMut(Call<'_>, u64)) {
    run(Call::Exit { code: -2 }, 0);
    run(Call::Write { fd: Fd::STDOUT, data: b"abc" }, 1);
    run(Call::Read { fd: Fd(4), into: &mut [0; 5] }, 2);
    run(Call::Close { fd: Fd(4) }, 3);
    run(Call::OpenNode { node: NodeIndex(1), on_exec: OnExec::Keep }, 4);
    run(Call::Attribute { node: NodeIndex(0), attribute: Attribute::Api, into: &mut [0; 16] }, 5);
    run(Call::Ioctl { fd: Fd(4), command: Command::SET_QP_CTX, argument: &mut [0; 4] }, 6);
    run(Call::ShareQueue { fd: Fd(4), target: Fd(5) }, 6);
    run(Call::MapRegion { fd: Fd(4), region: FileRegion::Dus, len_bytes: 0x25000 }, 7);
    run(Call::Poll { entries: &mut [PollFd::new(Fd(4))], timeout_nanoseconds: Call::FOREVER }, 8);
    run(Call::MapMemory { len_bytes: 8192, protection: Protection::ReadWrite, at: 0 }, 9);
    run(Call::Unmap { at: 0x1000, len_bytes: 4096 }, 10);
    run(Call::Protect { at: 0x1000, len_bytes: 4096, protection: Protection::Read }, 11);
    run(Call::OpenHostFile { path: "in", mode: OpenMode::Create }, 12);
    run(Call::HostFileLength { fd: Fd(5) }, 13);
    run(Call::Arguments { into: &mut [0; 7] }, 14);
    run(Call::Counters { into: &mut [0; Counters::BYTES] }, 15);
    run(Call::Yield, 16);
    run(Call::Sleep { nanoseconds: 9 }, 17);
    run(Call::Spawn { program: "zip", arguments: "fmt=z" }, 18);
    run(Call::Wait { process: ProcessId(3) }, 19);
    run(Call::Identity, 20);
    run(Call::Fork, 21);
    run(Call::Exec { program: "zip", arguments: "fmt=z" }, 22);
    run(Call::Kill { process: ProcessId(3) }, 23);
}

#[test]
fn every_call_has_its_number_and_is_understood() {
    let mut seen = Vec::new();
    every_call(&mut |mut call, number| {
        let registers = call.registers();
        assert_eq!(registers.number, number, "{call:?}");
        Request::decode(&registers).unwrap_or_else(|errno| panic!("{call:?}: {errno}"));
        seen.push(number);
    });
    seen.dedup();
    assert_eq!(seen.len(), Number::ALL.len());
    assert!(Number::ALL.iter().enumerate().all(|(at, number)| *number as usize == at), "decoding takes the number as an index");
}

#[test]
fn a_call_arrives_as_it_was_stated() {
    let registers = Call::MapRegion { fd: Fd(4), region: FileRegion::Dus, len_bytes: 0x25000 }.registers();
    assert_eq!(registers, Registers { number: 7, arguments: [4, 1, 0x25000, 0, 0, 0] });
    let registers = Call::Exit { code: -2 }.registers();
    assert_eq!(Request::decode(&registers), Ok(Request::Exit { code: -2 }));
    let registers = Call::Protect { at: 0x2000, len_bytes: 4096, protection: Protection::ReadWrite }.registers();
    assert_eq!(registers.arguments, [0x2000, 4096, 3, 0, 0, 0]);
    let data = [1u8, 2, 3];
    let registers = Call::Write { fd: Fd::STDERR, data: &data }.registers();
    let expected = UserSlice { at: data.as_ptr().addr() as u64, len_bytes: 3 };
    assert_eq!(Request::decode(&registers), Ok(Request::Write { fd: Fd(2), data: expected }));
}

#[test]
fn arguments_out_of_range_are_refused() {
    let decode = |number, arguments| Request::decode(&Registers { number, arguments });
    assert_eq!(decode(24, [0; 6]), Err(Errno::ENOSYS));
    assert_eq!(decode(u64::MAX, [0; 6]), Err(Errno::ENOSYS));
    assert_eq!(decode(3, [u64::MAX, 0, 0, 0, 0, 0]), Err(Errno::EBADF));
    assert_eq!(decode(3, [1 << 32, 0, 0, 0, 0, 0]), Err(Errno::EBADF));
    assert_eq!(decode(4, [1 << 32, 0, 0, 0, 0, 0]), Err(Errno::ENODEV));
    assert_eq!(decode(5, [0, 13, 0, 0, 0, 0]), Err(Errno::ENOENT));
    assert_eq!(decode(6, [4, 1 << 32, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(decode(4, [0, 2, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(decode(7, [4, 4, 4096, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(decode(23, [1 << 32, 0, 0, 0, 0, 0]), Err(Errno::ESRCH));
    assert_eq!(decode(8, [0, 17, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(decode(9, [4096, 2, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(decode(11, [4096, 4096, 4, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(decode(12, [0, 1, 2, 0, 0, 0]), Err(Errno::EINVAL));
}

/// Answers a fixed number and keeps the registers.
struct Recorder(core::cell::Cell<Registers>, i64);

impl Kernel for Recorder {
    fn invoke(&self, mut call: Call<'_>) -> i64 {
        self.0.set(call.registers());
        self.1
    }
}

#[test]
fn wrappers_split_results_from_errors() {
    let kernel = Recorder(Default::default(), -16);
    assert_eq!(kernel.open_node(NodeIndex(2)), Err(Errno::EBUSY));
    assert_eq!(kernel.0.get(), Registers { number: 4, arguments: [2, 1, 0, 0, 0, 0] }, "closed at an exec");
    let kernel = Recorder(Default::default(), 3);
    assert_eq!(kernel.open_node(NodeIndex(2)), Ok(Fd(3)));
}

#[test]
fn write_all_refuses_a_kernel_that_takes_nothing_or_too_much() {
    assert_eq!(Recorder(Default::default(), 0).write_all(Fd::STDOUT, b"ab"), Err(Errno::EIO));
    assert_eq!(Recorder(Default::default(), 3).write_all(Fd::STDOUT, b"ab"), Err(Errno::EIO));
    assert_eq!(Recorder(Default::default(), 1).write_all(Fd::STDOUT, b"ab"), Ok(()));
}

#[test]
fn a_shared_queue_is_an_ioctl_with_a_handle() {
    let registers = Call::ShareQueue { fd: Fd(4), target: Fd(5) }.registers();
    assert_eq!(registers, Registers { number: 6, arguments: [4, 0x5702, 5, 0, 0, 0] });
}

#[test]
fn fork_tells_parent_and_copy_apart() {
    assert_eq!(Recorder(Default::default(), 0).fork(), Ok(None));
    assert_eq!(Recorder(Default::default(), 7).fork(), Ok(Some(ProcessId(7))));
    assert_eq!(Recorder(Default::default(), -12).fork(), Err(Errno::ENOMEM));
}
