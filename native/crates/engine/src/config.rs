use thiserror::Error;

/// Smallest extent, bytes.
pub const EXTENT_BYTES_MIN: u64 = 1 << 20;
/// Largest extent, bytes.
pub const EXTENT_BYTES_MAX: u64 = 256 << 20;
/// Extents unless configured, bytes.
pub const EXTENT_BYTES_DEFAULT: u64 = 16 << 20;
/// Slots that one engine can number.
pub const SLOTS_MAX: u64 = holdfast_index::SLOTS_MAX;

/// What one engine is made of. Fixed for its life.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// Memory for payload, bytes; a multiple of `extent_bytes`.
    pub arena_bytes: u64,
    /// Unit in which memory moves between tenants and block sizes, bytes; a power of two,
    /// 1 MiB to 256 MiB. No block can be larger. Each extent holds one file descriptor.
    pub extent_bytes: u64,
    /// Touch every page at start, so that no request waits for one.
    pub prefault: bool,
    /// Ask the kernel for huge pages (granted or not, the engine works).
    pub huge_pages: bool,
    /// Most that one tenant may hold by timed pins, bytes.
    pub pin_bytes_max: u64,
    /// Size the index once, for this many blocks, instead of letting it grow; a hint, not a limit.
    pub index_blocks_max: Option<u64>,
    /// How victims are chosen.
    pub eviction: EvictionConfig,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            arena_bytes: 1 << 30,
            extent_bytes: EXTENT_BYTES_DEFAULT,
            prefault: true,
            huge_pages: true,
            pin_bytes_max: 256 << 20,
            index_blocks_max: None,
            eviction: EvictionConfig::default(),
        }
    }
}

/// How victims are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct EvictionConfig {
    /// Slots looked at for each one that is freed, 2 to 1024: victims come from the worst
    /// 1/`scan_slots` of their class.
    pub scan_slots: u32,
    /// Most slots looked at for one round of victims, 1024 to 2^24: a larger class is taken in
    /// parts. Bounds the memory for victims (16 bytes x window / scan for each class).
    pub window_slots_max: u32,
}

impl Default for EvictionConfig {
    fn default() -> Self {
        Self {
            scan_slots: 64,
            window_slots_max: 1 << 18,
        }
    }
}

/// A configuration that cannot work, and the rule it breaks.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The extent size is out of range or not a power of two.
    #[error(
        "extent_bytes is {0}; it must be a power of two from {EXTENT_BYTES_MIN} to {EXTENT_BYTES_MAX}"
    )]
    ExtentBytes(u64),
    /// The arena holds no whole number of extents, or none at all.
    #[error(
        "arena_bytes is {arena_bytes}; it must be a positive multiple of extent_bytes ({extent_bytes})"
    )]
    ArenaBytes {
        /// Configured arena, bytes.
        arena_bytes: u64,
        /// Configured extent, bytes.
        extent_bytes: u64,
    },
    /// More extents than the engine numbers.
    #[error(
        "arena_bytes / extent_bytes is {extents}, at most {extents_max}; choose larger extents"
    )]
    TooManyExtents {
        /// Extents asked for.
        extents: u64,
        /// Extents possible.
        extents_max: u64,
    },
    /// An eviction setting is out of range.
    #[error("eviction.{field} is {value}; it must be from {min} to {max}")]
    Eviction {
        /// Name of the setting.
        field: &'static str,
        /// Configured value.
        value: u32,
        /// Smallest value allowed.
        min: u32,
        /// Largest value allowed.
        max: u32,
    },
    /// More blocks than the engine numbers.
    #[error("index_blocks_max is {0}; at most {SLOTS_MAX}")]
    IndexBlocks(u64),
}

/// Most extents in one arena.
pub const EXTENTS_MAX: u64 = 1 << 18;

impl EngineConfig {
    /// Checks every rule that the fields' descriptions state.
    ///
    /// # Errors
    /// The first rule broken, with the value that breaks it.
    pub fn validate(self) -> Result<Self, ConfigError> {
        let extent_bytes = self.extent_bytes;
        if !extent_bytes.is_power_of_two()
            || !(EXTENT_BYTES_MIN..=EXTENT_BYTES_MAX).contains(&extent_bytes)
        {
            return Err(ConfigError::ExtentBytes(extent_bytes));
        }
        if self.arena_bytes == 0 || !self.arena_bytes.is_multiple_of(extent_bytes) {
            return Err(ConfigError::ArenaBytes {
                arena_bytes: self.arena_bytes,
                extent_bytes,
            });
        }
        let extents = self.arena_bytes / extent_bytes;
        if extents > EXTENTS_MAX {
            return Err(ConfigError::TooManyExtents {
                extents,
                extents_max: EXTENTS_MAX,
            });
        }
        if let Some(blocks) = self.index_blocks_max
            && blocks > SLOTS_MAX
        {
            return Err(ConfigError::IndexBlocks(blocks));
        }
        let eviction = &self.eviction;
        let bounded = [
            ("scan_slots", eviction.scan_slots, 2, 1024),
            ("window_slots_max", eviction.window_slots_max, 1024, 1 << 24),
        ];
        for (field, value, min, max) in bounded {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Eviction {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(self)
    }
}
