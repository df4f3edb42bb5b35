//! Versions of the queue manager.

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
    }
}
