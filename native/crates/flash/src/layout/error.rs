use thiserror::Error;

/// Why bytes are not the structure that they were read as.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// Fewer bytes than the structure has.
    #[error("a {what} has {needed} bytes, here are {bytes}")]
    Short {
        /// The structure.
        what: &'static str,
        /// Bytes that are there.
        bytes: usize,
        /// Bytes that it has.
        needed: usize,
    },
    /// Something else, or nothing.
    #[error("these bytes are no {what}: another magic number")]
    Magic {
        /// The structure.
        what: &'static str,
    },
    /// Damaged, or written in part only.
    #[error("the checksum of this {what} does not match")]
    Checksum {
        /// The structure.
        what: &'static str,
    },
    /// Written by another version of this program.
    #[error("this {what} has format version {found}, this program knows version {known}")]
    Version {
        /// The structure.
        what: &'static str,
        /// Version that it has.
        found: u16,
        /// Version that this program reads and writes.
        known: u16,
    },
    /// A field holds what no writer writes.
    #[error("{field} of this {what} is {value}, which no writer writes")]
    Field {
        /// The structure.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}
