use crate::WireError;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident : $repr:ty, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr($repr)]
        pub enum $name { $($(#[$vdoc])* $variant = $value),+ }

        impl TryFrom<$repr> for $name {
            type Error = WireError;
            fn try_from(value: $repr) -> Result<Self, WireError> {
                match value {
                    $($value => Ok(Self::$variant),)+
                    _ => Err(WireError::Unknown { what: $what, value: u64::from(value) }),
                }
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum! {
    /// What became of a whole request.
    AnswerStatus: u16, "answer status" {
        /// Done; per-key results follow in the body.
        Ok = 0,
        /// The frame or a field of it is not of this protocol; the connection ends.
        Malformed = 1,
        /// No common protocol version; the text names both ranges.
        VersionSkew = 2,
        /// The node belongs to another cluster; the text names both ids.
        WrongCluster = 3,
        /// The node behind this address has another id; the text names both.
        WrongNode = 4,
        /// The ticket is missing, forged, expired, or of another kind.
        Unauthenticated = 5,
        /// The ticket is good but does not cover this space or operation.
        PermissionDenied = 6,
        /// Too much in flight on this connection or tenant; try again later.
        Busy = 7,
        /// The time that the request gave was over before it was done.
        DeadlineExceeded = 8,
        /// The node has a newer cluster map, in which it does not own these keys.
        StaleEpoch = 9,
        /// The space is not bound on this connection.
        UnknownSpace = 10,
        /// The node is shutting down.
        Unavailable = 11,
        /// The node failed; the text says how.
        Internal = 12,
    }
}

wire_enum! {
    /// What became of one key.
    KeyStatus: u8, "key status" {
        /// get, match: not stored.
        Miss = 0,
        /// get: the bytes follow. exists, delete, pin: done.
        Hit = 1,
        /// put: stored by this call.
        Stored = 2,
        /// put: a committed block of this key was there already.
        Present = 3,
        /// put: another put of this key is under way, or no room just now. get: no buffers now.
        Busy = 4,
        /// put: never possible as asked (quota, size, not owner).
        Refused = 5,
        /// put: it may or may not have been stored (the connection ended before the answer).
        Unknown = 6,
        /// get: bytes arrived that do not match their checksum. put: likewise, at the node.
        Corrupt = 7,
        /// This node does not own the key's group in its newer map.
        NotOwner = 8,
        /// No answer within the deadline. For a put see `Unknown`.
        TimedOut = 9,
        /// No node that could hold it can be reached.
        Unreachable = 10,
        /// The call was cancelled before this key was done.
        Cancelled = 11,
    }
}

wire_enum! {
    /// A node's word on one key of a put before any payload moves.
    Verdict: u8, "put verdict" {
        /// Send this block's payload.
        Want = 0,
        /// Already stored: no payload.
        Present = 1,
        /// Not now: no payload.
        Busy = 2,
        /// Not as asked: no payload.
        Refused = 3,
        /// The node does not own this key's group: no payload.
        NotOwner = 4,
        /// Named earlier in the same request; has that one's result: no payload.
        Duplicate = 5,
    }
}
