use holdfast_wire::AnswerStatus;
use holdfast_wire::limits::HELLO_DEADLINE_MS;

use super::{Connection, Context, End, Phase, Turn};
use crate::session::{Caller, Denied};

/// How long a request may overrun its deadline before its connection is cut, milliseconds.
const GRACE_MS: u64 = 250;
/// How often a connection looks for views that are no longer its tenant's, milliseconds.
const VIEWS_CHECK_MS: u64 = 1000;

impl Connection {
    /// Looks at every deadline of this connection.
    pub(crate) fn tick(&mut self, context: &mut Context<'_>) -> Turn {
        match self.check_deadlines(context) {
            Ok(()) => self.next_turn(),
            Err(end) => self.end(end, context),
        }
    }

    fn check_deadlines(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        let now_ms = context.now_ms();
        match self.phase {
            Phase::Greeting(until_ms) if now_ms >= until_ms => {
                let text = format!("no hello within {HELLO_DEADLINE_MS} ms");
                return Err(Denied::new(AnswerStatus::DeadlineExceeded, text).into());
            }
            Phase::Farewell(until_ms) if now_ms >= until_ms => return Err(End::Gone),
            Phase::Greeting(_) | Phase::Farewell(_) => return Ok(()),
            Phase::Open(_) => {}
        }
        self.check_readers(now_ms, context)?;
        self.check_writers(now_ms, context)?;
        self.retire_views(now_ms, context);
        let idle = self.requests_in_flight == 0 && self.exchange.outgoing.is_empty();
        if idle && context.shared.is_stopping() {
            return Err(Denied::new(AnswerStatus::Unavailable, "the node is shutting down").into());
        }
        let idle_ms_max = u64::from(context.shared.config.idle_deadline_ms);
        if idle && now_ms.saturating_sub(self.active_ms) >= idle_ms_max {
            context.counters.idle_closed.add(1);
            let text = format!("nothing was asked for {idle_ms_max} ms");
            return Err(Denied::new(AnswerStatus::Unavailable, text).into());
        }
        Ok(())
    }

    /// Answers on their way out: what is overdue and not begun shrinks to a word, and a peer
    /// that does not take what is begun is cut off.
    fn check_readers(&mut self, now_ms: u64, context: &Context<'_>) -> Result<(), End> {
        let outgoing = &mut self.exchange.outgoing;
        if outgoing
            .first_expires_ms()
            .is_some_and(|expires_ms| now_ms >= expires_ms.saturating_add(GRACE_MS))
        {
            context.counters.readers_cut.add(1);
            return Err(End::ReaderCut);
        }
        let expired = outgoing.expire(now_ms, context.shared.route().epoch());
        context.counters.requests_expired.add(expired as u64);
        Ok(())
    }

    /// Puts under way: a peer that does not deliver is cut off, a copy that takes too long ends.
    fn check_writers(&mut self, now_ms: u64, context: &Context<'_>) -> Result<(), End> {
        let waiting = self.exchange.grants.values().chain(&self.receiving);
        for grant in waiting {
            if now_ms >= grant.put.ends.expires_ms.saturating_add(GRACE_MS) {
                context.counters.writers_cut.add(1);
                let text = format!(
                    "the payload of request {} was not here within its deadline",
                    grant.put.ends.request
                );
                return Err(Denied::new(AnswerStatus::DeadlineExceeded, text).into());
            }
        }
        for _ in 0..self.exchange.copies.len() {
            let Some(copy) = self.exchange.copies.pop_front() else {
                break;
            };
            if now_ms < copy.put.ends.expires_ms {
                self.exchange.copies.push_back(copy);
                continue;
            }
            let text = "the time of this put was over before its blocks were copied";
            let denied = Denied::new(AnswerStatus::DeadlineExceeded, text);
            self.exchange.refuse(copy.put.ends, &denied, context);
        }
        Ok(())
    }

    fn retire_views(&mut self, now_ms: u64, context: &Context<'_>) {
        if now_ms < self.views_checked_ms + VIEWS_CHECK_MS {
            return;
        }
        self.views_checked_ms = now_ms;
        if let Phase::Open(session) = &self.phase
            && let Caller::Tenant(tenant) = session.caller
        {
            let retired = self.exchange.views.retire(&context.shared.engine, tenant);
            for view in retired {
                self.exchange.announce_retired(view, context);
            }
        }
    }
}
