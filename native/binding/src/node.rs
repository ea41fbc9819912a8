//! The data node.

use std::collections::HashMap;
use std::path::PathBuf;

use holdfast_engine::{EngineConfig, SpaceSpec};
use holdfast_node::{Clock, Identity, Node as Server, NodeConfig, NodeStats, PullRequest};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::errors::NativeError;

create_exception!(
    holdfast_native,
    NodeError,
    NativeError,
    "A data node could not do what was asked; the message says why and what to do."
);

/// A space as `pull` is told of it: tenant, block_bytes, ttl_s, priority, copies.
type SpaceTuple = (u32, u32, u32, u8, u8);

/// A data node's native half. Every call that may wait releases the GIL.
#[pyclass(module = "holdfast_native", frozen)]
pub struct Node(Server);

#[pymethods]
impl Node {
    #[new]
    #[pyo3(signature = (
        *,
        cluster,
        node,
        incarnation,
        arena_bytes,
        extent_bytes = 16 << 20,
        prefault = true,
        huge_pages = true,
        reactors = 1,
        spin_us = 0,
        connections_max = 1024,
        grant_bytes_max = 256 << 20,
        tenant_bytes_in_flight_max = 1 << 30,
        pin_bytes_max = 1 << 30,
        idle_deadline_ms = 300_000,
        fault_injection = false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords of the Python face")]
    fn new(
        py: Python<'_>,
        cluster: &[u8],
        node: u64,
        incarnation: u64,
        arena_bytes: u64,
        extent_bytes: u64,
        prefault: bool,
        huge_pages: bool,
        reactors: u32,
        spin_us: u32,
        connections_max: u32,
        grant_bytes_max: u64,
        tenant_bytes_in_flight_max: u64,
        pin_bytes_max: u64,
        idle_deadline_ms: u32,
        fault_injection: bool,
    ) -> PyResult<Self> {
        let config = NodeConfig {
            identity: Identity {
                cluster: exactly("cluster", cluster)?,
                node,
                incarnation,
            },
            engine: EngineConfig {
                arena_bytes,
                extent_bytes,
                prefault,
                huge_pages,
                ..EngineConfig::default()
            },
            reactors,
            spin_us,
            connections_max,
            grant_bytes_max,
            tenant_bytes_in_flight_max,
            pin_bytes_max,
            idle_deadline_ms,
            fault_injection,
        };
        py.detach(|| Server::new(config, Clock::system()))
            .map(Self)
            .map_err(node_error)
    }

    fn start(&self, py: Python<'_>, tcp_address: &str, unix_path: Option<PathBuf>) -> PyResult<()> {
        py.detach(|| self.0.start(tcp_address, unix_path.as_deref()))
            .map_err(node_error)
    }

    #[getter]
    fn tcp_address(&self) -> PyResult<String> {
        match self.0.tcp_address() {
            Some(address) => Ok(address.to_string()),
            None => Err(NodeError::new_err(
                "the node is not started; call start first",
            )),
        }
    }

    #[getter]
    fn unix_path(&self) -> Option<String> {
        let path = self.0.unix_path()?;
        Some(path.to_string_lossy().into_owned())
    }

    fn set_ticket_keys(&self, keys: Vec<(u64, Vec<u8>)>) -> PyResult<()> {
        let keys: Vec<(u64, [u8; 32])> = keys
            .into_iter()
            .map(|(id, key)| Ok((id, exactly("public key", &key)?)))
            .collect::<PyResult<_>>()?;
        self.0.set_ticket_keys(&keys);
        Ok(())
    }

    fn set_route(&self, epoch: u64, group_count: u32, owned: &[u8]) -> PyResult<()> {
        self.0
            .set_route(epoch, group_count, owned)
            .map_err(node_error)
    }

    fn retain_groups(&self, py: Python<'_>, group_count: u32, keep: &[u8]) -> PyResult<bool> {
        py.detach(|| self.0.retain_groups(group_count, keep))
            .map_err(node_error)
    }

    fn drop_space(&self, py: Python<'_>, space: u32) {
        py.detach(|| self.0.drop_space(space));
    }

    fn set_tenant_limit(&self, tenant: u32, limit_bytes: Option<u64>) {
        self.0.set_tenant_limit(tenant, limit_bytes);
    }

    fn sweep(&self, py: Python<'_>) -> usize {
        py.detach(|| self.0.sweep())
    }

    fn scrub(&self, py: Python<'_>, cursor: u64, bytes_max: u64) -> (u64, u64, u64, u64) {
        let scrubbed = py.detach(|| self.0.scrub(cursor, bytes_max));
        (
            scrubbed.next,
            scrubbed.blocks,
            scrubbed.bytes,
            scrubbed.corrupt,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "agreed with the Python side")]
    fn pull(
        &self,
        py: Python<'_>,
        peer_address: String,
        peer_node: u64,
        ticket: &[u8],
        group_count: u32,
        groups: Vec<u8>,
        cursor: u64,
        bytes_max: u64,
        deadline_ms: u32,
        spaces: &Bound<'_, PyMapping>,
    ) -> PyResult<(u64, u64, u64)> {
        let request = PullRequest {
            peer_address,
            peer_node,
            ticket: exactly("ticket", ticket)?,
            group_count,
            groups,
            cursor,
            bytes_max,
            deadline_ms,
            spaces: space_specs(spaces)?,
        };
        let result = py.detach(|| self.0.pull(&request)).map_err(node_error)?;
        Ok((result.next_cursor, result.blocks, result.bytes))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| self.0.stats());
        stats_dict(py, &stats)
    }

    fn flip_bit(&self, space: u32, block_id: &[u8], bit: u64) -> PyResult<bool> {
        let id = exactly("block id", block_id)?;
        self.0.flip_bit(space, &id, bit).map_err(node_error)
    }

    fn stop(&self, py: Python<'_>, deadline_ms: u32) {
        py.detach(|| self.0.stop(deadline_ms));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function value")]
fn node_error(error: holdfast_node::NodeError) -> PyErr {
    NodeError::new_err(error.to_string())
}

fn exactly<const N: usize>(what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| {
        PyValueError::new_err(format!(
            "{what} has {} bytes, it must have {N}",
            bytes.len()
        ))
    })
}

fn space_specs(spaces: &Bound<'_, PyMapping>) -> PyResult<HashMap<u32, SpaceSpec>> {
    let mut specs = HashMap::new();
    for item in spaces.items()?.iter() {
        let (space, tuple): (u32, SpaceTuple) = item.extract()?;
        // Which copies a node keeps is decided by the groups that it asks for.
        let (tenant, block_bytes, ttl_s, priority, _copies) = tuple;
        let spec = SpaceSpec {
            tenant,
            space,
            block_bytes,
            ttl_s,
            priority,
        };
        specs.insert(space, spec);
    }
    Ok(specs)
}

fn stats_dict<'py>(py: Python<'py>, stats: &NodeStats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in &stats.counters {
        dict.set_item(name, value)?;
    }
    for (name, value) in &stats.requests {
        dict.set_item(format!("requests_{name}"), value)?;
    }
    let latency = PyDict::new(py);
    for (name, buckets) in &stats.latency {
        latency.set_item(name, buckets.as_slice())?;
    }
    dict.set_item("latency_us_log2", latency)?;
    dict.set_item("connections", stats.connections)?;
    dict.set_item("epoch", stats.epoch)?;
    dict.set_item("granted_bytes", stats.granted_bytes)?;
    dict.set_item("queued_bytes", stats.pinned_bytes)?;
    let engine = &stats.engine;
    let gauges = [
        ("capacity_bytes", engine.capacity_bytes),
        ("used_bytes", engine.used_bytes),
        ("blocks", engine.blocks),
        ("blocks_in_flight", engine.blocks_in_flight),
        ("extents", u64::from(engine.extents)),
        ("extents_free", u64::from(engine.extents_free)),
        ("hits", engine.hits),
        ("misses", engine.misses),
        ("stored", engine.stored),
        ("evictions", engine.evictions),
        ("expired", engine.expired),
        ("corrupt", engine.corrupt),
        ("deleted", engine.deleted),
        ("refused", engine.refused),
        ("busy", engine.busy),
        ("aborted", engine.aborted),
        ("extents_moved", engine.extents_moved),
        ("pins", engine.pins),
        ("timed_pin_bytes", engine.pinned_bytes),
        ("index_bytes", engine.index_bytes),
    ];
    for (name, value) in gauges {
        dict.set_item(name, value)?;
    }
    let tenants = PyDict::new(py);
    for tenant in &engine.tenants {
        tenants.set_item(tenant.tenant, tenant.used_bytes)?;
    }
    dict.set_item("tenants", tenants)?;
    Ok(dict)
}
