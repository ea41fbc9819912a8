//! What every transport of the block protocol does alike.

mod support;

use holdfast_node::NodeConfig;
use holdfast_wire::checksum::crc32c;
use holdfast_wire::{AnswerStatus, KeyStatus, Kind, TransportKind, Verdict};
use support::ops::Block;
use support::rig::{BLOCK_BYTES, EPOCH, GROUPS, INCARNATION, NODE, Rig, SPACE};
use support::{bytes_of, eventually, id_of};

const TRANSPORTS: [TransportKind; 2] = [TransportKind::Tcp, TransportKind::SharedMemory];

fn block(number: u64) -> Block {
    Block {
        id: id_of(number),
        bytes: bytes_of(number, BLOCK_BYTES as usize),
    }
}

fn blocks(numbers: std::ops::Range<u64>) -> Vec<Block> {
    numbers.map(block).collect()
}

fn ids(blocks: &[Block]) -> Vec<[u8; 16]> {
    blocks.iter().map(|block| block.id).collect()
}

#[test]
fn what_is_put_is_read_back() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let written = blocks(0..40);
        let stored = caller.put(1, &written);
        assert_eq!(stored, vec![KeyStatus::Stored; 40]);
        let mut asked = ids(&written);
        asked.insert(7, id_of(999));
        let found = caller.get(&asked);
        assert_eq!(found[7].0, KeyStatus::Miss);
        let found: Vec<_> = found
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != 7)
            .collect();
        for ((_, (status, bytes)), written) in found.into_iter().zip(&written) {
            assert_eq!(*status, KeyStatus::Hit);
            assert!(*bytes == written.bytes);
        }
        let exist = caller.exists(&asked);
        assert!(
            exist
                .iter()
                .enumerate()
                .all(|(at, found)| *found == (at != 7))
        );
        eventually("nothing held", || rig.is_at_rest());
    }
}

#[test]
fn answers_carry_the_nodes_identity_and_epoch() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.connect(transport);
        let hello = support::frames::Caller::hello(transport, &rig.tenant_ticket(1));
        let (status, welcome) = caller.say_hello(&hello);
        assert_eq!(status, AnswerStatus::Ok);
        assert_eq!((welcome.node, welcome.incarnation), (NODE, INCARNATION));
        let request = caller.send(Kind::Ping, &[]);
        assert_eq!(caller.answer(Kind::PingAnswer, request).header.epoch, EPOCH);
    }
}

#[test]
fn a_stored_block_needs_no_payload_again() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let written = blocks(0..3);
        caller.put(1, &written[..2]);
        let mut other = written.clone();
        other[0].bytes = bytes_of(77, BLOCK_BYTES as usize);
        let (request, verdicts) = caller.ask_put(2, other.iter().map(|block| block.id));
        assert_eq!(
            verdicts,
            [Verdict::Present, Verdict::Present, Verdict::Want]
        );
        let sum = crc32c(&other[2].bytes);
        caller.send_payload(request, [(other[2].bytes.as_slice(), sum)].into_iter());
        let statuses = caller.put_done(request, 3);
        assert_eq!(
            statuses,
            [KeyStatus::Present, KeyStatus::Present, KeyStatus::Stored]
        );
        assert!(caller.get(&[written[0].id])[0].1 == written[0].bytes);
        assert_eq!(caller.put(3, &written), vec![KeyStatus::Present; 3]);
    }
}

#[test]
fn a_wrong_checksum_stores_nothing() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let written = blocks(0..2);
        let (request, _) = caller.ask_put(1, written.iter().map(|block| block.id));
        let sums = [crc32c(&written[0].bytes), 12345];
        caller.send_payload(
            request,
            written.iter().map(|block| block.bytes.as_slice()).zip(sums),
        );
        let statuses = caller.put_done(request, 2);
        assert_eq!(statuses, [KeyStatus::Stored, KeyStatus::Corrupt]);
        assert_eq!(caller.exists(&ids(&written)), [true, false]);
        assert_eq!(rig.counter("keys_corrupt_received"), 1);
        assert_eq!(caller.put(2, &written[1..]), [KeyStatus::Stored]);
    }
}

#[test]
fn duplicates_share_the_first_ones_result() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let (one, two) = (block(1), block(2));
        let batch = [one.clone(), two.clone(), one.clone(), two, one];
        let (request, verdicts) = caller.ask_put(1, batch.iter().map(|block| block.id));
        let expected = [
            Verdict::Want,
            Verdict::Want,
            Verdict::Duplicate,
            Verdict::Duplicate,
            Verdict::Duplicate,
        ];
        assert_eq!(verdicts, expected);
        let sums = [crc32c(&batch[0].bytes), 0];
        let payload = batch[..2].iter().map(|block| block.bytes.as_slice());
        caller.send_payload(request, payload.zip(sums));
        let statuses = caller.put_done(request, 5);
        let (stored, corrupt) = (KeyStatus::Stored, KeyStatus::Corrupt);
        assert_eq!(statuses, [stored, corrupt, stored, corrupt, stored]);
        let found = caller.get(&ids(&batch));
        let hits = found.iter().filter(|(status, _)| *status == KeyStatus::Hit);
        assert_eq!(hits.count(), 3);
    }
}

#[test]
fn a_grant_can_be_given_back() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let (request, verdicts) = caller.ask_put(1, blocks(0..2).iter().map(|block| block.id));
        assert_eq!(verdicts, [Verdict::Want; 2]);
        let mut other = rig.open(transport);
        assert_eq!(other.put(2, &blocks(0..1)), [KeyStatus::Busy]);
        caller.send_payload(request, std::iter::empty());
        assert_eq!(caller.put_done(request, 2), [KeyStatus::Cancelled; 2]);
        assert!(rig.is_at_rest());
        assert_eq!(other.put(2, &blocks(0..1)), [KeyStatus::Stored]);
    }
}

#[test]
fn of_racing_puts_one_is_stored_whole() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let (mut first, mut second) = (rig.open(transport), rig.open(transport));
        let mut mine = block(1);
        mine.bytes = bytes_of(100, BLOCK_BYTES as usize);
        let (request, verdicts) = first.ask_put(1, std::iter::once(mine.id));
        assert_eq!(verdicts, [Verdict::Want]);
        assert_eq!(second.put(2, &[block(1)]), [KeyStatus::Busy]);
        assert_eq!(second.exists(&[mine.id]), [false]);
        let sum = crc32c(&mine.bytes);
        first.send_payload(request, [(mine.bytes.as_slice(), sum)].into_iter());
        assert_eq!(first.put_done(request, 1), [KeyStatus::Stored]);
        assert_eq!(second.put(3, &[block(1)]), [KeyStatus::Present]);
        assert!(second.get(&[mine.id])[0].1 == mine.bytes);
        assert_eq!(second.stat(&[mine.id])[0].write_id, 1);
    }
}

#[test]
fn deleted_blocks_are_gone_and_others_stay() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let written = blocks(0..3);
        caller.put(1, &written);
        let deleted = caller.delete(&[written[1].id, id_of(50)]);
        assert_eq!(deleted, [KeyStatus::Hit, KeyStatus::Miss]);
        assert_eq!(caller.exists(&ids(&written)), [true, false, true]);
    }
}

#[test]
fn groups_that_moved_away_are_refused_but_still_served() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        caller.put(1, &blocks(0..2));
        rig.node
            .set_route(EPOCH + 1, GROUPS, &[0; 8])
            .expect("a route");
        assert_eq!(caller.put(2, &blocks(0..3)), vec![KeyStatus::NotOwner; 3]);
        assert_eq!(caller.delete(&[id_of(1)]), [KeyStatus::NotOwner]);
        assert_eq!(caller.exists(&[id_of(0), id_of(2)]), [true, false]);
        let found = caller.get(&[id_of(0), id_of(2)]);
        assert_eq!(found[0].0, KeyStatus::Hit);
        assert_eq!(found[1].0, KeyStatus::NotOwner, "the caller's map is older");
        caller.epoch = EPOCH + 1;
        assert_eq!(caller.get(&[id_of(2)])[0].0, KeyStatus::Miss);
    }
}

#[test]
fn a_group_that_moves_during_a_put_stores_nothing() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let written = block(1);
        let (request, _) = caller.ask_put(1, std::iter::once(written.id));
        rig.node
            .set_route(EPOCH + 1, GROUPS, &[0; 8])
            .expect("a route");
        let sum = crc32c(&written.bytes);
        caller.send_payload(request, [(written.bytes.as_slice(), sum)].into_iter());
        assert_eq!(caller.put_done(request, 1), [KeyStatus::NotOwner]);
        assert_eq!(caller.exists(&[written.id]), [false]);
    }
}

#[test]
fn a_flipped_bit_is_found_by_the_reader_and_dropped_on_report() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        caller.put(6, &blocks(0..2));
        assert!(
            rig.node
                .flip_bit(SPACE, &id_of(0), 12_345)
                .expect("fault injection")
        );
        assert_eq!(caller.get(&[id_of(0)])[0].0, KeyStatus::Corrupt);
        let reported = caller.statuses(Kind::Report, Kind::ReportAnswer, 6, &[id_of(0), id_of(1)]);
        assert_eq!(reported, [KeyStatus::Corrupt, KeyStatus::Miss]);
        assert_eq!(caller.exists(&[id_of(0), id_of(1)]), [false, true]);
        assert_eq!(rig.counter("keys_corrupt_stored"), 1);
    }
}

#[test]
fn under_eviction_every_hit_has_its_own_bytes() {
    for transport in TRANSPORTS {
        let rig = Rig::with(|config: &mut NodeConfig| config.engine.arena_bytes = 16 << 20);
        let mut caller = rig.open(transport);
        let mut hits = 0;
        for round in 0..16 {
            caller.put(
                round,
                &blocks(u64::from(round) * 40..u64::from(round) * 40 + 40),
            );
            let asked: Vec<u64> = (0..64)
                .map(|at| (at * 37) % (u64::from(round) * 40 + 40))
                .collect();
            let found = caller.get(
                &asked
                    .iter()
                    .map(|number| id_of(*number))
                    .collect::<Vec<_>>(),
            );
            for (number, (status, bytes)) in asked.iter().zip(found) {
                if status == KeyStatus::Hit {
                    hits += 1;
                    assert!(
                        bytes == block(*number).bytes,
                        "block {number} has wrong bytes"
                    );
                }
            }
        }
        assert!(hits > 100, "only {hits} hits");
        eventually("nothing held", || rig.is_at_rest());
    }
}

#[test]
fn requests_may_be_sent_ahead_of_their_answers() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        caller.put(1, &blocks(0..8));
        let body = support::ops::keys_body(SPACE, 0, &[id_of(0), id_of(100)]);
        let requests: Vec<u32> = (0..200).map(|_| caller.send(Kind::Exists, &body)).collect();
        for request in requests {
            let answer = caller.answer(Kind::ExistsAnswer, request);
            assert_eq!(answer.body, [0b01]);
        }
    }
}

#[test]
fn a_dropped_space_is_gone_for_good() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        caller.put(1, &blocks(0..2));
        rig.node.drop_space(SPACE);
        let request = caller.send(
            Kind::Exists,
            &support::ops::keys_body(SPACE, 0, &[id_of(0)]),
        );
        let answer = caller.answer(Kind::ExistsAnswer, request);
        assert_eq!(answer.header.status, AnswerStatus::UnknownSpace);
        let request = caller.send(
            Kind::Put,
            &support::ops::put_body(2, std::iter::once(id_of(5))),
        );
        let answer = caller.answer(Kind::PutGrant, request);
        assert_eq!(answer.header.status, AnswerStatus::UnknownSpace);
        assert_eq!(rig.stats().engine.blocks, 0);
    }
}
