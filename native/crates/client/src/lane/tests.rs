use std::time::Duration;

use holdfast_transport::Stream;
use holdfast_wire::limits::REQUESTS_IN_FLIGHT_MAX;
use holdfast_wire::{BlockAnswer, GetAnswer, KeyStatus, PutDone};

use super::*;
use crate::random::Random;

const CLUSTER: [u8; 16] = [4; 16];

struct Bed {
    lane: Lane,
    node: Stream,
    tenant: Credential,
}

impl Bed {
    fn new() -> Self {
        let (stream, node) = Stream::pair().expect("a pair of sockets");
        let tenant = Credential {
            ticket: [1; TICKET_BYTES],
            generation: 1,
        };
        let identity = LaneIdentity {
            cluster: CLUSTER,
            client: [2; 16],
            node: 9,
            transport: TransportKind::Tcp,
        };
        let lane = Lane::new(stream, &identity, 0, &tenant, Instant::now());
        Self { lane, node, tenant }
    }

    /// A lane that is greeted.
    fn ready() -> Self {
        let mut bed = Self::new();
        let mut body = Vec::new();
        Welcome {
            version: 1,
            version_min: 1,
            version_max: 1,
            features: 0,
            cluster: CLUSTER,
            node: 9,
            incarnation: 1,
            requests_max: REQUESTS_IN_FLIGHT_MAX,
            grant_bytes_max: 1 << 20,
            text: String::new(),
        }
        .encode(&mut body);
        let events = bed
            .tell(Kind::HelloAnswer, 0, &body, 0)
            .expect("a greeting");
        assert!(matches!(events[..], [LaneEvent::Ready(_)]));
        bed
    }

    fn tell(
        &mut self,
        kind: Kind,
        number: u32,
        body: &[u8],
        payload_bytes: u64,
    ) -> Result<Vec<LaneEvent>, LaneFailure> {
        let mut header = Header::new(kind, number);
        header.payload_bytes = payload_bytes;
        let mut bytes = Vec::new();
        header.encode(body, &mut bytes);
        self.tell_bytes(&bytes)
    }

    fn tell_bytes(&mut self, bytes: &[u8]) -> Result<Vec<LaneEvent>, LaneFailure> {
        let sent = self.node.write(bytes).expect("room in the socket");
        assert_eq!(sent, bytes.len());
        let mut events = Vec::new();
        self.lane.readable = true;
        self.lane.receive(1 << 20, Instant::now(), &mut events)?;
        Ok(events)
    }

    fn ask(&mut self, kind: RequestKind, keys: u32) -> u32 {
        let mut request = Request::own(kind, 5, Instant::now() + Duration::from_secs(9));
        request.operation = 77;
        request.keys = (0..keys).collect();
        request.ids = vec![[3; 16]; keys as usize];
        self.lane.submit(request);
        let tenant = self.tenant.clone();
        self.lane.pump(&LaneContext {
            tenant: &tenant,
            spaces: &|_| None,
            epoch: 1,
            now: Instant::now(),
        });
        self.lane.flush(1 << 20).expect("sent");
        self.lane.number
    }
}

#[test]
fn requests_wait_for_the_greeting() {
    let mut bed = Bed::new();
    bed.ask(RequestKind::Exists, 3);
    assert_eq!((bed.lane.requests.len(), bed.lane.waiting.len()), (0, 1));
    let failure = bed
        .tell(Kind::ExistsAnswer, 1, &[0], 0)
        .err()
        .expect("refused");
    assert!(matches!(failure, LaneFailure::Protocol(_)), "{failure}");
}

#[test]
fn an_answer_fills_its_request() {
    let mut bed = Bed::ready();
    let number = bed.ask(RequestKind::Exists, 10);
    let events = bed
        .tell(Kind::ExistsAnswer, number, &[0b101, 0b10], 0)
        .expect("an answer");
    let [LaneEvent::Finished(request, Outcome::Answered)] = &events[..] else {
        panic!("not one finished request");
    };
    let hits: Vec<usize> = (0..10)
        .filter(|key| request.results[*key] == Some(KeyStatus::Hit))
        .collect();
    assert_eq!(hits, [0, 2, 9]);
    assert_eq!(bed.lane.load(), 0);
}

#[test]
fn no_request_is_lost_when_its_answer_is_wrong() {
    let mut short = Vec::new();
    PutDone::push(&mut short, KeyStatus::Hit);
    let mut wrong_size = Vec::new();
    for _ in 0..2 {
        let answer = BlockAnswer {
            status: KeyStatus::Hit,
            crc: 0,
            write_id: 0,
        };
        GetAnswer::push(&mut wrong_size, &answer);
    }
    let lies: &[(RequestKind, Kind, &[u8], u64)] = &[
        (RequestKind::Exists, Kind::ExistsAnswer, &[0, 0], 0),
        (RequestKind::Exists, Kind::GetAnswer, &[], 0),
        (RequestKind::Delete, Kind::DeleteAnswer, &short, 0),
        (RequestKind::Delete, Kind::DeleteAnswer, &[255, 255], 0),
        (RequestKind::Stat, Kind::StatAnswer, &[1; 39], 0),
        (RequestKind::Get, Kind::GetAnswer, &wrong_size, 7),
        (RequestKind::Get, Kind::Located, &[0; 48], 0),
        (RequestKind::Put, Kind::PutGrant, &[0, 9], 0),
    ];
    for (request, answer, body, payload_bytes) in lies {
        let mut bed = Bed::ready();
        let number = bed.ask(*request, 2);
        let told = bed.tell(*answer, number, body, *payload_bytes);
        assert!(told.is_err(), "{request:?} answered by {answer:?}");
        let requests = bed.lane.into_requests();
        assert_eq!(requests.len(), 1, "{request:?} answered by {answer:?}");
    }
}

#[test]
fn any_bytes_at_all_end_the_lane_or_are_waited_for() {
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for round in 0..3000 {
        let mut bed = Bed::ready();
        let number = bed.ask(RequestKind::Exists, 40);
        let mut header = Header::new(Kind::ExistsAnswer, number);
        header.epoch = random.next();
        let mut bytes = Vec::new();
        header.encode(&[0x5A; 5], &mut bytes);
        for _ in 0..=random.next() % 3 {
            let at = (random.next() % bytes.len() as u64) as usize;
            bytes[at] ^= 1 << (random.next() % 8);
        }
        bytes.truncate(bytes.len() - (random.next() % 4) as usize);
        // Twice the same bit may give the frame back; what counts is that nothing is lost.
        let finished = bed.tell_bytes(&bytes).map_or(0, |events| events.len());
        let left = bed.lane.into_requests().len();
        assert_eq!(finished + left, 1, "round {round} of seed {seed}");
    }
}

#[test]
fn an_abandoned_request_takes_its_answer_and_nothing_else() {
    let mut bed = Bed::ready();
    let number = bed.ask(RequestKind::Exists, 8);
    let mut taken = Vec::new();
    bed.lane
        .abandon(77, &mut taken)
        .expect("nothing in mid-payload");
    assert_eq!(taken.len(), 1);
    assert!(bed.lane.asked_at(77).is_none());
    let events = bed
        .tell(Kind::ExistsAnswer, number, &[255], 0)
        .expect("an answer");
    let [LaneEvent::Finished(request, _)] = &events[..] else {
        panic!("not one finished request");
    };
    assert!(request.abandoned);
    bed.ask(RequestKind::Exists, 8);
    let failure = bed
        .tell(Kind::ExistsAnswer, number, &[255], 0)
        .err()
        .expect("refused");
    assert!(matches!(failure, LaneFailure::Protocol(_)), "{failure}");
}

#[test]
fn requests_beyond_the_nodes_limit_wait() {
    let mut bed = Bed::ready();
    for _ in 0..REQUESTS_IN_FLIGHT_MAX + 10 {
        bed.ask(RequestKind::Exists, 1);
    }
    assert_eq!(
        bed.lane.requests.len(),
        REQUESTS_IN_FLIGHT_MAX as usize - RESERVED_REQUESTS
    );
    assert_eq!(bed.lane.load(), REQUESTS_IN_FLIGHT_MAX as usize + 10);
}
