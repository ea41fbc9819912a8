use std::collections::HashMap;

use holdfast_engine::{PutKey, Reservation, SpaceSpec};
use holdfast_wire::{KeyStatus, Verdict};

use crate::budget::Charge;
use crate::connection::Context;
use crate::grant::{AdmittedPut, WantedBlock};
use crate::outgoing::Ends;
use crate::session::Session;

/// Looks at every key of a put: refuses what this node does not own, finds what is stored, and
/// takes room for the rest as far as the connection's and the tenant's bounds allow. Returns one
/// verdict a key beside it. `writes` gives the keys; those with `None` are refused.
pub(super) fn admit(
    session: &Session,
    spec: &SpaceSpec,
    write_id: u32,
    writes: impl Iterator<Item = Option<PutKey>>,
    ends: Ends,
    context: &mut Context<'_>,
) -> (AdmittedPut, Vec<Verdict>) {
    let mut admission = Admission {
        verdicts: Vec::new(),
        wanted: Vec::new(),
        charge: Charge::none(&session.grants, &session.tenant.grants),
    };
    let (route, copies) = (context.shared.route(), session.copies(spec.space));
    let too_large = u64::from(spec.block_bytes)
        > session
            .grants
            .limit_bytes()
            .min(session.tenant.grants.limit_bytes());
    let scratch = &mut *context.scratch;
    scratch.writes.clear();
    scratch.write_keys.clear();
    for (key, write) in writes.enumerate() {
        admission.verdicts.push(match write {
            None => Verdict::Refused,
            Some(write) if !route.owns(&write.id, copies) => Verdict::NotOwner,
            Some(_) if too_large => Verdict::Refused,
            Some(write) => {
                scratch.writes.push(write);
                scratch.write_keys.push(key as u32);
                Verdict::Busy // Until it is known better.
            }
        });
    }
    admission.reserve(spec, write_id, context);
    admission.find_stored(spec.space, context);
    let duplicates = admission.find_duplicates(context);
    let statuses = admission.verdicts.iter().map(status_of).collect();
    let put = AdmittedPut {
        ends,
        space: spec.space,
        copies,
        statuses,
        duplicates,
        wanted: admission.wanted,
        _charge: admission.charge,
    };
    (put, admission.verdicts)
}

struct Admission {
    verdicts: Vec<Verdict>,
    wanted: Vec<WantedBlock>,
    charge: Charge,
}

impl Admission {
    /// Reserves in as few calls as the bounds allow; what is beyond them stays busy.
    fn reserve(&mut self, spec: &SpaceSpec, write_id: u32, context: &mut Context<'_>) {
        let now_ms = context.now_ms();
        let scratch = &mut *context.scratch;
        let block_bytes = u64::from(spec.block_bytes);
        let mut next = 0;
        while next < scratch.writes.len() {
            let taken = self.charge.take(block_bytes, scratch.writes.len() - next);
            if taken == 0 {
                return;
            }
            let keys = next..next + taken;
            context.shared.engine.reserve(
                spec,
                &scratch.writes[keys.clone()],
                write_id,
                now_ms,
                &mut scratch.reservations,
            );
            let before = self.wanted.len();
            for (index, reservation) in keys.clone().zip(scratch.reservations.drain(..)) {
                let key = scratch.write_keys[index];
                self.verdicts[key as usize] = match reservation {
                    Reservation::Write(slot) => {
                        let id = scratch.writes[index].id;
                        self.wanted.push(WantedBlock { key, id, slot });
                        Verdict::Want
                    }
                    Reservation::Present => Verdict::Present,
                    Reservation::Busy => Verdict::Busy,
                    Reservation::Refused(_) => Verdict::Refused,
                    Reservation::Duplicate => Verdict::Duplicate,
                };
            }
            let unused = taken - (self.wanted.len() - before);
            self.charge.give_back(unused as u64 * block_bytes);
            next = keys.end;
        }
    }

    /// Of the keys that found no room, those that are stored already need none.
    fn find_stored(&mut self, space: u32, context: &mut Context<'_>) {
        let busy = |key: &u32| self.verdicts[*key as usize] == Verdict::Busy;
        let scratch = &mut *context.scratch;
        if !scratch.write_keys.iter().any(busy) {
            return;
        }
        let ids: Vec<_> = scratch.writes.iter().map(|write| write.id).collect();
        scratch.found.clear();
        scratch.found.resize(ids.len(), false);
        let now_ms = context.now_us / 1000;
        let engine = &context.shared.engine;
        engine.exists(space, &ids, now_ms, &mut scratch.found);
        for (key, found) in scratch.write_keys.iter().zip(&scratch.found) {
            let verdict = &mut self.verdicts[*key as usize];
            if *verdict == Verdict::Busy && *found {
                *verdict = Verdict::Present;
            }
        }
    }

    /// For each duplicate key the first key of the same id.
    fn find_duplicates(&self, context: &Context<'_>) -> Vec<(u32, u32)> {
        if !self.verdicts.contains(&Verdict::Duplicate) {
            return Vec::new();
        }
        let scratch = &context.scratch;
        let mut firsts = HashMap::new();
        let mut duplicates = Vec::new();
        for (key, write) in scratch.write_keys.iter().zip(&scratch.writes) {
            let first = *firsts.entry(write.id).or_insert(*key);
            if self.verdicts[*key as usize] == Verdict::Duplicate {
                duplicates.push((*key, first));
            }
        }
        duplicates
    }
}

fn status_of(verdict: &Verdict) -> KeyStatus {
    match verdict {
        Verdict::Want | Verdict::Duplicate => KeyStatus::Unknown,
        Verdict::Present => KeyStatus::Present,
        Verdict::Busy => KeyStatus::Busy,
        Verdict::Refused => KeyStatus::Refused,
        Verdict::NotOwner => KeyStatus::NotOwner,
    }
}
