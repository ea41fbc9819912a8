use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::WireError;
use crate::reader::Reader;
use crate::status::wire_enum;

/// Bytes of a ticket: 76 of content and an Ed25519 signature (RFC 8032).
pub const TICKET_BYTES: usize = CONTENT_BYTES + 64;
const CONTENT_BYTES: usize = 76;
const MAGIC: [u8; 4] = *b"HFT1";
const VERSION: u8 = 1;

wire_enum! {
    /// What a ticket is for.
    TicketKind: u8, "ticket kind" {
        /// Opens connections in the name of a tenant.
        Tenant = 1,
        /// Binds one space of a tenant.
        Space = 2,
        /// Lets one data node list and read what another holds.
        Node = 3,
    }
}

/// Why a ticket does not open anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not a ticket of a known version.
    #[error("not a ticket: {0}")]
    Malformed(#[from] WireError),
    /// Signed with a key that this node was not told of.
    #[error("ticket is signed with key {0:#018x}, which this cluster does not list")]
    UnknownKey(u64),
    /// The signature does not match.
    #[error("ticket's signature does not match its content")]
    BadSignature,
    /// Of another cluster.
    #[error("ticket is for cluster {found}, this node belongs to {expected}")]
    WrongCluster {
        /// Cluster in the ticket, hex.
        found: String,
        /// The node's cluster, hex.
        expected: String,
    },
    /// Past its end.
    #[error("ticket expired {0} s ago: ask the metadata leader for a new one")]
    Expired(u64),
    /// Of another kind than needed.
    #[error("ticket is of kind {found:?}, this needs {expected}")]
    WrongKind {
        /// Kind in the ticket.
        found: TicketKind,
        /// What is needed.
        expected: &'static str,
    },
}

/// A right, signed by the metadata leader, that a data node checks by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What it is for.
    pub kind: TicketKind,
    /// Which key signed it.
    pub key_id: u64,
    /// Its cluster.
    pub cluster: [u8; 16],
    /// The tenant; 0 in a node ticket.
    pub tenant: u32,
    /// The space; 0 unless it is a space ticket.
    pub space: u32,
    /// The space's block size, bytes.
    pub block_bytes: u32,
    /// The space's time to live, seconds; 0 when it has none.
    pub ttl_s: u32,
    /// The space's eviction priority, higher stays longer.
    pub priority: u8,
    /// How many nodes hold a copy of each block of the space.
    pub copies: u8,
    /// Of a node ticket: its holder.
    pub node: u64,
    /// When it was signed, Unix seconds.
    pub issued_at_s: u64,
    /// When it ends, Unix seconds.
    pub expires_at_s: u64,
}

impl Ticket {
    /// The ticket's bytes, signed with an Ed25519 private key (the one of `key_id`).
    #[must_use]
    pub fn sign(&self, private_key: &[u8; 32]) -> [u8; TICKET_BYTES] {
        let mut bytes = [0; TICKET_BYTES];
        let mut content = Vec::with_capacity(CONTENT_BYTES);
        content.extend_from_slice(&MAGIC);
        content.extend_from_slice(&[self.kind as u8, VERSION, 0, 0]);
        content.extend_from_slice(&self.key_id.to_le_bytes());
        content.extend_from_slice(&self.cluster);
        for field in [self.tenant, self.space, self.block_bytes, self.ttl_s] {
            content.extend_from_slice(&field.to_le_bytes());
        }
        content.extend_from_slice(&[self.priority, self.copies, 0, 0]);
        for field in [self.node, self.issued_at_s, self.expires_at_s] {
            content.extend_from_slice(&field.to_le_bytes());
        }
        bytes[..CONTENT_BYTES].copy_from_slice(&content);
        let signature = SigningKey::from_bytes(private_key).sign(&content);
        bytes[CONTENT_BYTES..].copy_from_slice(&signature.to_bytes());
        bytes
    }

    /// The Ed25519 public key that goes with a private one.
    #[must_use]
    pub fn public_key(private_key: &[u8; 32]) -> [u8; 32] {
        SigningKey::from_bytes(private_key)
            .verifying_key()
            .to_bytes()
    }

    fn decode(bytes: &[u8; TICKET_BYTES]) -> Result<Self, WireError> {
        let mut reader = Reader::new("ticket", &bytes[..CONTENT_BYTES]);
        let found = reader.array::<4>()?;
        if found != MAGIC {
            return Err(WireError::BadMagic { found });
        }
        let kind = TicketKind::try_from(reader.u8()?)?;
        let version = reader.u8()?;
        if version != VERSION {
            return Err(WireError::Unknown {
                what: "ticket version",
                value: u64::from(version),
            });
        }
        reader.take(2)?;
        let key_id = reader.u64()?;
        let cluster = reader.array()?;
        let (tenant, space) = (reader.u32()?, reader.u32()?);
        let (block_bytes, ttl_s) = (reader.u32()?, reader.u32()?);
        let (priority, copies) = (reader.u8()?, reader.u8()?);
        reader.take(2)?;
        let (node, issued_at_s, expires_at_s) = (reader.u64()?, reader.u64()?, reader.u64()?);
        reader.end()?;
        Ok(Self {
            kind,
            key_id,
            cluster,
            tenant,
            space,
            block_bytes,
            ttl_s,
            priority,
            copies,
            node,
            issued_at_s,
            expires_at_s,
        })
    }
}

/// The public keys of one cluster's ticket signers.
#[derive(Default)]
pub struct TicketVerifier {
    cluster: [u8; 16],
    keys: BTreeMap<u64, VerifyingKey>,
}

impl TicketVerifier {
    /// A verifier for `cluster` that trusts `keys` (key id, Ed25519 public key). A key that is no
    /// point of the curve is left out, so its tickets are refused as unknown.
    #[must_use]
    pub fn new(cluster: [u8; 16], keys: &[(u64, [u8; 32])]) -> Self {
        let keys = keys
            .iter()
            .filter_map(|(id, key)| Some((*id, VerifyingKey::from_bytes(key).ok()?)))
            .collect();
        Self { cluster, keys }
    }

    /// Checks signature, cluster and end, in that order.
    ///
    /// # Errors
    /// [`TicketError`] naming what does not hold.
    pub fn verify(&self, bytes: &[u8; TICKET_BYTES], now_s: u64) -> Result<Ticket, TicketError> {
        let ticket = Ticket::decode(bytes)?;
        let key = self
            .keys
            .get(&ticket.key_id)
            .ok_or(TicketError::UnknownKey(ticket.key_id))?;
        let mut signature = [0; 64];
        signature.copy_from_slice(&bytes[CONTENT_BYTES..]);
        key.verify_strict(&bytes[..CONTENT_BYTES], &Signature::from_bytes(&signature))
            .map_err(|_| TicketError::BadSignature)?;
        if ticket.cluster != self.cluster {
            return Err(TicketError::WrongCluster {
                found: hex(&ticket.cluster),
                expected: hex(&self.cluster),
            });
        }
        if now_s >= ticket.expires_at_s {
            return Err(TicketError::Expired(now_s - ticket.expires_at_s));
        }
        Ok(ticket)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
