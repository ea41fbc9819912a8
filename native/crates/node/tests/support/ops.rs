use std::os::fd::OwnedFd;

use holdfast_wire::checksum::crc32c;
use holdfast_wire::{
    AnswerStatus, BlockId, GetAnswer, Header, KeyStatus, KeysRequest, Kind, ListAnswer,
    ListRequest, LocatedAnswer, OfferedEntry, OfferedPut, Piece, PutDone, PutEntry, PutGrant,
    PutRequest, RegionOffer, StatAnswer, StatEntry, Verdict, bitmap_get,
};

use super::frames::{Caller, Frame};
use super::rig::SPACE;

/// A block to be written.
#[derive(Clone)]
pub struct Block {
    pub id: BlockId,
    pub bytes: Vec<u8>,
}

/// A block in an offered region: id, checksum, pieces of (offset, bytes).
pub type OfferedBlock = (BlockId, u32, Vec<(u64, u32)>);

pub fn keys_body(space: u32, argument: u32, ids: &[BlockId]) -> Vec<u8> {
    let mut body = Vec::new();
    let request = KeysRequest {
        space,
        argument,
        ids,
    };
    request.encode(&mut body);
    body
}

pub fn put_body(write_id: u32, ids: impl Iterator<Item = BlockId>) -> Vec<u8> {
    let mut body = Vec::new();
    let request = PutRequest {
        space: SPACE,
        write_id,
        entries: ids.map(|id| PutEntry { id, position: 0 }).collect(),
    };
    request.encode(&mut body);
    body
}

impl Caller {
    pub fn keys(&mut self, kind: Kind, answer: Kind, argument: u32, ids: &[BlockId]) -> Frame {
        let request = self.send(kind, &keys_body(SPACE, argument, ids));
        self.answer(answer, request)
    }

    pub fn exists(&mut self, ids: &[BlockId]) -> Vec<bool> {
        let answer = self.keys(Kind::Exists, Kind::ExistsAnswer, 0, ids);
        assert_eq!(answer.header.status, AnswerStatus::Ok);
        (0..ids.len())
            .map(|index| bitmap_get(&answer.body, index))
            .collect()
    }

    pub fn statuses(
        &mut self,
        kind: Kind,
        answer: Kind,
        argument: u32,
        ids: &[BlockId],
    ) -> Vec<KeyStatus> {
        let answer = self.keys(kind, answer, argument, ids);
        assert_eq!(answer.header.status, AnswerStatus::Ok);
        PutDone::decode(&answer.body, ids.len()).expect("statuses")
    }

    pub fn delete(&mut self, ids: &[BlockId]) -> Vec<KeyStatus> {
        self.statuses(Kind::Delete, Kind::DeleteAnswer, 0, ids)
    }

    pub fn stat(&mut self, ids: &[BlockId]) -> Vec<StatEntry> {
        let answer = self.keys(Kind::Stat, Kind::StatAnswer, 0, ids);
        StatAnswer::decode(&answer.body, ids.len()).expect("stats")
    }

    /// Reads blocks over whatever the connection's transport is: status and bytes a key. Bytes
    /// that do not match their checksum come back as `Corrupt`.
    pub fn get(&mut self, ids: &[BlockId]) -> Vec<(KeyStatus, Vec<u8>)> {
        let request = self.send(Kind::Get, &keys_body(SPACE, 0, ids));
        let answer = self.next();
        assert_eq!(answer.header.request, request);
        assert_eq!(answer.header.status, AnswerStatus::Ok, "{answer:?}");
        match answer.header.kind {
            Kind::GetAnswer => self.read_blocks(&answer, ids.len()),
            Kind::Located => self.copy_blocks(&answer, ids.len()),
            kind => panic!("{kind:?} answers no get"),
        }
    }

    pub fn read_blocks(&mut self, answer: &Frame, keys: usize) -> Vec<(KeyStatus, Vec<u8>)> {
        let entries = GetAnswer::decode(&answer.body, keys).expect("a get answer");
        let hits = entries
            .iter()
            .filter(|entry| entry.status == KeyStatus::Hit)
            .count();
        let block_bytes = (answer.header.payload_bytes as usize)
            .checked_div(hits)
            .unwrap_or(0);
        let blocks = entries.into_iter().map(|entry| {
            if entry.status != KeyStatus::Hit {
                return (entry.status, Vec::new());
            }
            let bytes = self.receive(block_bytes).expect("payload");
            verified(bytes, entry.crc)
        });
        blocks.collect()
    }

    fn copy_blocks(&mut self, answer: &Frame, keys: usize) -> Vec<(KeyStatus, Vec<u8>)> {
        let blocks = LocatedAnswer::decode(&answer.body, keys).expect("a located answer");
        let copies = blocks.into_iter().map(|block| {
            if block.status != KeyStatus::Hit {
                return (block.status, Vec::new());
            }
            let mapping = &self.views[&block.view];
            let mut bytes = vec![0; super::rig::BLOCK_BYTES as usize];
            assert!(block.offset as usize + bytes.len() <= mapping.bytes());
            // SAFETY: the range lies in the mapping, which nobody can shrink.
            unsafe {
                let from = mapping.address().add(block.offset as usize);
                std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len());
            }
            verified(bytes, block.crc)
        });
        copies.collect()
    }

    /// Asks for room; the answer's verdicts and the request's number.
    pub fn ask_put(
        &mut self,
        write_id: u32,
        ids: impl Iterator<Item = BlockId>,
    ) -> (u32, Vec<Verdict>) {
        let body = put_body(write_id, ids);
        let keys = (body.len() - 16) / 20;
        let request = self.send(Kind::Put, &body);
        let grant = self.answer(Kind::PutGrant, request);
        assert_eq!(grant.header.status, AnswerStatus::Ok, "{grant:?}");
        (
            request,
            PutGrant::decode(&grant.body, keys).expect("verdicts"),
        )
    }

    /// Sends the payload of a grant with these checksums.
    pub fn send_payload<'a>(
        &mut self,
        request: u32,
        blocks: impl Iterator<Item = (&'a [u8], u32)>,
    ) {
        let (mut payload, mut sums) = (Vec::new(), Vec::new());
        for (bytes, sum) in blocks {
            payload.extend_from_slice(bytes);
            sums.extend_from_slice(&sum.to_le_bytes());
        }
        payload.extend_from_slice(&sums);
        let mut header = Header::new(Kind::PutData, request);
        header.payload_bytes = payload.len() as u64;
        self.send_frame(&header, &[]);
        self.send_bytes(&payload).expect("a node that reads");
    }

    pub fn put_done(&mut self, request: u32, keys: usize) -> Vec<KeyStatus> {
        let done = self.answer(Kind::PutDone, request);
        assert_eq!(done.header.status, AnswerStatus::Ok, "{done:?}");
        PutDone::decode(&done.body, keys).expect("statuses")
    }

    /// Writes blocks over the stream.
    pub fn put(&mut self, write_id: u32, blocks: &[Block]) -> Vec<KeyStatus> {
        let (request, verdicts) = self.ask_put(write_id, blocks.iter().map(|block| block.id));
        if verdicts.contains(&Verdict::Want) {
            let wanted = blocks.iter().zip(&verdicts);
            let wanted = wanted.filter(|(_, verdict)| **verdict == Verdict::Want);
            self.send_payload(
                request,
                wanted.map(|(block, _)| (block.bytes.as_slice(), crc32c(&block.bytes))),
            );
        }
        self.put_done(request, blocks.len())
    }

    pub fn offer(&mut self, region: u32, bytes: u64, descriptor: &OwnedFd) -> Frame {
        let mut body = Vec::new();
        RegionOffer { region, bytes }.encode(&mut body);
        let request = self.send_descriptor(Kind::Offer, &body, descriptor);
        self.answer(Kind::OfferAnswer, request)
    }

    pub fn withdraw(&mut self, region: u32) -> Frame {
        let mut body = Vec::new();
        RegionOffer { region, bytes: 0 }.encode(&mut body);
        let request = self.send(Kind::Withdraw, &body);
        self.answer(Kind::WithdrawAnswer, request)
    }

    /// Writes blocks out of an offered region: (id, checksum, pieces of (offset, bytes)).
    pub fn put_offered(&mut self, region: u32, blocks: &[OfferedBlock]) -> Vec<KeyStatus> {
        let entries = blocks.iter().map(|(id, crc, pieces)| OfferedEntry {
            id: *id,
            position: 0,
            crc: *crc,
            pieces: pieces.len() as u32,
        });
        let pieces = blocks.iter().flat_map(|(_, _, pieces)| pieces);
        let put = OfferedPut {
            space: SPACE,
            write_id: 1,
            entries: entries.collect(),
            pieces: pieces
                .map(|(offset, bytes)| Piece {
                    region,
                    bytes: *bytes,
                    offset: *offset,
                })
                .collect(),
        };
        let mut body = Vec::new();
        put.encode(&mut body);
        let request = self.send(Kind::PutOffered, &body);
        self.put_done(request, blocks.len())
    }

    pub fn list(&mut self, cursor: u64, limit: u32, group_count: u32, groups: Vec<u8>) -> Frame {
        let mut body = Vec::new();
        let request = ListRequest {
            cursor,
            limit,
            group_count,
            groups,
        };
        request.encode(&mut body);
        let request = self.send(Kind::List, &body);
        self.answer(Kind::ListAnswer, request)
    }
}

pub fn listed(frame: &Frame) -> ListAnswer {
    assert_eq!(frame.header.status, AnswerStatus::Ok, "{frame:?}");
    ListAnswer::decode(&frame.body).expect("a page")
}

fn verified(bytes: Vec<u8>, crc: u32) -> (KeyStatus, Vec<u8>) {
    if crc32c(&bytes) == crc {
        (KeyStatus::Hit, bytes)
    } else {
        (KeyStatus::Corrupt, Vec::new())
    }
}
