//! Get, put and exists over loopback TCP against a raw stream of the same bytes, in pairs.
//!
//! `cargo run --release -p holdfast-node --example stream_speed -- [set MiB] [pairs]`
//! The node runs in this process in a thread of its own, the caller is a plain nonblocking loop.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use holdfast_transport::{Interest, IoVector, wait};
use holdfast_wire::checksum::{Crc32c, crc32c};
use holdfast_wire::{GetAnswer, HEADER_BYTES, Header, KeyStatus, Kind, TransportKind, Verdict};
use support::frames::Caller;
use support::ops::{keys_body, put_body};
use support::rig::{Rig, SPACE, TENANT};
use support::{bytes_of, id_of};

const BLOCK: usize = 1 << 20;
const BATCH: usize = 32;
const PIECE: usize = 256 << 10;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().expect("a number"));
    let set_mib = arguments.next().unwrap_or(512);
    let pairs = arguments.next().unwrap_or(7) as usize;
    let rig = Rig::with(|config| {
        config.engine.arena_bytes = (2 * set_mib + 64) << 20;
        config.engine.prefault = true;
        config.engine.huge_pages = true;
        config.engine.extent_bytes = 16 << 20;
    });
    let mut caller = rig.connect(TransportKind::Tcp);
    caller.greet(TransportKind::Tcp, &rig.tenant_ticket(TENANT));
    caller.bind(&rig.space_ticket(TENANT, SPACE, BLOCK as u32));
    let source = bytes_of(1, (set_mib as usize) << 20);
    let sums: Vec<u32> = source.chunks(BLOCK).map(crc32c).collect();
    let mut target = vec![1u8; BATCH * BLOCK];
    let bytes = source.len() as f64;

    let mut raw = Raw::new(source.clone());
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let ids: Vec<_> = (0..set_mib).map(id_of).collect();
        if pair > 0 {
            caller.delete(&ids);
        }
        let put = timed(|| put_all(&mut caller, &source, &sums, &ids));
        let raw_put = timed(|| raw.send(&source));
        puts.push((put / raw_put).recip());
        let get = timed(|| get_all(&mut caller, &ids, &mut target));
        let raw_get = timed(|| raw.receive(source.len(), &mut target));
        gets.push((get / raw_get).recip());
        let rate = |seconds: f64| bytes / seconds / 1e9;
        println!(
            "put {:.2} raw {:.2} GB/s   get {:.2} raw {:.2} GB/s",
            rate(put),
            rate(raw_put),
            rate(get),
            rate(raw_get)
        );
    }
    println!(
        "put / raw: {:.3}  get / raw: {:.3} (medians)",
        median(&mut puts),
        median(&mut gets)
    );
    latency(&rig, &mut raw);
    exists(&mut caller, set_mib);
    let stats = rig.stats();
    println!("get latency us log2: {:?}", stats.latency["get"]);
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Two batches in flight: while one is sent the next one's grant is on its way.
fn put_all(caller: &mut Caller, source: &[u8], sums: &[u32], ids: &[[u8; 16]]) {
    let batches: Vec<_> = ids.chunks(BATCH).collect();
    let mut asked = Vec::new();
    let mut done = 0;
    for (index, batch) in batches.iter().enumerate() {
        asked.push(caller.send(Kind::Put, &put_body(7, batch.iter().copied())));
        if index > 0 {
            done += send_batch(
                caller,
                asked[index - 1],
                index - 1,
                source,
                sums,
                batches[index - 1].len(),
            );
        }
    }
    let last = batches.len() - 1;
    done += send_batch(caller, asked[last], last, source, sums, batches[last].len());
    while done < batches.len() {
        assert_eq!(caller.next().header.kind, Kind::PutDone);
        done += 1;
    }
}

fn send_batch(
    caller: &mut Caller,
    request: u32,
    batch: usize,
    source: &[u8],
    sums: &[u32],
    blocks: usize,
) -> usize {
    let mut done = 0;
    loop {
        let frame = caller.next();
        if frame.header.kind == Kind::PutGrant && frame.header.request == request {
            assert!(
                frame
                    .body
                    .iter()
                    .all(|verdict| *verdict == Verdict::Want as u8)
            );
            break;
        }
        assert_eq!(frame.header.kind, Kind::PutDone);
        assert!(
            frame
                .body
                .iter()
                .all(|status| *status == KeyStatus::Stored as u8)
        );
        done += 1;
    }
    let from = batch * BATCH;
    let payload = &source[from * BLOCK..(from + blocks) * BLOCK];
    let made: Vec<u8> = sums[from..from + blocks]
        .iter()
        .flat_map(|sum| sum.to_le_bytes())
        .collect();
    let mut header = Header::new(Kind::PutData, request);
    header.payload_bytes = (payload.len() + made.len()) as u64;
    let mut frame = Vec::new();
    header.encode(&[], &mut frame);
    write_all(caller, &[&frame, payload, &made]);
    done
}

fn write_all(caller: &mut Caller, parts: &[&[u8]]) {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut sent = 0;
    while sent < total {
        let mut skip = sent;
        let mut pieces = Vec::new();
        for part in parts {
            let from = skip.min(part.len());
            skip -= from;
            if from < part.len() {
                pieces.push(IoVector::of(&part[from..]));
            }
        }
        // SAFETY: the pieces are borrowed for the call.
        match unsafe { caller.stream.write_from(&pieces) } {
            Ok(written) => sent += written,
            Err(_) => wait_for(caller, Interest::Writable),
        }
    }
}

fn wait_for(caller: &Caller, interest: Interest) {
    wait(caller.stream.as_fd(), interest, Duration::from_secs(10)).expect("a poll");
}

fn get_all(caller: &mut Caller, ids: &[[u8; 16]], target: &mut [u8]) {
    for batch in ids.chunks(BATCH) {
        caller.send(Kind::Get, &keys_body(SPACE, 0, batch));
        let mut head = vec![0; HEADER_BYTES + batch.len() * GetAnswer::ENTRY_BYTES];
        read_exact(caller, &mut head, |_| {});
        let entries = GetAnswer::decode(&head[HEADER_BYTES..], batch.len()).expect("entries");
        for (block, entry) in target.chunks_mut(BLOCK).zip(entries) {
            assert_eq!(entry.status, KeyStatus::Hit);
            let mut sum = Crc32c::new();
            read_exact(caller, block, |piece| sum.update(piece));
            assert_eq!(sum.value(), entry.crc);
        }
    }
}

fn read_exact(caller: &Caller, target: &mut [u8], mut arrived: impl FnMut(&[u8])) {
    let mut done = 0;
    while done < target.len() {
        let end = target.len().min(done + PIECE);
        match caller.stream.read(&mut target[done..end]) {
            Ok(0) => panic!("the node closed the connection"),
            Ok(read) => {
                arrived(&target[done..done + read]);
                done += read;
            }
            Err(_) => wait_for(caller, Interest::Readable),
        }
    }
}

/// One block of 64 KiB at a time, against a round trip of the same bytes; both sides block.
fn latency(rig: &Rig, raw: &mut Raw) {
    const SMALL: usize = 64 << 10;
    let mut caller = rig.connect(TransportKind::Tcp);
    caller.greet(TransportKind::Tcp, &rig.tenant_ticket(TENANT));
    caller.bind(&rig.space_ticket(TENANT, SPACE + 1, SMALL as u32));
    let block = bytes_of(9, SMALL);
    let ids: Vec<_> = (0..64).map(id_of).collect();
    let mut body = put_body(1, ids.iter().copied());
    body[..4].copy_from_slice(&(SPACE + 1).to_le_bytes());
    let request = caller.send(Kind::Put, &body);
    caller.answer(Kind::PutGrant, request);
    caller.send_payload(
        request,
        ids.iter().map(|_| (block.as_slice(), crc32c(&block))),
    );
    caller.answer(Kind::PutDone, request);
    let expected = crc32c(&block);
    let mut target = vec![1; SMALL];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..4000 {
        let id = [ids[round % ids.len()]];
        ours.push(timed(|| {
            caller.send(Kind::Get, &keys_body(SPACE + 1, 0, &id));
            let mut head = [0; HEADER_BYTES + GetAnswer::ENTRY_BYTES];
            read_exact(&caller, &mut head, |_| {});
            let mut sum = Crc32c::new();
            read_exact(&caller, &mut target, |piece| sum.update(piece));
            assert_eq!(sum.value(), expected);
        }));
        theirs.push(timed(|| raw.receive_small(&mut target)));
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = ours / theirs;
    println!(
        "64 KiB: {:.1} us, raw {:.1} us: {ratio:.2}",
        ours * 1e6,
        theirs * 1e6
    );
}

fn exists(caller: &mut Caller, set: u64) {
    let bodies: Vec<_> = (0..64)
        .map(|batch| {
            let ids: Vec<_> = (0..256)
                .map(|at| id_of((batch * 256 + at) % (2 * set)))
                .collect();
            keys_body(SPACE, 0, &ids)
        })
        .collect();
    let start = Instant::now();
    let rounds = 20_000;
    for (round, body) in bodies.iter().cycle().take(rounds).enumerate() {
        caller.send(Kind::Exists, body);
        if round >= 4 {
            caller.next();
        }
    }
    for _ in 0..4 {
        caller.next();
    }
    let keys = rounds as f64 * 256.0;
    println!(
        "exists: {:.2} million keys/s",
        keys / start.elapsed().as_secs_f64() / 1e6
    );
}

/// One stream between two threads, without anything around it.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    fn new(source: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut sink = vec![1u8; BATCH * BLOCK];
            let mut order = [0; 16];
            while stream.read_exact(&mut order).is_ok() {
                let bytes = u64::from_le_bytes(order[..8].try_into().expect("8 bytes")) as usize;
                if order[8] == 0 {
                    source[..bytes].chunks(BLOCK).for_each(|chunk| {
                        stream.write_all(chunk).expect("a reader");
                    });
                } else {
                    for at in (0..bytes).step_by(PIECE) {
                        let at = at % sink.len();
                        stream
                            .read_exact(&mut sink[at..at + PIECE])
                            .expect("a writer");
                    }
                    stream.write_all(&[1]).expect("a reader");
                }
            }
        });
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Self { stream }
    }

    fn order(&mut self, bytes: usize, send: u8) {
        let mut order = [0; 16];
        order[..8].copy_from_slice(&(bytes as u64).to_le_bytes());
        order[8] = send;
        self.stream.write_all(&order).expect("a peer");
    }

    fn receive(&mut self, bytes: usize, target: &mut [u8]) {
        self.order(bytes, 0);
        for at in (0..bytes).step_by(PIECE) {
            let at = at % target.len();
            self.stream
                .read_exact(&mut target[at..at + PIECE])
                .expect("a peer");
        }
    }

    fn receive_small(&mut self, target: &mut [u8]) {
        self.order(target.len(), 0);
        self.stream.read_exact(target).expect("a peer");
    }

    fn send(&mut self, source: &[u8]) {
        self.order(source.len(), 1);
        source
            .chunks(BLOCK)
            .for_each(|chunk| self.stream.write_all(chunk).expect("a peer"));
        self.stream.read_exact(&mut [0]).expect("an answer");
    }
}
