//! The ids and tickets that the Python side computes, from the golden files that its tests write.

use std::path::PathBuf;

use holdfast_wire::{BlockId, SpaceKey, TICKET_BYTES, TicketError, TicketVerifier, group_of};
use serde_json::Value;

fn golden(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../tests/golden")
        .join(name);
    let text = std::fs::read_to_string(&path).expect("a golden file");
    serde_json::from_str(&text).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hex text");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the right length")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn block_ids_and_groups_agree() {
    let file = golden("block_ids.json");
    let vectors = file["vectors"].as_array().expect("vectors");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let key = SpaceKey::new(
            &array(&vector["cluster"]),
            number(&vector["tenant"]) as u32,
            number(&vector["space"]) as u32,
        );
        let id: BlockId = key.block_id(&bytes(&vector["key"]));
        assert_eq!(id, array::<16>(&vector["block_id"]), "{vector}");
        assert_eq!(
            u64::from(group_of(&id, 4096)),
            number(&vector["group_of_4096"])
        );
        assert_eq!(
            u64::from(group_of(&id, 100_000)),
            number(&vector["group_of_100000"])
        );
    }
}

#[test]
fn tickets_made_in_python_open_here() {
    let file = golden("tickets.json");
    let key_id = u64::from_str_radix(file["key_id"].as_str().expect("hex"), 16).expect("hex");
    let keys = [(key_id, array::<32>(&file["public_key"]))];
    let tickets = file["tickets"].as_array().expect("tickets");
    assert!(!tickets.is_empty());
    for entry in tickets {
        let fields = &entry["fields"];
        let signed: [u8; TICKET_BYTES] = array(&entry["bytes"]);
        let verifier = TicketVerifier::new(array(&fields["cluster_id"]), &keys);
        let ticket = verifier
            .verify(&signed, number(&file["holds_at_s"]))
            .expect("a good ticket");
        assert_eq!(ticket.kind as u64, number(&fields["kind"]));
        assert_eq!(u64::from(ticket.tenant), number(&fields["tenant"]));
        assert_eq!(u64::from(ticket.space), number(&fields["space"]));
        assert_eq!(
            u64::from(ticket.block_bytes),
            number(&fields["block_bytes"])
        );
        assert_eq!(u64::from(ticket.ttl_s), number(&fields["ttl_s"]));
        assert_eq!(u64::from(ticket.priority), number(&fields["priority"]));
        assert_eq!(u64::from(ticket.copies), number(&fields["copies"]));
        assert_eq!(ticket.node, number(&fields["node"]));
        assert!(matches!(
            verifier.verify(&signed, number(&file["expired_at_s"])),
            Err(TicketError::Expired(_))
        ));
        let mut forged = signed;
        forged[40] ^= 1;
        assert!(
            verifier
                .verify(&forged, number(&file["holds_at_s"]))
                .is_err()
        );
    }
}
