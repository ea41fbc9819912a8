use std::collections::HashMap;
use std::sync::Arc;

use holdfast_engine::SpaceSpec;
use holdfast_wire::limits::SPACES_PER_CONNECTION_MAX;
use holdfast_wire::{AnswerStatus, Ticket, TicketKind, TransportKind};

use crate::budget::Budget;
use crate::shared::{Seat, Shared, TenantBudgets};

/// Why a request is refused as a whole: a status and words for a human.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) status: AnswerStatus,
    pub(crate) text: String,
}

impl Denied {
    pub(crate) fn new(status: AnswerStatus, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

/// In whose name a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Tenant(u32),
    Node(u64),
}

struct Binding {
    spec: SpaceSpec,
    copies: u8,
    expires_at_s: u64,
}

/// What a connection's tickets established.
pub(crate) struct Session {
    pub(crate) caller: Caller,
    pub(crate) transport: TransportKind,
    pub(crate) tenant: Arc<TenantBudgets>,
    /// Payload granted to this connection and not yet delivered.
    pub(crate) grants: Arc<Budget>,
    /// Blocks held in place by its queued answers.
    pub(crate) pins: Arc<Budget>,
    expires_at_s: u64,
    spaces: HashMap<u32, Binding>,
    _seat: Seat,
}

impl Session {
    /// The session that a tenant or node ticket opens.
    pub(crate) fn open(
        shared: &Shared,
        ticket: &Ticket,
        transport: TransportKind,
    ) -> Result<Self, Denied> {
        let caller = match ticket.kind {
            TicketKind::Tenant => Caller::Tenant(ticket.tenant),
            TicketKind::Node => Caller::Node(ticket.node),
            TicketKind::Space => {
                return Err(Denied::new(
                    AnswerStatus::Unauthenticated,
                    "a space ticket opens no connection; say hello with a tenant ticket",
                ));
            }
        };
        if transport == TransportKind::SharedMemory && matches!(caller, Caller::Node(_)) {
            return Err(Denied::new(
                AnswerStatus::PermissionDenied,
                "a node ticket reads over a stream, not over shared memory",
            ));
        }
        let config = &shared.config;
        let seat = shared
            .take_seat()
            .ok_or_else(|| Denied::new(AnswerStatus::Busy, shared.full_text()))?;
        Ok(Self {
            caller,
            transport,
            tenant: shared.tenant(ticket.tenant),
            grants: Budget::new(config.grant_bytes_max),
            pins: Budget::new(config.pin_bytes_max / 2),
            expires_at_s: ticket.expires_at_s,
            spaces: HashMap::new(),
            _seat: seat,
        })
    }

    /// Takes a further ticket: a space's, or a newer one of the connection's own kind.
    pub(crate) fn bind(&mut self, shared: &Shared, ticket: &Ticket) -> Result<(), Denied> {
        let caller = match ticket.kind {
            TicketKind::Node => Caller::Node(ticket.node),
            TicketKind::Tenant | TicketKind::Space => Caller::Tenant(ticket.tenant),
        };
        if caller != self.caller {
            return Err(Denied::new(
                AnswerStatus::PermissionDenied,
                format!(
                    "the ticket is of {caller:?}, the connection of {:?}",
                    self.caller
                ),
            ));
        }
        if ticket.kind != TicketKind::Space {
            self.expires_at_s = self.expires_at_s.max(ticket.expires_at_s);
            return Ok(());
        }
        self.bind_space(shared, ticket)
    }

    fn bind_space(&mut self, shared: &Shared, ticket: &Ticket) -> Result<(), Denied> {
        let spec = SpaceSpec {
            tenant: ticket.tenant,
            space: ticket.space,
            block_bytes: ticket.block_bytes,
            ttl_s: ticket.ttl_s,
            priority: ticket.priority,
        };
        if shared.is_dropped(spec.space) {
            return Err(dropped(spec.space));
        }
        let known = self.spaces.get(&spec.space);
        if known.is_none() && self.spaces.len() >= SPACES_PER_CONNECTION_MAX {
            return Err(Denied::new(
                AnswerStatus::Busy,
                format!("{SPACES_PER_CONNECTION_MAX} spaces are bound on this connection"),
            ));
        }
        if let Some(known) = known
            && known.spec.block_bytes != spec.block_bytes
        {
            return Err(Denied::new(
                AnswerStatus::PermissionDenied,
                format!(
                    "space {} is bound with blocks of {} bytes, the ticket says {}",
                    spec.space, known.spec.block_bytes, spec.block_bytes
                ),
            ));
        }
        let binding = Binding {
            spec,
            copies: ticket.copies.max(1),
            expires_at_s: ticket.expires_at_s,
        };
        self.spaces.insert(spec.space, binding);
        Ok(())
    }

    /// Checks that the connection's own ticket has not ended.
    pub(crate) fn check_alive(&self, now_s: u64) -> Result<(), Denied> {
        if now_s < self.expires_at_s {
            return Ok(());
        }
        Err(Denied::new(
            AnswerStatus::Unauthenticated,
            format!(
                "the connection's ticket expired {} s ago; bind a new one",
                now_s - self.expires_at_s
            ),
        ))
    }

    /// The space that a tenant's request names.
    pub(crate) fn space(&self, shared: &Shared, space: u32) -> Result<SpaceSpec, Denied> {
        let now_s = shared.clock.wall_s();
        self.check_alive(now_s)?;
        let Some(binding) = self.spaces.get(&space) else {
            return Err(match self.caller {
                Caller::Tenant(_) => Denied::new(
                    AnswerStatus::UnknownSpace,
                    format!("space {space} is not bound on this connection"),
                ),
                Caller::Node(_) => Denied::new(
                    AnswerStatus::PermissionDenied,
                    "a node ticket allows list and get only",
                ),
            });
        };
        if now_s >= binding.expires_at_s {
            return Err(Denied::new(
                AnswerStatus::Unauthenticated,
                format!(
                    "the ticket for space {space} expired {} s ago; bind a new one",
                    now_s - binding.expires_at_s
                ),
            ));
        }
        if shared.is_dropped(space) {
            return Err(dropped(space));
        }
        Ok(binding.spec)
    }

    /// How many nodes hold each block of a space, as far as its caller's ticket tells: nodes ask
    /// for any copy.
    pub(crate) fn copies(&self, space: u32) -> u8 {
        self.spaces
            .get(&space)
            .map_or(u8::MAX, |binding| binding.copies)
    }

    /// Checks a get, which nodes may do on any space.
    pub(crate) fn check_readable(&self, shared: &Shared, space: u32) -> Result<(), Denied> {
        match self.caller {
            Caller::Node(_) => self.check_alive(shared.clock.wall_s()),
            Caller::Tenant(_) => self.space(shared, space).map(|_| ()),
        }
    }

    /// Checks a list, which only nodes may do.
    pub(crate) fn check_node(&self, shared: &Shared) -> Result<(), Denied> {
        match self.caller {
            Caller::Node(_) => self.check_alive(shared.clock.wall_s()),
            Caller::Tenant(_) => Err(Denied::new(
                AnswerStatus::PermissionDenied,
                "list needs a node ticket",
            )),
        }
    }
}

fn dropped(space: u32) -> Denied {
    Denied::new(
        AnswerStatus::UnknownSpace,
        format!("space {space} has been deleted"),
    )
}
