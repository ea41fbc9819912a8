//! The client, as Python sees it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_client::{
    Client as NativeClient, ClientConfig, ClusterMap, Keys, NodeEntry, OperationKind, Request,
    TransportChoice,
};
use holdfast_erasure::Scheme;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::client_errors::raised;
use crate::keys::{HeldKeys, sixteen};
use crate::operation::{Operation, SIGNAL_PERIOD, operation_kind};
use crate::owners::release_left_behind;
use crate::segments::Segments;

/// (id, incarnation, tcp address, unix path or '', boot id, is up)
type NodeTuple = (u64, u64, String, String, String, bool);

/// Lanes to data nodes, routing by the cluster map, batches and deadlines.
#[pyclass(frozen, module = "holdfast_native")]
pub struct Client {
    native: NativeClient,
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

    #[pyo3(signature = (*, tenant, space, block_bytes, copies, ticket, data=1, parity=0))]
    #[allow(clippy::too_many_arguments)]
    fn bind_space(
        &self,
        py: Python<'_>,
        tenant: u32,
        space: u32,
        block_bytes: u32,
        copies: u8,
        ticket: &[u8],
        data: u8,
        parity: u8,
    ) -> PyResult<()> {
        let scheme = match parity {
            0 => None,
            _ => Some(scheme_of(data, parity)?),
        };
        py.detach(|| {
            self.native
                .bind_space(tenant, space, block_bytes, copies, scheme, ticket)
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

    /// Starts a call. `argument`: first position of a put, milliseconds of a pin, else 0.
    #[allow(clippy::too_many_arguments)]
    fn start(
        &self,
        py: Python<'_>,
        kind: u8,
        space: u32,
        keys: &Bound<'_, PyAny>,
        segments: Option<&Segments>,
        argument: u32,
        deadline_ms: u64,
        notify: bool,
    ) -> PyResult<Operation> {
        release_left_behind(py);
        let call = Call::new(kind, space, segments, argument, deadline_ms)?;
        let keys = HeldKeys::take(keys)?;
        keys.detached(py, |keys| self.native.start(call.request(keys, notify)))
            .map(Operation::of)
            .map_err(raised)
    }

    /// Starts a call, waits for its end and answers what became of it.
    #[allow(clippy::too_many_arguments)]
    fn run<'py>(
        &self,
        py: Python<'py>,
        kind: u8,
        space: u32,
        keys: &Bound<'py, PyAny>,
        segments: Option<&Segments>,
        argument: u32,
        deadline_ms: u64,
    ) -> PyResult<Bound<'py, PyTuple>> {
        release_left_behind(py);
        let call = Call::new(kind, space, segments, argument, deadline_ms)?;
        let keys = HeldKeys::take(keys)?;
        let operation = keys
            .detached(py, |keys| {
                let operation = self.native.start(call.request(keys, false))?;
                operation.wait(Instant::now() + SIGNAL_PERIOD)?;
                Ok(operation)
            })
            .map(Operation::of)
            .map_err(raised)?;
        operation.finish(py, deadline_ms)
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

/// What differs between the calls on keys.
struct Call {
    kind: OperationKind,
    space: u32,
    segments: Option<Arc<holdfast_client::Segments>>,
    argument: u32,
    deadline_ms: u64,
}

impl Call {
    fn new(
        kind: u8,
        space: u32,
        segments: Option<&Segments>,
        argument: u32,
        deadline_ms: u64,
    ) -> PyResult<Self> {
        let kind = operation_kind(kind)?;
        let moves_blocks = matches!(kind, OperationKind::Get | OperationKind::Put);
        if moves_blocks != segments.is_some() {
            return Err(PyValueError::new_err(format!(
                "{kind:?} with{} segments: gets and puts have them, other calls do not",
                if moves_blocks { "out" } else { "" }
            )));
        }
        Ok(Self {
            kind,
            space,
            segments: segments.map(|segments| Arc::clone(segments.native())),
            argument,
            deadline_ms,
        })
    }

    fn request(self, keys: Keys<'_>, notify: bool) -> Request<'_> {
        let argument_of = |kind| if self.kind == kind { self.argument } else { 0 };
        Request {
            kind: self.kind,
            space: self.space,
            keys,
            first_position: argument_of(OperationKind::Put),
            duration_ms: argument_of(OperationKind::Pin),
            segments: self.segments,
            deadline_ms: self.deadline_ms,
            notify,
        }
    }
}

fn scheme_of(data: u8, parity: u8) -> PyResult<Scheme> {
    Scheme::new(data, parity).map_err(|error| PyValueError::new_err(error.to_string()))
}
