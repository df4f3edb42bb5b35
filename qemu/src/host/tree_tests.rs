//! The edit, on a small tree with every node that it starts from.

use super::*;

fn node(name: &str, properties: &[(&str, &[u32])], children: Vec<DeviceTreeNode>) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(name);
    for (name, cells) in properties {
        set(&mut node, name, cells.to_vec());
    }
    for child in children {
        node.add_child(child);
    }
    node
}

/// The skeleton of what QEMU 7.2 dumps for two CPUs.
fn qemu_tree() -> Vec<u8> {
    let mut tree = DeviceTree::new();
    let cpus = ["cpu-map", "cpu@0", "cpu@1"].map(|name| node(name, &[("phandle", &[0x8001])], vec![])).into();
    let parts = [
        node("memory@40000000", &[("reg", &[0, 0x4000_0000, 0, 0x4000_0000])], vec![]),
        node("pcie@10000000", &[], vec![]),
        node("smmuv3@9050000", &[("phandle", &[0x8005])], vec![]),
        node("virtio_mmio@a000000", &[], vec![]),
        node("virtio_mmio@a000200", &[], vec![]),
        node("flash@0", &[], vec![]),
        node("fw-cfg@9020000", &[], vec![]),
        node("platform-bus@c000000", &[], vec![]),
        node("pl011@9000000", &[], vec![]),
        node("intc@8000000", &[("phandle", &[0x8003])], vec![node("its@8080000", &[("phandle", &[0x8007])], vec![])]),
        node("cpus", &[], cpus),
        node("chosen", &[("rng-seed", &[1]), ("kaslr-seed", &[2])], vec![]),
    ];
    for part in parts {
        tree.root.add_child(part);
    }
    tree.to_dtb()
}

fn edited(machine: &Machine, boot: &Boot) -> DeviceTree {
    let bytes = edit(&qemu_tree(), machine, boot).expect("the skeleton has every node");
    DeviceTree::from_fdt(&Fdt::new(&bytes).expect("a valid tree"))
}

fn cells(tree: &DeviceTree, path: &str, property: &str) -> Vec<u32> {
    let node = tree.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let property = node.property(property).unwrap_or_else(|| panic!("no {property}"));
    property.value().chunks(4).map(|cell| u32::from_be_bytes(cell.try_into().expect("four bytes"))).collect()
}

#[test]
fn what_is_hidden_is_gone_and_the_console_stays() {
    let tree = edited(&Machine::default(), &Boot::default());
    let names: Vec<&str> = tree.root.children().map(|node| node.name_without_address()).collect();
    assert_eq!(names, ["memory", "pl011", "intc", "cpus", "chosen", "smmu", "pcie", "device-reset", "silicon"]);
    assert!(tree.find_node("/intc@8000000/its@8080000").is_none());
}

#[test]
fn memory_ends_below_the_image_and_seeds_are_removed() {
    let tree = edited(&Machine::default(), &Boot { bootargs: "app=tour".to_owned(), ..Boot::default() });
    assert_eq!(cells(&tree, "/memory@40000000", "reg"), [0, 0x4000_0000, 0, 0x3c00_0000]);
    let chosen = tree.find_node("/chosen").expect("chosen");
    assert!(chosen.property("rng-seed").is_none() && chosen.property("kaslr-seed").is_none());
    assert_eq!(chosen.property("bootargs").expect("bootargs").value(), b"app=tour\0");
}

#[test]
fn smmu_bridge_and_frame_match_the_tried_tree() {
    let tree = edited(&Machine::default(), &Boot::default());
    assert_eq!(cells(&tree, "/smmu@2000000000", "reg"), [0x20, 0, 0, 0x2_0000]);
    assert_eq!(cells(&tree, "/smmu@2000000000", "interrupts"), [0, 10, 1, 0, 11, 1, 0, 12, 1, 0, 13, 1]);
    let names = tree.find_node("/smmu@2000000000").and_then(|node| node.property("interrupt-names")).expect("names");
    assert_eq!(names.value(), b"eventq\0priq\0gerror\0cmdq-sync\0");
    let smmu = cells(&tree, "/smmu@2000000000", "phandle")[0];
    let frame = cells(&tree, "/intc@8000000/v2m@2030000000", "phandle")[0];
    assert!(smmu > 0x8007 && frame > 0x8007 && smmu != frame);
    assert_eq!(cells(&tree, "/pcie@2010000000", "iommu-map"), [0, smmu, 0, 0x1_0000]);
    assert_eq!(cells(&tree, "/pcie@2010000000", "msi-map"), [0, frame, 0, 0x1_0000]);
    assert_eq!(
        cells(&tree, "/pcie@2010000000", "ranges"),
        [0x0200_0000, 0, 0x3000_0000, 0x20, 0x2000_0000, 0, 0x1000_0000, 0x4300_0000, 0x21, 0, 0x21, 0, 2, 0]
    );
    assert_eq!(cells(&tree, "/intc@8000000/v2m@2030000000", "arm,msi-base-spi"), [208]);
    assert_eq!(cells(&tree, "/intc@8000000/v2m@2030000000", "arm,msi-num-spis"), [48]);
}

#[test]
fn ats_is_offered_with_the_smmu_that_has_it() {
    let bridge = |profile: &str| {
        let machine = Machine { smmu_profile: profile.to_owned(), ..Machine::default() };
        edited(&machine, &Boot::default()).find_node("/pcie@2010000000").expect("the bridge").property("ats-supported").is_some()
    };
    assert_eq!([bridge("stall"), bridge("atspri")], [false, true]);
}

#[test]
fn the_reset_service_is_a_call_of_the_silicon_provider() {
    let tree = edited(&Machine::default(), &Boot::default());
    assert_eq!(cells(&tree, "/device-reset", "function-id"), [0xc200_0001]);
    let node = tree.find_node("/device-reset").expect("node");
    assert_eq!(node.property("method").expect("method").value(), b"smc\0");
    assert_eq!(node.property("compatible").expect("compatible").value(), b"soc,device-reset\0");
}

#[test]
fn engine_cores_are_not_in_the_tree() {
    let tree = edited(&Machine::default(), &Boot::default());
    assert!(tree.find_node("/cpus/cpu@0").is_some());
    assert!(tree.find_node("/cpus/cpu@1").is_none() && tree.find_node("/cpus/cpu-map").is_none());
    assert_eq!(cells(&tree, "/silicon", "engine-cores"), [1]);
}

#[test]
fn a_foreign_payload_is_named_with_its_file_system() {
    let boot = Boot { bootargs: String::new(), payload: Some(0x4020_0000), initrd: Some((0x4800_0000, 0x4800_1234)) };
    let tree = edited(&Machine::default(), &boot);
    assert_eq!(cells(&tree, "/silicon", "payload"), [0, 0x4020_0000]);
    assert_eq!(cells(&tree, "/chosen", "linux,initrd-end"), [0, 0x4800_1234]);
    assert!(edited(&Machine::default(), &Boot::default()).find_node("/silicon").expect("silicon").property("payload").is_none());
}

#[test]
fn without_el2_the_tree_stays_qemus_but_for_memory_and_seeds() {
    let tree = edited(&Machine { bare: true, ..Machine::default() }, &Boot::default());
    assert!(tree.find_node("/silicon").is_none());
    assert!(tree.find_node("/smmuv3@9050000").is_some() && tree.find_node("/cpus/cpu@1").is_some());
    assert_eq!(cells(&tree, "/memory@40000000", "reg"), [0, 0x4000_0000, 0, 0x3c00_0000]);
}

#[test]
fn a_tree_without_its_nodes_is_refused() {
    let empty = DeviceTree::new().to_dtb();
    assert!(edit(&empty, &Machine::default(), &Boot::default()).is_err());
}
