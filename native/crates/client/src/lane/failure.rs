use std::io;

use holdfast_wire::{AnswerStatus, WireError};

/// Why a lane ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaneFailure {
    #[error("the node closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the node sent bytes that are not of the protocol: {0}")]
    Wire(#[from] WireError),
    #[error("the node broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("the node refused ({status:?}): {text}")]
    Refused { status: AnswerStatus, text: String },
    #[error("a view of the node's memory cannot be mapped: {0}")]
    View(io::Error),
    #[error("the node announced memory that could shrink, so that mapping it is not safe")]
    UnsafeView,
    #[error("the node did not greet within {0} ms")]
    Greeting(u32),
    #[error("the node answered nothing until the deadline")]
    Silent,
    #[error("given up with an operation's payload half moved")]
    MidPayload,
    #[error("the cluster map gives the node another address, or names it no more")]
    Replaced,
    #[error("the client was closed")]
    ClientClosed,
}

impl LaneFailure {
    /// Whether this client has closed the lane for its own sake: nobody has failed, and what else
    /// was on the lane is asked for again.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::MidPayload)
    }

    /// Whether shared memory is what failed, so that TCP is worth a try.
    pub(crate) fn of_shared_memory(&self) -> bool {
        matches!(self, Self::View(_) | Self::UnsafeView)
    }
}
