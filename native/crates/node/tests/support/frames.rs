use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use holdfast_transport::{Interest, Mapping, SocketOptions, Stream, wait};
use holdfast_wire::{
    AnswerStatus, BindRequest, HEADER_BYTES, Header, Hello, Kind, Refusal, TICKET_BYTES,
    TransportKind, VERSION_MAX, VERSION_MIN, ViewAnnounce, Welcome,
};

use super::PATIENCE;
use super::rig::{CLUSTER, NODE};

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    pub header: Header,
    pub body: Vec<u8>,
}

impl Frame {
    /// The words of a refusal.
    pub fn text(&self) -> String {
        Refusal::decode(&self.body).expect("a refusal").text
    }
}

/// The caller's side of one connection, one step at a time. Every wait has a deadline.
pub struct Caller {
    pub stream: Stream,
    pub views: HashMap<u32, Mapping>,
    pub retired: Vec<u32>,
    pub epoch: u64,
    pub deadline_ms: u32,
    arrived: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    next_request: u32,
}

impl Caller {
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = Stream::connect_tcp(address, &SocketOptions::default()).expect("a socket");
        assert!(wait(stream.as_fd(), Interest::Writable, PATIENCE).expect("a poll"));
        stream.connect_result().expect("a connection");
        Self::new(stream)
    }

    pub fn unix(path: &Path) -> Self {
        Self::new(Stream::connect_unix(path, &SocketOptions::default()).expect("a connection"))
    }

    fn new(stream: Stream) -> Self {
        Self {
            stream,
            views: HashMap::new(),
            retired: Vec::new(),
            epoch: super::rig::EPOCH,
            deadline_ms: 10_000,
            arrived: Vec::new(),
            descriptors: VecDeque::new(),
            next_request: 1,
        }
    }

    pub fn number(&mut self) -> u32 {
        self.next_request += 1;
        self.next_request - 1
    }

    pub fn header(&mut self, kind: Kind) -> Header {
        let mut header = Header::new(kind, self.number());
        header.epoch = self.epoch;
        header.deadline_ms = self.deadline_ms;
        header
    }

    /// Sends a request and returns its number.
    pub fn send(&mut self, kind: Kind, body: &[u8]) -> u32 {
        let header = self.header(kind);
        self.send_frame(&header, body);
        header.request
    }

    pub fn send_frame(&mut self, header: &Header, body: &[u8]) {
        let mut frame = Vec::new();
        header.encode(body, &mut frame);
        self.send_bytes(&frame).expect("a node that reads");
    }

    pub fn send_descriptor(&mut self, kind: Kind, body: &[u8], descriptor: &OwnedFd) -> u32 {
        let header = self.header(kind);
        let mut frame = Vec::new();
        header.encode(body, &mut frame);
        let sent = self
            .stream
            .write_with_descriptor(&frame, descriptor.as_fd())
            .expect("an empty socket");
        assert_eq!(sent, frame.len(), "a small frame is sent whole");
        header.request
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_until(Interest::Writable, end)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_until(&self, interest: Interest, end: Instant) -> io::Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !wait(self.stream.as_fd(), interest, left)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Reads exactly so many bytes; an early end is an error.
    pub fn receive(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let end = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 256 << 10];
        let mut fresh = Vec::new();
        while self.arrived.len() < bytes {
            match self.stream.read_with_descriptors(&mut buffer, &mut fresh) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.arrived.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_until(Interest::Readable, end)?;
                }
                Err(error) => return Err(error),
            }
            self.descriptors.extend(fresh.drain(..));
        }
        let rest = self.arrived.split_off(bytes);
        Ok(std::mem::replace(&mut self.arrived, rest))
    }

    /// The next frame, whatever it is.
    pub fn frame(&mut self) -> io::Result<Frame> {
        let head: [u8; HEADER_BYTES] = self.receive(HEADER_BYTES)?.try_into().expect("a header");
        let (header, check) = Header::decode(&head).expect("a header");
        let body = self.receive(header.body_bytes as usize)?;
        Header::verify(&head, check, &body).expect("a good check");
        Ok(Frame { header, body })
    }

    /// The next frame that is no view; views are mapped or unmapped on the way.
    pub fn next(&mut self) -> Frame {
        loop {
            let frame = self.frame().expect("a frame");
            if frame.header.kind != Kind::View {
                return frame;
            }
            self.view(&frame);
        }
    }

    fn view(&mut self, frame: &Frame) {
        let view = ViewAnnounce::decode(&frame.body).expect("a view");
        if view.bytes == 0 {
            assert!(
                self.views.remove(&view.view).is_some(),
                "retired an unknown view"
            );
            self.retired.push(view.view);
            return;
        }
        let descriptor = self
            .descriptors
            .pop_front()
            .expect("a descriptor with the view");
        let bytes = view.bytes as usize;
        assert!(
            Mapping::writable(descriptor.as_fd(), bytes).is_err(),
            "a caller must not be able to write into the node's memory"
        );
        let mapping = Mapping::read_only(descriptor.as_fd(), bytes).expect("a mapping");
        assert!(
            self.views.insert(view.view, mapping).is_none(),
            "announced twice"
        );
    }

    /// The answer to a request, which must be the next frame.
    pub fn answer(&mut self, kind: Kind, request: u32) -> Frame {
        let frame = self.next();
        assert_eq!(
            (frame.header.kind, frame.header.request),
            (kind, request),
            "{frame:?}"
        );
        frame
    }

    /// The last frame of a connection that ends, and its end.
    pub fn goodbye(&mut self) -> Frame {
        let frame = self.next();
        assert_eq!(frame.header.kind, Kind::Goodbye, "{frame:?}");
        self.end();
        frame
    }

    /// The node closes the connection.
    pub fn end(&mut self) {
        let error = self.receive(1).expect_err("the node closes the connection");
        let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
    }

    pub fn hello(transport: TransportKind, ticket: &[u8; TICKET_BYTES]) -> Hello {
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: 0,
            cluster: CLUSTER,
            node: NODE,
            client: [1; 16],
            transport,
            ticket: *ticket,
        }
    }

    pub fn say_hello(&mut self, hello: &Hello) -> (AnswerStatus, Welcome) {
        let mut body = Vec::new();
        hello.encode(&mut body);
        let request = self.send(Kind::Hello, &body);
        let answer = self.answer(Kind::HelloAnswer, request);
        let welcome = Welcome::decode(&answer.body).expect("a welcome");
        (answer.header.status, welcome)
    }

    pub fn greet(&mut self, transport: TransportKind, ticket: &[u8; TICKET_BYTES]) {
        let (status, welcome) = self.say_hello(&Self::hello(transport, ticket));
        assert_eq!(status, AnswerStatus::Ok, "{}", welcome.text);
    }

    pub fn try_bind(&mut self, ticket: &[u8; TICKET_BYTES]) -> Frame {
        let mut body = Vec::new();
        BindRequest { ticket: *ticket }.encode(&mut body);
        let request = self.send(Kind::Bind, &body);
        self.answer(Kind::BindAnswer, request)
    }

    pub fn bind(&mut self, ticket: &[u8; TICKET_BYTES]) {
        let answer = self.try_bind(ticket);
        assert_eq!(answer.header.status, AnswerStatus::Ok);
    }
}
