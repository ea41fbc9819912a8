//! Reads renew recency where they read. The other chunks of a block, parity most of all, would age
//! and be evicted first, and with them what a lost node could be made up for. So their nodes are
//! told which blocks were read, a few hundred at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_wire::{BlockId, EXISTS_TOUCHES, KeyStatus};

use crate::operation::{OperationKind, Running};
use crate::request::{Request, RequestKind};
use crate::state::State;

/// Blocks that one node is told of at once.
const TOUCH_KEYS: usize = 256;
/// They are told no later than with the first read after this.
const TOUCH_AFTER: Duration = Duration::from_millis(100);

/// Blocks of one space that were read while a node that holds a chunk of them was not asked.
pub(crate) struct Touches {
    node: u64,
    space: u32,
    ids: Vec<BlockId>,
    since: Instant,
}

impl State {
    /// A striped read has ended: nodes that were not asked for what was found are to be told.
    pub(crate) fn note_touches(&mut self, running: &Running) {
        let Some(stripes) = running.stripes.as_ref() else {
            return;
        };
        if running.kind != OperationKind::Get {
            return;
        }
        let map = Arc::clone(&running.map);
        let owners = stripes.scheme.shards().min(map.width);
        let now = Instant::now();
        for (key, status) in running.statuses.iter().enumerate() {
            if *status != KeyStatus::Hit {
                continue;
            }
            let (id, state) = (running.ids[key], stripes.keys[key]);
            for slot in (0..owners).filter(|slot| !state.is_asked(*slot)) {
                let candidate = map.candidate(&id, owners, slot).flatten();
                if let Some(node) = candidate.filter(|node| self.usable(*node)) {
                    self.note_touch((node, running.space), id, now);
                }
            }
        }
        self.send_touches(running, now);
    }

    fn note_touch(&mut self, (node, space): (u64, u32), id: BlockId, now: Instant) {
        let known = |touches: &&mut Touches| touches.node == node && touches.space == space;
        match self.touches.iter_mut().find(known) {
            Some(touches) => touches.ids.push(id),
            None => self.touches.push(Touches {
                node,
                space,
                ids: vec![id],
                since: now,
            }),
        }
    }

    fn send_touches(&mut self, running: &Running, now: Instant) {
        let due = |touches: &mut Touches| {
            touches.ids.len() >= TOUCH_KEYS || now.duration_since(touches.since) >= TOUCH_AFTER
        };
        for touches in self.touches.extract_if(.., due).collect::<Vec<_>>() {
            let mut told = Request::own(RequestKind::Touch, touches.space, running.deadline);
            told.ids = touches.ids;
            told.argument = EXISTS_TOUCHES;
            self.submit_own(touches.node, told);
        }
    }
}
