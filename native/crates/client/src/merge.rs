//! What the answers of several nodes make of one key. Pure.
//!
//! **Reads** (get, exists, stat, pin): one hit is a hit. Otherwise the gravest of what was seen,
//! so that *miss* is said only when every node that may hold the block said so:
//! cancelled, timed out, unreachable, not owner, busy, refused, corrupt, miss.
//!
//! **Puts** go to every node that shall hold a copy. Copies that could not be tried (the node is
//! down, does not own the group any more, or time was over before anything was sent) are *lost*;
//! the others were *tried*.
//!
//! | tried copies | result |
//! |---|---|
//! | none | gravest of: cancelled, timed out, unreachable, not owner |
//! | all stored or present, at least one stored | stored (lost copies make the mirror degraded, not failed) |
//! | all present | present |
//! | any other | gravest of: unknown, corrupt, busy, refused |
//!
//! So *stored* and *present* promise a block on every copy that could be tried; *busy* and
//! *refused* may leave the block on some copies, and *unknown* says nothing about any.
//!
//! **Deletes** go everywhere. A node that could not be asked may still hold the block, so what
//! went wrong outweighs success: cancelled, timed out, unreachable, busy, refused, hit, miss. A
//! node that is not owner any more answers nothing about the block and is passed over.

use holdfast_wire::KeyStatus;

/// The set of statuses that nodes gave for one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen(u16);

impl Seen {
    pub(crate) fn add(&mut self, status: KeyStatus) {
        self.0 |= 1 << status as u8;
    }

    fn has(self, status: KeyStatus) -> bool {
        self.0 & (1 << status as u8) != 0
    }

    /// What stays true when every node is asked once more: a copy was stored, or removed.
    pub(crate) fn done(self) -> Self {
        Self(self.0 & (1 << KeyStatus::Stored as u8 | 1 << KeyStatus::Hit as u8))
    }

    /// Whether nobody said anything but that a block is not there.
    pub(crate) fn only_misses(self) -> bool {
        self.0 & !(1 << KeyStatus::Miss as u8) == 0
    }

    fn gravest(self, order: &[KeyStatus], otherwise: KeyStatus) -> KeyStatus {
        order
            .iter()
            .copied()
            .find(|status| self.has(*status))
            .unwrap_or(otherwise)
    }

    /// Of a get, exists, stat or pin.
    pub(crate) fn read(self) -> KeyStatus {
        use KeyStatus::{
            Busy, Cancelled, Corrupt, Hit, Miss, NotOwner, Refused, TimedOut, Unreachable,
        };
        let order = [
            Hit,
            Cancelled,
            TimedOut,
            Unreachable,
            NotOwner,
            Busy,
            Refused,
            Corrupt,
            Miss,
        ];
        self.gravest(&order, Unreachable)
    }

    /// Of a put.
    pub(crate) fn put(self) -> KeyStatus {
        use KeyStatus::{
            Busy, Cancelled, Corrupt, NotOwner, Present, Refused, Stored, TimedOut, Unknown,
            Unreachable,
        };
        let order = [
            Unknown,
            Corrupt,
            Busy,
            Refused,
            Stored,
            Present,
            Cancelled,
            TimedOut,
            Unreachable,
            NotOwner,
        ];
        self.gravest(&order, Unreachable)
    }

    /// Of a delete.
    pub(crate) fn delete(self) -> KeyStatus {
        use KeyStatus::{Busy, Cancelled, Hit, Miss, NotOwner, Refused, TimedOut, Unreachable};
        let order = [
            Cancelled,
            TimedOut,
            Unreachable,
            Busy,
            Refused,
            Hit,
            Miss,
            NotOwner,
        ];
        self.gravest(&order, Unreachable)
    }

    /// Whether a put was answered stored or present by some copies and not tried on others.
    pub(crate) fn degraded(self) -> bool {
        use KeyStatus::{NotOwner, Present, Stored, TimedOut, Unreachable};
        (self.has(Stored) || self.has(Present))
            && (self.has(Unreachable) || self.has(NotOwner) || self.has(TimedOut))
    }
}

#[cfg(test)]
mod tests {
    use KeyStatus::{
        Busy, Cancelled, Corrupt, Hit, Miss, NotOwner, Present, Refused, Stored, TimedOut, Unknown,
        Unreachable,
    };

    use super::*;

    fn seen(statuses: &[KeyStatus]) -> Seen {
        let mut seen = Seen::default();
        for status in statuses {
            seen.add(*status);
        }
        seen
    }

    #[test]
    fn put_table() {
        let table: &[(&[KeyStatus], KeyStatus)] = &[
            (&[Stored, Stored], Stored),
            (&[Stored, Present], Stored),
            (&[Present, Present], Present),
            (&[Stored, Unreachable], Stored),
            (&[Present, Unreachable], Present),
            (&[Stored, NotOwner], Stored),
            (&[Stored, TimedOut], Stored),
            (&[Stored, Busy], Busy),
            (&[Stored, Refused], Refused),
            (&[Busy, Refused], Busy),
            (&[Stored, Unknown], Unknown),
            (&[Unknown, Unreachable], Unknown),
            (&[Stored, Corrupt], Corrupt),
            (&[Busy, Unreachable], Busy),
            (&[Unreachable, NotOwner], Unreachable),
            (&[NotOwner, NotOwner], NotOwner),
            (&[TimedOut, Unreachable], TimedOut),
            (&[Cancelled, TimedOut], Cancelled),
            (&[], Unreachable),
        ];
        for (statuses, expected) in table {
            assert_eq!(seen(statuses).put(), *expected, "{statuses:?}");
        }
    }

    #[test]
    fn read_table() {
        let table: &[(&[KeyStatus], KeyStatus)] = &[
            (&[Miss, Hit], Hit),
            (&[Unreachable, Hit], Hit),
            (&[Miss, Miss], Miss),
            (&[Miss, Unreachable], Unreachable),
            (&[Unreachable, TimedOut], TimedOut),
            (&[Corrupt, Miss], Corrupt),
            (&[NotOwner, Miss], NotOwner),
            (&[], Unreachable),
        ];
        for (statuses, expected) in table {
            assert_eq!(seen(statuses).read(), *expected, "{statuses:?}");
        }
    }

    #[test]
    fn delete_table() {
        let table: &[(&[KeyStatus], KeyStatus)] = &[
            (&[Hit, Miss], Hit),
            (&[Miss, Miss], Miss),
            (&[Hit, Unreachable], Unreachable),
            (&[Hit, TimedOut], TimedOut),
            (&[Hit, NotOwner], Hit),
            (&[NotOwner], NotOwner),
        ];
        for (statuses, expected) in table {
            assert_eq!(seen(statuses).delete(), *expected, "{statuses:?}");
        }
    }

    #[test]
    fn what_was_done_outlasts_another_try() {
        assert_eq!(seen(&[Stored, NotOwner]).done(), seen(&[Stored]));
        assert_eq!(seen(&[Hit, NotOwner, Miss]).done(), seen(&[Hit]));
        assert_eq!(seen(&[Present, Unreachable]).done(), seen(&[]));
    }

    #[test]
    fn a_lost_copy_is_noticed() {
        assert!(seen(&[Stored, Unreachable]).degraded());
        assert!(!seen(&[Stored, Present]).degraded());
        assert!(!seen(&[Unreachable]).degraded());
    }
}
