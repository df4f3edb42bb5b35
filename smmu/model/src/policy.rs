//! What the caches do of their own accord.

/// How long the configuration caches and the TLB keep what they hold. All of these are behaviours that the architecture allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Caches nothing: hides forgotten maintenance, equals a naive reference.
    AlwaysMiss,
    /// Keeps everything until told otherwise or out of room: shows missing maintenance.
    Sticky,
    /// Evicts and prefetches at random: shows code that depends on retention, and late invalidation of what was never touched.
    Random {
        /// Start of the random sequence; 0 acts as 1.
        seed: u32,
    },
    /// Sticky, and fetches the neighbours of whatever is used: the next page, the next Stream table entry, the next Context descriptor.
    Prefetch,
}

/// The policy with its running state.
#[derive(Clone, Copy)]
pub(crate) struct Retention {
    pub policy: Policy,
    state: u32,
}

impl Retention {
    pub const fn new(policy: Policy) -> Self {
        let state = match policy {
            Policy::Random { seed } if seed != 0 => seed,
            _ => 1,
        };
        Self { policy, state }
    }

    /// True if anything may be cached at all.
    pub const fn caches(&self) -> bool {
        !matches!(self.policy, Policy::AlwaysMiss)
    }

    /// True if hits need no dice: the resolved-context shortcut may be used.
    pub const fn is_steady(&self) -> bool {
        matches!(self.policy, Policy::Sticky | Policy::Prefetch)
    }

    fn roll(&mut self, one_in: u32) -> bool {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state >> 8).is_multiple_of(one_in)
    }

    /// Decides whether to forget an entry instead of using it.
    pub fn forgets(&mut self) -> bool {
        match self.policy {
            Policy::Random { .. } => self.roll(8),
            _ => false,
        }
    }

    /// Decides whether to fetch a neighbour speculatively.
    pub fn prefetches(&mut self) -> bool {
        match self.policy {
            Policy::Prefetch => true,
            Policy::Random { .. } => self.roll(4),
            _ => false,
        }
    }
}
