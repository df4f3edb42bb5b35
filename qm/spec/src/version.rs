//! Versions of the queue manager.

/// Value of SUB_VERSION_ID (0x210) on version 5; 0x50 is version 4 (A.1).
pub const SUB_VERSION_V5: u8 = 0x51;

/// Which revision of the block this is; decides layouts and features (G.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum QmVersion {
    /// PCI revision 0x20: own doorbell and context layouts. Described here, built nowhere.
    V1,
    /// PCI revision 0x21.
    V2,
    /// PCI revision 0x30.
    V3,
}

impl QmVersion {
    /// Reads the version off a PCI revision id (A.1); `None` for an unknown one.
    pub const fn from_revision(revision: u8) -> Option<Self> {
        match revision {
            0x20 => Some(Self::V1),
            0x21 => Some(Self::V2),
            0x30 => Some(Self::V3),
            _ => None,
        }
    }

    /// The PCI revision id.
    pub const fn revision(self) -> u8 {
        match self {
            Self::V1 => 0x20,
            Self::V2 => 0x21,
            Self::V3 => 0x30,
        }
    }

    /// The queue format's name for user libraries (A.5).
    pub const fn api(self) -> &'static str {
        match self {
            Self::V1 => "hisi_qm_v1",
            Self::V2 => "hisi_qm_v2",
            Self::V3 => "hisi_qm_v3",
        }
    }

    /// The queue format's name where SUB_VERSION_ID is not 0: version 5 has a name of its own, version 4 that of version 3.
    pub const fn api_with(self, sub_version: u8) -> &'static str {
        match self {
            Self::V3 if sub_version >= SUB_VERSION_V5 => "hisi_qm_v5",
            _ => self.api(),
        }
    }

    /// True if a queue's context carries a PASID enable bit; version 2 marks traffic by a bus attribute instead (A.3).
    pub const fn has_pasid_enable(self) -> bool {
        matches!(self, Self::V3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_of_table_a1() {
        assert_eq!(QmVersion::from_revision(0x20), Some(QmVersion::V1));
        assert_eq!(QmVersion::from_revision(0x21), Some(QmVersion::V2));
        assert_eq!(QmVersion::from_revision(0x30), Some(QmVersion::V3));
        assert_eq!(QmVersion::from_revision(0x31), None);
        assert_eq!(QmVersion::V3.revision(), 0x30);
        assert_eq!(QmVersion::V3.api(), "hisi_qm_v3");
        assert_eq!(QmVersion::V2.api(), "hisi_qm_v2");
        let names = [0, 0x50, 0x51].map(|sub_version| QmVersion::V3.api_with(sub_version));
        assert_eq!(names, ["hisi_qm_v3", "hisi_qm_v3", "hisi_qm_v5"]);
        assert_eq!(QmVersion::V2.api_with(0x51), "hisi_qm_v2");
    }
}
