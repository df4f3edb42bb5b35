extern crate std;
use super::*;
use std::vec;

static TREE: &[u8] = include_bytes!("machine.dtb");

fn machine() -> Machine {
    Machine::parse(TREE).expect("the fixture is a tree")
}

#[test]
fn memory_and_what_is_taken_of_it() {
    let machine = machine();
    assert_eq!(machine.memory, [Block { base: 0x4000_0000, len_bytes: 0x3c00_0000 }]);
    assert_eq!(machine.reserved, [Block { base: 0x7e00_0000, len_bytes: 0x200_0000 }]);
    assert_eq!(machine.tree_bytes, TREE.len());
}

#[test]
fn controllers_and_console() {
    let machine = machine();
    let gic = machine.gic.expect("gic");
    assert_eq!((gic.distributor.base, gic.redistributors), (0x800_0000, Block { base: 0x80a_0000, len_bytes: 0xf6_0000 }));
    assert_eq!(machine.uart, Some(Block { base: 0x900_0000, len_bytes: 0x1000 }), "the first of two");
    assert_eq!((machine.bootargs.as_str(), machine.psci_method.as_deref(), machine.cpus), ("app=tour quiet", Some("smc"), 2));
}

#[test]
fn smmu_with_interrupts_by_name() {
    let machine = machine();
    let [smmu] = &machine.smmus[..] else { panic!("a disabled node counts for nothing: {:?}", machine.smmus) };
    assert_eq!(smmu.registers, Block { base: 0x20_0000_0000, len_bytes: 0x2_0000 });
    let edge = |intid| Some(Interrupt { intid, edge: true });
    assert_eq!((smmu.eventq, smmu.priq, smmu.gerror, smmu.cmdq_sync), (edge(42), edge(43), edge(44), edge(45)));
    assert!(smmu.coherent);
}

#[test]
fn bridge_windows_and_maps() {
    let machine = machine();
    let bridge = &machine.bridges[0];
    assert_eq!((bridge.first_bus, bridge.last_bus), (0, 0), "the ECAM has room for one bus");
    let window = |bus_base, cpu_base, len_bytes, wide| Window { bus_base, cpu_base, len_bytes, is_64bit: wide, prefetchable: wide };
    assert_eq!(
        bridge.windows,
        vec![window(0x3000_0000, 0x20_2000_0000, 0x1000_0000, false), window(0x21_0000_0000, 0x21_0000_0000, 0x2_0000_0000, true)]
    );
    let (smmu, stream) = machine.stream_of(bridge, 8).expect("mapped");
    assert_eq!((smmu.registers.base, stream), (0x20_0000_0000, 8));
    let frame = machine.msi_frame_of(bridge, 8).expect("mapped");
    assert_eq!((frame.registers.base, frame.first_intid, frame.count), (0x20_3000_0000, 208, 48));
}

#[test]
fn a_map_covers_what_it_says() {
    let map = RidMap { rid_base: 8, phandle: 1, output_base: 0x100, len: 2 };
    assert_eq!([7, 8, 9, 10].map(|rid| map.lookup(rid)), [None, Some(0x100), Some(0x101), None]);
}

#[test]
fn what_is_no_tree_is_refused() {
    assert_eq!(Machine::parse(&[0; 64]), Err(TreeError::BadMagic));
    assert_eq!(Machine::parse(&TREE[..16]), Err(TreeError::Truncated));
    assert_eq!(Machine::parse(&TREE[..TREE.len() - 1]), Err(TreeError::Truncated));
}
