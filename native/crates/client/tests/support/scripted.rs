//! A node of a few dozen lines that stores blocks in a map and misbehaves on request.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use holdfast_wire::checksum::crc32c;
use holdfast_wire::{
    AnswerStatus, BlockAnswer, BlockId, EXISTS_TOUCHES, GetAnswer, HEADER_BYTES, Header, Hello,
    KeyStatus, KeysRequest, Kind, PutDone, PutGrant, PutRequest, Refusal, Verdict, Welcome,
    bitmap_set,
};

use super::{CLUSTER, entry};
use holdfast_client::NodeEntry;

/// A slow link: so much, so often.
const TRICKLE_BYTES: usize = 8 << 10;
const TRICKLE_PAUSE: Duration = Duration::from_millis(10);

/// What the node does with the requests that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Honest,
    /// Reads requests and answers nothing, greetings included.
    Silent,
    /// Random bytes instead of answers.
    Garbage,
    /// A bitmap, or a list of statuses, of the wrong length.
    WrongCount,
    /// Answers with a number that was never asked.
    WrongNumber,
    /// Payload with one bit flipped.
    FlippedBit,
    /// Half of a get's payload, then nothing until it is told to go on; greets nobody meanwhile.
    StallMidGet,
    /// Half of a get's payload, then the rest in small pieces until it is told to go on.
    TrickleMidGet,
    /// Half of a get's payload, then the end.
    CloseMidGet,
    /// Reads half of a put's payload, then closes.
    CloseMidPut,
    /// Grants a put and reads nothing more until it is told to go on.
    StallMidPut,
    /// Every key of a put is busy.
    Busy,
    /// Owns nothing any more, by a newer map.
    NotOwner,
}

struct Stored {
    bytes: Vec<u8>,
    crc: u32,
    write_id: u32,
}

struct Script {
    id: u64,
    behaviour: Mutex<Behaviour>,
    changed: Condvar,
    blocks: Mutex<HashMap<BlockId, Stored>>,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicU64,
    requests: AtomicU64,
    reports: AtomicU64,
    touched: AtomicU64,
}

pub struct ScriptedNode {
    script: Arc<Script>,
    pub entry: NodeEntry,
}

impl ScriptedNode {
    pub fn start(id: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let script = Arc::new(Script {
            id,
            behaviour: Mutex::new(Behaviour::Honest),
            changed: Condvar::new(),
            blocks: Mutex::default(),
            streams: Mutex::default(),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            reports: AtomicU64::new(0),
            touched: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&script);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&accepting);
                script.connections.fetch_add(1, Ordering::SeqCst);
                let clone = stream.try_clone().expect("a descriptor");
                script.streams.lock().expect("lock").push(clone);
                // A connection that breaks ends its thread; that is what the tests are about.
                thread::spawn(move || {
                    let clone = stream.try_clone().expect("a descriptor");
                    let served = script.serve(stream);
                    // Other clones of the stream would keep it open.
                    let _ = clone.shutdown(std::net::Shutdown::Both);
                    served
                });
            }
        });
        Self {
            script,
            entry: entry(id, &address),
        }
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.script.behaviour.lock().expect("lock") = behaviour;
        self.script.changed.notify_all();
    }

    /// Closes every connection.
    pub fn disconnect(&self) {
        for stream in self.script.streams.lock().expect("lock").drain(..) {
            // One that is closed already cannot be shut down; that is fine.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    pub fn connections(&self) -> u64 {
        self.script.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> u64 {
        self.script.requests.load(Ordering::SeqCst)
    }

    pub fn reports(&self) -> u64 {
        self.script.reports.load(Ordering::SeqCst)
    }

    /// Blocks that it was told were read elsewhere.
    pub fn touched(&self) -> u64 {
        self.script.touched.load(Ordering::SeqCst)
    }

    pub fn blocks(&self) -> usize {
        self.script.blocks.lock().expect("lock").len()
    }
}

type Served = io::Result<()>;

impl Script {
    fn behaviour(&self) -> Behaviour {
        *self.behaviour.lock().expect("lock")
    }

    /// Waits until the node is told to behave otherwise.
    fn stay(&self, behaviour: Behaviour) {
        let mut now = self.behaviour.lock().expect("lock");
        while *now == behaviour {
            now = self.changed.wait(now).expect("lock");
        }
    }

    /// Lets a while pass if the node is to trickle: its link is slow.
    fn pace(&self) {
        let behaviour = self.behaviour.lock().expect("lock");
        let slow = |behaviour: &mut Behaviour| *behaviour == Behaviour::TrickleMidGet;
        let waited = self
            .changed
            .wait_timeout_while(behaviour, TRICKLE_PAUSE, slow);
        drop(waited.expect("lock"));
    }

    fn serve(&self, mut stream: TcpStream) -> Served {
        let mut waiting: HashMap<u32, (PutRequest, Vec<Verdict>)> = HashMap::new();
        loop {
            let (header, body) = read_frame(&mut stream)?;
            let behaviour = self.behaviour();
            match behaviour {
                Behaviour::Silent => {
                    self.stay(behaviour);
                    continue;
                }
                // A process that stands still greets nobody either.
                Behaviour::StallMidGet if header.kind == Kind::Hello => {
                    self.stay(behaviour);
                    continue;
                }
                Behaviour::Garbage if header.kind != Kind::Hello => {
                    stream.write_all(&[0xA5; 200])?;
                    continue;
                }
                _ => {}
            }
            match header.kind {
                Kind::Hello => self.greet(&mut stream, &body)?,
                Kind::Bind => answer(&mut stream, Kind::BindAnswer, &header, &[])?,
                Kind::Put => {
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    self.grant(&mut stream, &header, &body, &mut waiting)?;
                }
                Kind::PutData => {
                    let known = waiting.remove(&header.request);
                    let (put, verdicts) = known.ok_or(io::ErrorKind::InvalidData)?;
                    self.store(&mut stream, &header, &put, &verdicts)?;
                }
                _ => {
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    self.keyed(&mut stream, &header, &body)?;
                }
            }
        }
    }

    fn greet(&self, stream: &mut TcpStream, body: &[u8]) -> Served {
        let hello = Hello::decode(body).map_err(io::Error::other)?;
        let status = if hello.cluster == CLUSTER {
            AnswerStatus::Ok
        } else {
            AnswerStatus::WrongCluster
        };
        let mut out = Vec::new();
        Welcome {
            version: 1,
            version_min: 1,
            version_max: 1,
            features: 0,
            cluster: CLUSTER,
            node: self.id,
            incarnation: 1,
            requests_max: 256,
            grant_bytes_max: 256 << 20,
            text: String::new(),
        }
        .encode(&mut out);
        let mut header = Header::new(Kind::HelloAnswer, 0);
        header.status = status;
        write_frame(stream, &header, &out)
    }

    fn keyed(&self, stream: &mut TcpStream, header: &Header, body: &[u8]) -> Served {
        let request = KeysRequest::decode(body).map_err(io::Error::other)?;
        let mut blocks = self.blocks.lock().expect("lock");
        let mut out = Vec::new();
        if self.behaviour() == Behaviour::NotOwner {
            let kind = Kind::try_from(header.kind as u8 | 0x80).map_err(io::Error::other)?;
            let mut refusal = Header::new(kind, header.request);
            refusal.status = AnswerStatus::StaleEpoch;
            refusal.epoch = 99;
            Refusal::encode("not mine any more", &mut out);
            return write_frame(stream, &refusal, &out);
        }
        match header.kind {
            Kind::Exists => {
                if request.argument == EXISTS_TOUCHES {
                    let keys = request.ids.len() as u64;
                    self.touched.fetch_add(keys, Ordering::SeqCst);
                }
                let extra = usize::from(self.behaviour() == Behaviour::WrongCount);
                out.resize(request.ids.len().div_ceil(8) + extra, 0);
                for (at, id) in request.ids.iter().enumerate() {
                    if blocks.contains_key(id) {
                        bitmap_set(&mut out, at);
                    }
                }
                answer(stream, Kind::ExistsAnswer, header, &out)
            }
            Kind::Get => {
                drop(blocks);
                self.get(stream, header, request.ids)
            }
            Kind::Pin => {
                for id in request.ids {
                    let status = match blocks.contains_key(id) {
                        true => KeyStatus::Hit,
                        false => KeyStatus::Miss,
                    };
                    PutDone::push(&mut out, status);
                }
                answer(stream, Kind::PinAnswer, header, &out)
            }
            Kind::Delete | Kind::Report => {
                for id in request.ids {
                    let gone = blocks.remove(id).is_some();
                    PutDone::push(
                        &mut out,
                        if gone {
                            KeyStatus::Hit
                        } else {
                            KeyStatus::Miss
                        },
                    );
                }
                if header.kind == Kind::Report {
                    self.reports.fetch_add(1, Ordering::SeqCst);
                    return answer(stream, Kind::ReportAnswer, header, &out);
                }
                answer(stream, Kind::DeleteAnswer, header, &out)
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn get(&self, stream: &mut TcpStream, header: &Header, ids: &[BlockId]) -> Served {
        let behaviour = self.behaviour();
        let (mut out, mut payload) = (Vec::new(), Vec::new());
        for id in ids {
            let blocks = self.blocks.lock().expect("lock");
            let (status, crc, write_id) = match blocks.get(id) {
                Some(stored) => {
                    payload.extend_from_slice(&stored.bytes);
                    (KeyStatus::Hit, stored.crc, stored.write_id)
                }
                None => (KeyStatus::Miss, 0, 0),
            };
            let entry = BlockAnswer {
                status,
                crc,
                write_id,
            };
            GetAnswer::push(&mut out, &entry);
        }
        if behaviour == Behaviour::FlippedBit && !payload.is_empty() {
            payload[0] ^= 1;
        }
        let mut number = header.request;
        if behaviour == Behaviour::WrongNumber {
            number += 1000;
        }
        let mut head = Header::new(Kind::GetAnswer, number);
        head.payload_bytes = payload.len() as u64;
        write_frame(stream, &head, &out)?;
        let half = payload.len() / 2;
        stream.write_all(&payload[..half])?;
        match behaviour {
            Behaviour::StallMidGet => self.stay(behaviour),
            Behaviour::CloseMidGet => return Err(io::ErrorKind::ConnectionAborted.into()),
            _ => {}
        }
        for piece in payload[half..].chunks(TRICKLE_BYTES) {
            self.pace();
            stream.write_all(piece)?;
        }
        Ok(())
    }

    fn grant(
        &self,
        stream: &mut TcpStream,
        header: &Header,
        body: &[u8],
        waiting: &mut HashMap<u32, (PutRequest, Vec<Verdict>)>,
    ) -> Served {
        let put = PutRequest::decode(body).map_err(io::Error::other)?;
        let blocks = self.blocks.lock().expect("lock");
        let mut out = Vec::new();
        let mut verdicts = Vec::new();
        for entry in &put.entries {
            let verdict = match self.behaviour() {
                Behaviour::Busy => Verdict::Busy,
                Behaviour::NotOwner => Verdict::NotOwner,
                _ if blocks.contains_key(&entry.id) => Verdict::Present,
                _ => Verdict::Want,
            };
            verdicts.push(verdict);
            PutGrant::push(&mut out, verdict);
        }
        drop(blocks);
        answer(stream, Kind::PutGrant, header, &out)?;
        if verdicts.contains(&Verdict::Want) {
            waiting.insert(header.request, (put, verdicts));
            return Ok(());
        }
        self.done(stream, header, &verdicts, &[])
    }

    fn store(
        &self,
        stream: &mut TcpStream,
        header: &Header,
        put: &PutRequest,
        verdicts: &[Verdict],
    ) -> Served {
        let behaviour = self.behaviour();
        let mut payload = vec![0; header.payload_bytes as usize];
        match behaviour {
            Behaviour::StallMidPut => self.stay(behaviour),
            Behaviour::CloseMidPut => {
                let half = payload.len() / 2;
                return stream.read_exact(&mut payload[..half]);
            }
            _ => {}
        }
        stream.read_exact(&mut payload)?;
        let wanted: Vec<usize> = (0..verdicts.len())
            .filter(|at| verdicts[*at] == Verdict::Want)
            .collect();
        if payload.is_empty() {
            return self.done(stream, header, verdicts, &[]);
        }
        let block_bytes = payload.len() / wanted.len() - 4;
        let (blocks, checksums) = payload.split_at(block_bytes * wanted.len());
        let mut stored = Vec::new();
        for (place, at) in wanted.iter().enumerate() {
            let bytes = &blocks[place * block_bytes..][..block_bytes];
            let crc = crc32c(bytes);
            let claimed = &checksums[place * 4..][..4];
            stored.push(claimed == crc.to_le_bytes());
            if stored[place] {
                let block = Stored {
                    bytes: bytes.to_vec(),
                    crc,
                    write_id: put.write_id,
                };
                let mut all = self.blocks.lock().expect("lock");
                all.insert(put.entries[*at].id, block);
            }
        }
        self.done(stream, header, verdicts, &stored)
    }

    fn done(
        &self,
        stream: &mut TcpStream,
        header: &Header,
        verdicts: &[Verdict],
        stored: &[bool],
    ) -> Served {
        let mut out = Vec::new();
        let mut stored = stored.iter();
        for verdict in verdicts {
            let status = match verdict {
                Verdict::Want => match stored.next() {
                    Some(true) => KeyStatus::Stored,
                    Some(false) => KeyStatus::Corrupt,
                    None => KeyStatus::Cancelled,
                },
                Verdict::Present => KeyStatus::Present,
                Verdict::Busy => KeyStatus::Busy,
                Verdict::NotOwner => KeyStatus::NotOwner,
                Verdict::Refused | Verdict::Duplicate => KeyStatus::Refused,
            };
            PutDone::push(&mut out, status);
        }
        answer(stream, Kind::PutDone, header, &out)
    }
}

fn answer(stream: &mut TcpStream, kind: Kind, request: &Header, body: &[u8]) -> Served {
    write_frame(stream, &Header::new(kind, request.request), body)
}

fn write_frame(stream: &mut TcpStream, header: &Header, body: &[u8]) -> Served {
    let mut out = Vec::new();
    header.encode(body, &mut out);
    stream.write_all(&out)
}

fn read_frame(stream: &mut TcpStream) -> io::Result<(Header, Vec<u8>)> {
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head)?;
    let (header, check) = Header::decode(&head).map_err(io::Error::other)?;
    let mut body = vec![0; header.body_bytes as usize];
    stream.read_exact(&mut body)?;
    Header::verify(&head, check, &body).map_err(io::Error::other)?;
    Ok((header, body))
}
