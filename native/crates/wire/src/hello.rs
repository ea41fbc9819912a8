use crate::limits::MESSAGE_BYTES_MAX;
use crate::reader::{Reader, push_text};
use crate::status::wire_enum;
use crate::{TICKET_BYTES, WireError};

/// First bytes of a hello's body.
pub const MAGIC: [u8; 4] = *b"HFBP";
/// Oldest protocol version that this build speaks.
pub const VERSION_MIN: u16 = 1;
/// Newest protocol version that this build speaks.
pub const VERSION_MAX: u16 = 1;
/// Feature bits that this build offers; both sides use the common ones. None is defined yet.
pub const FEATURES: u64 = 0;

wire_enum! {
    /// How payload moves on a connection.
    TransportKind: u8, "transport" {
        /// Payload follows its frame on the same stream.
        Tcp = 0,
        /// Reads name memory that both processes map; the stream is a Unix socket.
        SharedMemory = 1,
    }
}

/// What a caller says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest version that the caller speaks.
    pub version_min: u16,
    /// Newest version that the caller speaks.
    pub version_max: u16,
    /// Features that the caller offers.
    pub features: u64,
    /// The cluster that the caller believes the node to be in.
    pub cluster: [u8; 16],
    /// The node that the caller believes this to be; 0 when it does not know.
    pub node: u64,
    /// Random number of the calling process, for logs and limits.
    pub client: [u8; 16],
    /// How payload shall move.
    pub transport: TransportKind,
    /// A tenant or node ticket.
    pub ticket: [u8; TICKET_BYTES],
}

impl Hello {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version_min.to_le_bytes());
        out.extend_from_slice(&self.version_max.to_le_bytes());
        out.extend_from_slice(&self.features.to_le_bytes());
        out.extend_from_slice(&self.cluster);
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.client);
        out.push(self.transport as u8);
        out.extend_from_slice(&[0; 3]);
        out.extend_from_slice(&self.ticket);
    }

    /// Reads the body. The fields up to the versions never move between versions.
    ///
    /// # Errors
    /// [`WireError`] for a foreign protocol or a malformed hello.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("hello", body);
        let found = reader.array::<4>()?;
        if found != MAGIC {
            return Err(WireError::BadMagic { found });
        }
        let (version_min, version_max) = (reader.u16()?, reader.u16()?);
        let features = reader.u64()?;
        let cluster = reader.array()?;
        let node = reader.u64()?;
        let client = reader.array()?;
        let transport = TransportKind::try_from(reader.u8()?)?;
        reader.take(3)?;
        let ticket = reader.array()?;
        reader.end()?;
        Ok(Self {
            version_min,
            version_max,
            features,
            cluster,
            node,
            client,
            transport,
            ticket,
        })
    }
}

/// What a node answers to a hello, also when it refuses: a refusal names the node's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Version that both speak from here on; on a version skew 0.
    pub version: u16,
    /// Oldest version that the node speaks.
    pub version_min: u16,
    /// Newest version that the node speaks.
    pub version_max: u16,
    /// Features in use.
    pub features: u64,
    /// The node's cluster.
    pub cluster: [u8; 16],
    /// The node's id.
    pub node: u64,
    /// The node's incarnation: new whenever its memory started empty.
    pub incarnation: u64,
    /// Requests that may be unanswered on this connection.
    pub requests_max: u32,
    /// Payload bytes that may be granted and not yet received on this connection.
    pub grant_bytes_max: u64,
    /// Why the hello was refused; empty when it was not.
    pub text: String,
}

impl Welcome {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.version_min.to_le_bytes());
        out.extend_from_slice(&self.version_max.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.features.to_le_bytes());
        out.extend_from_slice(&self.cluster);
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.requests_max.to_le_bytes());
        out.extend_from_slice(&self.grant_bytes_max.to_le_bytes());
        push_text(out, &self.text, MESSAGE_BYTES_MAX);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] for a malformed answer.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("hello answer", body);
        let (version, version_min, version_max) = (reader.u16()?, reader.u16()?, reader.u16()?);
        reader.take(2)?;
        let welcome = Self {
            version,
            version_min,
            version_max,
            features: reader.u64()?,
            cluster: reader.array()?,
            node: reader.u64()?,
            incarnation: reader.u64()?,
            requests_max: reader.u32()?,
            grant_bytes_max: reader.u64()?,
            text: reader.text(MESSAGE_BYTES_MAX)?,
        };
        reader.end()?;
        Ok(welcome)
    }
}
