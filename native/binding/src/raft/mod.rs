//! The Raft core.

pub mod effects;
pub mod errors;
pub mod log;
pub mod status;
pub mod values;

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_consensus::{Change, ChangeKind, Core, CoreError, Role};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use effects::RaftEffects;
use errors::core_error;
use status::{RaftCompaction, RaftStatus};
use values::{RaftConfig, RaftConfiguration, RaftRecovered};

/// One member's Raft state machine. Its calls are short and keep the GIL.
#[pyclass(module = "holdfast_native", frozen)]
pub struct RaftCore(Mutex<Core>);

impl RaftCore {
    fn with<T>(&self, call: impl FnOnce(&mut Core) -> T) -> T {
        // The core stops itself when an assertion fails, so a poisoned lock adds nothing.
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn attempt<T>(&self, call: impl FnOnce(&mut Core) -> Result<T, CoreError>) -> PyResult<T> {
        self.with(call).map_err(core_error)
    }
}

#[pymethods]
impl RaftCore {
    #[new]
    #[pyo3(signature = (config, recovered, *, applied, seed))]
    fn new(
        config: &RaftConfig,
        recovered: &RaftRecovered,
        applied: u64,
        seed: u64,
    ) -> PyResult<Self> {
        Core::new(&config.0, recovered.0.clone(), applied, seed)
            .map(|core| Self(Mutex::new(core)))
            .map_err(core_error)
    }

    fn tick(&self) -> PyResult<()> {
        self.attempt(Core::tick)
    }

    fn step(&self, message: &[u8]) -> PyResult<()> {
        self.attempt(|core| core.step(message))
    }

    fn propose(&self, context: Vec<u8>, data: Vec<u8>) -> PyResult<(u64, u64)> {
        let position = self.attempt(|core| core.propose(context, data))?;
        Ok((position.index, position.term))
    }

    #[pyo3(signature = (changes, *, context = Vec::new(), joint = false))]
    fn propose_configuration_change(
        &self,
        changes: Vec<(String, u64)>,
        context: Vec<u8>,
        joint: bool,
    ) -> PyResult<(u64, u64)> {
        let changes = changes
            .into_iter()
            .map(|(kind, member_id)| {
                Ok(Change {
                    kind: change_kind(&kind)?,
                    member_id,
                })
            })
            .collect::<PyResult<Vec<Change>>>()?;
        let position =
            self.attempt(|core| core.propose_configuration_change(&changes, context, joint))?;
        Ok((position.index, position.term))
    }

    fn apply_configuration_change(&self, index: u64) -> PyResult<RaftConfiguration> {
        self.attempt(|core| core.apply_configuration_change(index))
            .map(RaftConfiguration)
    }

    fn read_index(&self, context: &[u8]) -> PyResult<()> {
        self.attempt(|core| core.read_index(context))
    }

    fn transfer_leader(&self, member_id: u64) -> PyResult<()> {
        self.attempt(|core| core.transfer_leader(member_id))
    }

    fn campaign(&self) -> PyResult<()> {
        self.attempt(Core::campaign)
    }

    fn set_election_timeout(&self, ticks: u64) -> PyResult<()> {
        self.attempt(|core| core.set_election_timeout(ticks))
    }

    fn report_unreachable(&self, member_id: u64) -> PyResult<()> {
        self.attempt(|core| core.report_unreachable(member_id))
    }

    fn report_snapshot(&self, member_id: u64, ok: bool) -> PyResult<()> {
        self.attempt(|core| core.report_snapshot(member_id, ok))
    }

    fn provide_snapshot(&self, index: u64, data: Vec<u8>) -> PyResult<()> {
        self.attempt(|core| core.provide_snapshot(index, data))
    }

    fn withdraw_snapshot(&self) -> PyResult<()> {
        self.attempt(Core::withdraw_snapshot)
    }

    fn compact(&self, index: u64) -> PyResult<RaftCompaction> {
        self.attempt(|core| core.compact(index)).map(RaftCompaction)
    }

    fn ready(&self) -> PyResult<Option<RaftEffects>> {
        let effects = self.attempt(Core::ready)?;
        Ok(effects.map(|effects| RaftEffects(Arc::new(effects))))
    }

    fn advance(&self, number: u64) -> PyResult<()> {
        self.attempt(|core| core.advance(number))
    }

    fn advance_apply(&self, index: u64) -> PyResult<()> {
        self.attempt(|core| core.advance_apply(index))
    }

    fn has_ready(&self) -> bool {
        self.with(|core| core.has_ready())
    }

    fn configuration(&self) -> RaftConfiguration {
        RaftConfiguration(self.with(|core| core.configuration()))
    }

    fn status(&self) -> RaftStatus {
        RaftStatus(self.with(|core| core.status()))
    }

    #[getter]
    fn is_leader(&self) -> bool {
        self.with(|core| core.role()) == Role::Leader
    }

    #[getter]
    fn leader(&self) -> Option<u64> {
        self.with(|core| core.leader())
    }

    #[getter]
    fn term(&self) -> u64 {
        self.with(|core| core.term())
    }

    #[getter]
    fn applied(&self) -> u64 {
        self.with(|core| core.applied())
    }
}

fn change_kind(name: &str) -> PyResult<ChangeKind> {
    match name {
        "add_voter" => Ok(ChangeKind::AddVoter),
        "add_learner" => Ok(ChangeKind::AddLearner),
        "remove" => Ok(ChangeKind::Remove),
        _ => Err(PyValueError::new_err(format!(
            "change {name:?} is none of add_voter, add_learner, remove"
        ))),
    }
}
