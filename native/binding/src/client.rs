//! The client, as Python sees it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_client::{
    Client as NativeClient, ClientConfig, ClusterMap, NodeEntry, OperationKind, Request,
    TransportChoice,
};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::client_errors::raised;
use crate::keys::{HeldKeys, sixteen};
use crate::operation::Operation;
use crate::owners::release_left_behind;
use crate::segments::Segments;

/// (id, incarnation, tcp address, unix path or '', boot id, is up)
type NodeTuple = (u64, u64, String, String, String, bool);

/// Lanes to data nodes, routing by the cluster map, batches and deadlines.
#[pyclass(frozen, module = "holdfast_native")]
pub struct Client {
    native: NativeClient,
}

/// What differs between the calls on keys.
struct Call<'a> {
    kind: OperationKind,
    space: u32,
    segments: Option<&'a Segments>,
    first_position: u32,
    duration_ms: u32,
    deadline_ms: u64,
    notify: bool,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (
        *,
        cluster,
        client,
        lanes = 2,
        spin_us = 0,
        operations_max = 4096,
        bytes_in_flight_max = 4 << 30,
        connect_timeout_ms = 1000,
        retry_backoff_ms_min = 50,
        retry_backoff_ms_max = 2000,
        boot_id = "",
        transport = "auto",
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        cluster: &[u8],
        client: &[u8],
        lanes: usize,
        spin_us: u32,
        operations_max: usize,
        bytes_in_flight_max: u64,
        connect_timeout_ms: u32,
        retry_backoff_ms_min: u32,
        retry_backoff_ms_max: u32,
        boot_id: &str,
        transport: &str,
    ) -> PyResult<Self> {
        let transport = match transport {
            "auto" => TransportChoice::Auto,
            "tcp" => TransportChoice::Tcp,
            "shm" => TransportChoice::SharedMemory,
            other => {
                return Err(PyValueError::new_err(format!(
                    "transport is {other:?}; it must be 'auto', 'tcp' or 'shm'"
                )));
            }
        };
        // Keys of the standard hasher are random for each process and each use.
        let seed = RandomState::new().build_hasher().finish();
        let config = ClientConfig {
            cluster: sixteen("cluster", cluster)?,
            client: sixteen("client", client)?,
            lanes,
            spin_us,
            operations_max,
            bytes_in_flight_max,
            connect_timeout_ms,
            retry_backoff_ms_min,
            retry_backoff_ms_max,
            boot_id: boot_id.to_owned(),
            transport,
            seed,
        };
        let native = NativeClient::new(config).map_err(raised)?;
        Ok(Self { native })
    }

    fn set_tenant_ticket(&self, py: Python<'_>, ticket: &[u8]) -> PyResult<()> {
        py.detach(|| self.native.set_tenant_ticket(ticket))
            .map_err(raised)
    }

    #[pyo3(signature = (*, tenant, space, block_bytes, copies, ticket))]
    fn bind_space(
        &self,
        py: Python<'_>,
        tenant: u32,
        space: u32,
        block_bytes: u32,
        copies: u8,
        ticket: &[u8],
    ) -> PyResult<()> {
        py.detach(|| {
            self.native
                .bind_space(tenant, space, block_bytes, copies, ticket)
        })
        .map_err(raised)
    }

    #[pyo3(signature = (*, epoch, group_count, width, owners, previous, nodes))]
    #[allow(clippy::too_many_arguments)]
    fn set_map(
        &self,
        py: Python<'_>,
        epoch: u64,
        group_count: u32,
        width: usize,
        owners: PyBuffer<i32>,
        previous: PyBuffer<i32>,
        nodes: Vec<NodeTuple>,
    ) -> PyResult<()> {
        let owners = owners.to_vec(py)?;
        let previous = previous.to_vec(py)?;
        let nodes = nodes
            .into_iter()
            .map(
                |(id, incarnation, tcp_address, unix_path, boot_id, up)| NodeEntry {
                    id,
                    incarnation,
                    tcp_address,
                    unix_path,
                    boot_id,
                    up,
                },
            )
            .collect();
        py.detach(|| {
            let map = ClusterMap::new(epoch, group_count, width, owners, previous, nodes)?;
            self.native.set_map(map)
        })
        .map_err(raised)
    }

    #[getter]
    fn epoch(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.native.epoch()).map_err(raised)
    }

    #[getter]
    fn stale(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.native.stale()).map_err(raised)
    }

    fn exists(
        &self,
        py: Python<'_>,
        space: u32,
        keys: &Bound<'_, PyAny>,
        deadline_ms: u64,
        notify: bool,
    ) -> PyResult<Operation> {
        let call = Call::new(OperationKind::Exists, space, deadline_ms, notify);
        self.start(py, keys, call)
    }

    fn get(
        &self,
        py: Python<'_>,
        space: u32,
        keys: &Bound<'_, PyAny>,
        segments: &Segments,
        deadline_ms: u64,
        notify: bool,
    ) -> PyResult<Operation> {
        let call = Call {
            segments: Some(segments),
            ..Call::new(OperationKind::Get, space, deadline_ms, notify)
        };
        self.start(py, keys, call)
    }

    #[allow(clippy::too_many_arguments)]
    fn put(
        &self,
        py: Python<'_>,
        space: u32,
        keys: &Bound<'_, PyAny>,
        segments: &Segments,
        first_position: u32,
        deadline_ms: u64,
        notify: bool,
    ) -> PyResult<Operation> {
        let call = Call {
            segments: Some(segments),
            first_position,
            ..Call::new(OperationKind::Put, space, deadline_ms, notify)
        };
        self.start(py, keys, call)
    }

    fn delete(
        &self,
        py: Python<'_>,
        space: u32,
        keys: &Bound<'_, PyAny>,
        deadline_ms: u64,
        notify: bool,
    ) -> PyResult<Operation> {
        let call = Call::new(OperationKind::Delete, space, deadline_ms, notify);
        self.start(py, keys, call)
    }

    fn pin(
        &self,
        py: Python<'_>,
        space: u32,
        keys: &Bound<'_, PyAny>,
        duration_ms: u32,
        deadline_ms: u64,
        notify: bool,
    ) -> PyResult<Operation> {
        let call = Call {
            duration_ms,
            ..Call::new(OperationKind::Pin, space, deadline_ms, notify)
        };
        self.start(py, keys, call)
    }

    fn stat(
        &self,
        py: Python<'_>,
        space: u32,
        keys: &Bound<'_, PyAny>,
        deadline_ms: u64,
        notify: bool,
    ) -> PyResult<Operation> {
        let call = Call::new(OperationKind::Stat, space, deadline_ms, notify);
        self.start(py, keys, call)
    }

    fn event_fd(&self) -> PyResult<RawFd> {
        self.native.event_fd().map_err(raised)
    }

    fn completed(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        release_left_behind(py);
        py.detach(|| self.native.completed()).map_err(raised)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = py.detach(|| self.native.stats()).map_err(raised)?;
        let stats = PyDict::new(py);
        for (name, value) in counters {
            stats.set_item(name, value)?;
        }
        Ok(stats)
    }

    fn node_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let nodes = py.detach(|| self.native.node_stats()).map_err(raised)?;
        let list = PyList::empty(py);
        for node in nodes {
            let stats = PyDict::new(py);
            stats.set_item("node", node.node)?;
            stats.set_item("incarnation", node.incarnation)?;
            stats.set_item("tcp_address", node.tcp_address)?;
            stats.set_item("transport", node.transport)?;
            stats.set_item("state", node.state)?;
            stats.set_item("lanes", node.lanes)?;
            stats.set_item("requests_in_flight", node.requests_in_flight)?;
            stats.set_item("bytes_in_flight", node.bytes_in_flight)?;
            stats.set_item("views", node.views)?;
            stats.set_item("bytes_received", node.bytes_received)?;
            stats.set_item("requests", node.requests)?;
            stats.set_item("keys", node.keys)?;
            stats.set_item("hits", node.hits)?;
            stats.set_item("connections", node.connections)?;
            stats.set_item("failures", node.failures)?;
            stats.set_item("timeouts", node.timeouts)?;
            stats.set_item("corrupt", node.corrupt)?;
            stats.set_item("last_error", node.last_error)?;
            list.append(stats)?;
        }
        Ok(list)
    }

    fn close(&self, py: Python<'_>, deadline_ms: u64) -> PyResult<()> {
        let deadline = Instant::now() + Duration::from_millis(deadline_ms.min(1 << 40));
        let closed = py.detach(|| self.native.close(deadline));
        release_left_behind(py);
        closed.map_err(raised)
    }
}

impl Call<'_> {
    fn new(kind: OperationKind, space: u32, deadline_ms: u64, notify: bool) -> Self {
        Self {
            kind,
            space,
            segments: None,
            first_position: 0,
            duration_ms: 0,
            deadline_ms,
            notify,
        }
    }
}

impl Client {
    fn start(
        &self,
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        call: Call<'_>,
    ) -> PyResult<Operation> {
        release_left_behind(py);
        let keys = HeldKeys::take(keys)?;
        let segments = call.segments.map(|segments| Arc::clone(segments.native()));
        let (kind, space, notify) = (call.kind, call.space, call.notify);
        let (first_position, duration_ms) = (call.first_position, call.duration_ms);
        let deadline_ms = call.deadline_ms;
        let started = keys.detached(py, |keys| {
            self.native.start(Request {
                kind,
                space,
                keys,
                segments,
                first_position,
                duration_ms,
                deadline_ms,
                notify,
            })
        });
        started.map(Operation::of).map_err(raised)
    }
}
