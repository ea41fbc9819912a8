use holdfast_transport::Family;
use holdfast_wire::limits::REQUESTS_IN_FLIGHT_MAX;
use holdfast_wire::{
    AnswerStatus, FEATURES, Header, Hello, Kind, TransportKind, VERSION_MAX, VERSION_MIN, Welcome,
};

use crate::connection::{Context, End};
use crate::exchange::{Exchange, Request};
use crate::session::{Denied, Session};

/// Opens the connection, or answers why not with the node's own values.
pub(crate) fn hello(
    exchange: &mut Exchange,
    request: &Request<'_>,
    family: Family,
    context: &Context<'_>,
) -> Result<Session, End> {
    if request.header.kind != Kind::Hello {
        let text = format!("{:?} came before hello", request.header.kind);
        return Err(Denied::new(AnswerStatus::Malformed, text).into());
    }
    let hello = Hello::decode(request.body)?;
    let result = open(&hello, family, context);
    let identity = &context.shared.config.identity;
    let mut welcome = Welcome {
        version: hello.version_max.min(VERSION_MAX),
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        features: hello.features & FEATURES,
        cluster: identity.cluster,
        node: identity.node,
        incarnation: identity.incarnation,
        requests_max: REQUESTS_IN_FLIGHT_MAX,
        grant_bytes_max: context.shared.config.grant_bytes_max,
        text: String::new(),
    };
    let mut header = Header::new(Kind::HelloAnswer, request.header.request);
    header.epoch = context.epoch();
    if let Err(denied) = &result {
        context.counters.hellos_refused.add(1);
        header.status = denied.status;
        welcome.text.clone_from(&denied.text);
        if denied.status == AnswerStatus::VersionSkew {
            welcome.version = 0;
        }
    }
    let mut body = Vec::new();
    welcome.encode(&mut body);
    exchange.outgoing.push(&header, &body, Some(request.ends));
    result.map_err(|_| End::Refused)
}

fn open(hello: &Hello, family: Family, context: &Context<'_>) -> Result<Session, Denied> {
    let shared = context.shared;
    let identity = &shared.config.identity;
    if hello.version_min > VERSION_MAX
        || hello.version_max < VERSION_MIN
        || hello.version_min > hello.version_max
    {
        return Err(Denied::new(
            AnswerStatus::VersionSkew,
            format!(
                "you speak protocol versions {} to {}, this node {VERSION_MIN} to {VERSION_MAX}",
                hello.version_min, hello.version_max
            ),
        ));
    }
    if hello.cluster != identity.cluster {
        return Err(Denied::new(
            AnswerStatus::WrongCluster,
            format!(
                "you look for cluster {}, this node belongs to {}",
                hex(&hello.cluster),
                hex(&identity.cluster)
            ),
        ));
    }
    if hello.node != 0 && hello.node != identity.node {
        return Err(Denied::new(
            AnswerStatus::WrongNode,
            format!(
                "you look for node {}, this is node {}",
                hello.node, identity.node
            ),
        ));
    }
    if shared.is_stopping() {
        return Err(Denied::new(
            AnswerStatus::Unavailable,
            "the node is shutting down",
        ));
    }
    let ticket = shared
        .verifier()
        .verify(&hello.ticket, shared.clock.wall_s())
        .map_err(|error| Denied::new(AnswerStatus::Unauthenticated, error.to_string()))?;
    if hello.transport == TransportKind::SharedMemory && family != Family::Unix {
        return Err(Denied::new(
            AnswerStatus::PermissionDenied,
            "shared memory needs the node's Unix socket, this connection is TCP",
        ));
    }
    Session::open(shared, &ticket, hello.transport)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
