//! Every message survives its encoding, and no bytes whatever make a decoder panic or allocate
//! more than they could hold.

use holdfast_wire::{
    BindRequest, BlockAnswer, GetAnswer, HEADER_BYTES, Header, Hello, KeyStatus, KeysRequest, Kind,
    ListAnswer, ListRequest, ListedBlock, LocatedAnswer, LocatedBlock, OfferedEntry, OfferedPut,
    Piece, PutDone, PutEntry, PutGrant, PutRequest, Refusal, RegionOffer, StatAnswer, StatEntry,
    TICKET_BYTES, TicketVerifier, TransportKind, ViewAnnounce, Welcome,
};
use proptest::prelude::*;

fn body(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

fn key_status() -> impl Strategy<Value = KeyStatus> {
    (0..=11_u8).prop_map(|value| KeyStatus::try_from(value).expect("a status"))
}

prop_compose! {
    fn piece()(region: u32, bytes: u32, offset: u64) -> Piece {
        Piece { region, bytes, offset }
    }
}

prop_compose! {
    fn listed()(
        id: [u8; 16],
        numbers: [u32; 6],
        ttl_left_ms: u64,
    ) -> ListedBlock {
        let [tenant, space, block_bytes, crc, write_id, position] = numbers;
        ListedBlock { id, tenant, space, block_bytes, crc, write_id, position, ttl_left_ms }
    }
}

proptest! {
    #[test]
    fn headers_come_back(
        kind in 1..=0x0F_u8,
        request: u32,
        deadline_ms in 0..=600_000_u32,
        payload_bytes in 0..=1_u64 << 30,
        epoch: u64,
        content in prop::collection::vec(any::<u8>(), 0..300),
        flip in 0..2400_usize,
    ) {
        let mut header = Header::new(Kind::try_from(kind).expect("a request"), request);
        header.deadline_ms = deadline_ms;
        header.payload_bytes = payload_bytes;
        header.epoch = epoch;
        let mut frame = body(|out| header.encode(&content, out));
        header.body_bytes = content.len() as u32;
        let head: [u8; HEADER_BYTES] = *frame.first_chunk().expect("a header");
        let (decoded, check) = Header::decode(&head).expect("a header");
        prop_assert_eq!(decoded, header);
        prop_assert!(Header::verify(&head, check, &frame[HEADER_BYTES..]).is_ok());
        // Any single flipped bit is noticed (but in the four reserved bytes behind the check).
        let flip = flip % (frame.len() * 8);
        if !(36 * 8..40 * 8).contains(&flip) {
            frame[flip / 8] ^= 1 << (flip % 8);
            let head: [u8; HEADER_BYTES] = *frame.first_chunk().expect("a header");
            if let Ok((_, check)) = Header::decode(&head) {
                prop_assert!(Header::verify(&head, check, &frame[HEADER_BYTES..]).is_err());
            }
        }
    }

    #[test]
    fn requests_come_back(
        space: u32,
        argument: u32,
        ids in prop::collection::vec(any::<[u8; 16]>(), 0..20),
        pieces in prop::collection::vec(piece(), 0..10),
    ) {
        let keys = KeysRequest { space, argument, ids: &ids };
        let bytes = body(|out| keys.encode(out));
        prop_assert_eq!(KeysRequest::decode(&bytes), Ok(keys));
        let entries: Vec<PutEntry> =
            ids.iter().map(|id| PutEntry { id: *id, position: argument }).collect();
        let put = PutRequest { space, write_id: argument, entries: entries.clone() };
        let decoded = PutRequest::decode(&body(|out| put.encode(out))).expect("a put");
        prop_assert_eq!((decoded.space, decoded.write_id), (space, argument));
        prop_assert_eq!(decoded.entries, entries);
        let named = if ids.is_empty() { 0 } else { pieces.len() as u32 };
        let offered = OfferedPut {
            space,
            write_id: argument,
            entries: ids
                .iter()
                .enumerate()
                .map(|(at, id)| OfferedEntry {
                    id: *id,
                    position: 1,
                    crc: 2,
                    pieces: if at == 0 { named } else { 0 },
                })
                .collect(),
            pieces: if ids.is_empty() { Vec::new() } else { pieces.clone() },
        };
        let decoded = OfferedPut::decode(&body(|out| offered.encode(out))).expect("an offered put");
        prop_assert_eq!(decoded.entries, offered.entries);
        prop_assert_eq!(decoded.pieces, offered.pieces);
    }

    #[test]
    fn answers_come_back(
        status in key_status(),
        crc: u32,
        write_id: u32,
        offset: u64,
        count in 0..20_usize,
        blocks in prop::collection::vec(listed(), 0..10),
    ) {
        let answer = BlockAnswer { status, crc, write_id };
        let bytes = body(|out| (0..count).for_each(|_| GetAnswer::push(out, &answer)));
        prop_assert_eq!(GetAnswer::decode(&bytes, count), Ok(vec![answer; count]));
        let located = LocatedBlock { status, crc, write_id, view: crc, offset };
        let bytes = body(|out| (0..count).for_each(|_| LocatedAnswer::push(out, &located)));
        prop_assert_eq!(LocatedAnswer::decode(&bytes, count), Ok(vec![located; count]));
        let stat = StatEntry {
            status,
            position_class: 1,
            touches: 2,
            pinned: crc % 2 == 0,
            crc,
            write_id,
            age_ms: offset,
        };
        let bytes = body(|out| (0..count).for_each(|_| StatAnswer::push(out, &stat)));
        prop_assert_eq!(StatAnswer::decode(&bytes, count), Ok(vec![stat; count]));
        let bytes = body(|out| (0..count).for_each(|_| PutDone::push(out, status)));
        prop_assert_eq!(PutDone::decode(&bytes, count), Ok(vec![status; count]));
        let list = ListAnswer { next: offset, blocks };
        prop_assert_eq!(ListAnswer::decode(&body(|out| list.encode(out))), Ok(list));
    }

    #[test]
    fn greetings_come_back(
        versions: [u16; 3],
        numbers: [u64; 4],
        ids: [[u8; 16]; 2],
        requests_max: u32,
        text in "\\PC{0,400}",
    ) {
        let [version_min, version_max, version] = versions;
        let [features, node, incarnation, grant_bytes_max] = numbers;
        let hello = Hello {
            version_min,
            version_max,
            features,
            cluster: ids[0],
            node,
            client: ids[1],
            transport: TransportKind::Tcp,
            ticket: [requests_max as u8; TICKET_BYTES],
        };
        prop_assert_eq!(Hello::decode(&body(|out| hello.encode(out))), Ok(hello.clone()));
        let welcome = Welcome {
            version,
            version_min,
            version_max,
            features,
            cluster: ids[0],
            node,
            incarnation,
            requests_max,
            grant_bytes_max,
            text,
        };
        let decoded = Welcome::decode(&body(|out| welcome.encode(out))).expect("a welcome");
        // Long texts are cut at a character's edge.
        prop_assert!(welcome.text.starts_with(&decoded.text));
        prop_assert!(decoded.text.len() == welcome.text.len() || decoded.text.len() > 1020);
        prop_assert_eq!(Welcome { text: welcome.text.clone(), ..decoded }, welcome);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        keys in 0..40_usize,
        small_count in any::<bool>(),
    ) {
        if small_count && bytes.len() >= 16 {
            bytes[8..16].fill(0);
            bytes[8] = keys as u8;
        }
        if let Some(head) = bytes.first_chunk::<HEADER_BYTES>()
            && let Ok((header, check)) = Header::decode(head)
        {
            prop_assert!(header.body_bytes <= 4 << 20 && header.payload_bytes <= 1 << 30);
            let _ = Header::verify(head, check, &bytes[HEADER_BYTES..]);
        }
        let _ = Hello::decode(&bytes);
        let _ = Welcome::decode(&bytes);
        let _ = BindRequest::decode(&bytes);
        let _ = Refusal::decode(&bytes);
        let _ = KeysRequest::decode(&bytes);
        let _ = PutRequest::decode(&bytes).map(|put| put.entries.len());
        let _ = OfferedPut::decode(&bytes).map(|put| put.entries.len());
        let _ = ListRequest::decode(&bytes);
        let _ = ListAnswer::decode(&bytes);
        let _ = ViewAnnounce::decode(&bytes);
        let _ = RegionOffer::decode(&bytes);
        let _ = GetAnswer::decode(&bytes, keys);
        let _ = LocatedAnswer::decode(&bytes, keys);
        let _ = StatAnswer::decode(&bytes, keys);
        let _ = PutGrant::decode(&bytes, keys);
        let _ = PutDone::decode(&bytes, keys);
        if let Some(ticket) = bytes.first_chunk::<TICKET_BYTES>() {
            prop_assert!(TicketVerifier::default().verify(ticket, 0).is_err());
        }
    }
}
