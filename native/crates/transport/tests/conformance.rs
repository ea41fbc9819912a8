//! What TCP and Unix streams do alike, and what only one of them does.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_transport::{
    Family, Interest, IoVector, Listener, LowWater, Mapping, MemoryFile, RegionKind, SocketOptions,
    Stream, classify_region, read_at, wait,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("holdfast-{}-{name}.sock", std::process::id()))
}

/// Both ends of a connection, made by listening and connecting.
fn connected(family: Family, name: &str) -> (Stream, Stream) {
    let options = SocketOptions::default();
    let (listener, caller) = match family {
        Family::Tcp => {
            let listener = Listener::bind_tcp("127.0.0.1:0".parse().expect("an address"));
            let listener = listener.expect("a listener");
            let address = listener.tcp_address().expect("an address");
            let caller = Stream::connect_tcp(address, &options).expect("a socket");
            (listener, caller)
        }
        Family::Unix => {
            let path = socket_path(name);
            let listener = Listener::bind_unix(&path).expect("a listener");
            let caller = Stream::connect_unix(&path, &options).expect("a connection");
            (listener, caller)
        }
    };
    assert!(wait(caller.as_fd(), Interest::Writable, PATIENCE).expect("a poll"));
    caller.connect_result().expect("a connection");
    let accepted = listener
        .accept(&options)
        .expect("a connection")
        .expect("one waits");
    assert!(listener.accept(&options).expect("no error").is_none());
    assert_eq!((caller.family(), accepted.family()), (family, family));
    (caller, accepted)
}

fn read_all(stream: &Stream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    let mut done = 0;
    while done < bytes {
        match stream.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(wait(stream.as_fd(), Interest::Readable, PATIENCE).expect("a poll"));
            }
            Err(error) => panic!("{error}"),
        }
    }
    buffer.truncate(done);
    buffer
}

#[test]
fn bytes_arrive_in_order_whatever_the_pieces() {
    for family in [Family::Tcp, Family::Unix] {
        let (one, other) = connected(family, "order");
        let sent: Vec<u8> = (0..3000_u32).map(|value| (value % 251) as u8).collect();
        let pieces: Vec<IoVector> = sent.chunks(7).map(IoVector::of).collect();
        // SAFETY: the pieces are borrowed for the call.
        let written = unsafe { one.write_from(&pieces) }.expect("an empty socket");
        assert_eq!(written, sent.len());
        let (mut first, mut second) = (vec![0; 1234], vec![0; 5000]);
        assert!(wait(other.as_fd(), Interest::Readable, PATIENCE).expect("a poll"));
        let room = [IoVector::of_mut(&mut first), IoVector::of_mut(&mut second)];
        // SAFETY: the room is borrowed for the call.
        let read = unsafe { other.read_into(&room) }.expect("bytes");
        assert_eq!(read, sent.len());
        assert!(first == sent[..1234] && second[..read - 1234] == sent[1234..]);
    }
}

#[test]
fn an_empty_and_a_full_socket_would_block_and_an_end_is_seen() {
    for family in [Family::Tcp, Family::Unix] {
        let (one, other) = connected(family, "block");
        let mut buffer = [0; 16];
        let empty = other.read(&mut buffer).expect_err("nothing is there");
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        let block = vec![1; 1 << 20];
        let mut written = 0;
        let full = loop {
            match one.write(&block) {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
            assert!(written < 1 << 30, "a socket without end");
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        one.shutdown_write();
        assert_eq!(read_all(&other, written + 1).len(), written);
        drop(other);
        while one.write(&block).is_ok() {}
        assert!(
            one.write(&block).is_err(),
            "a broken connection is an error and no signal"
        );
    }
}

#[test]
fn connecting_to_nobody_fails() {
    let listener = Listener::bind_tcp("127.0.0.1:0".parse().expect("an address"));
    let address = listener
        .expect("a listener")
        .tcp_address()
        .expect("an address");
    let stream = Stream::connect_tcp(address, &SocketOptions::default());
    let refused = stream.and_then(|stream| {
        assert!(wait(stream.as_fd(), Interest::Writable, PATIENCE).expect("a poll"));
        stream.connect_result()
    });
    assert!(refused.is_err());
    let nobody = Stream::connect_unix(&socket_path("nobody"), &SocketOptions::default());
    assert!(nobody.is_err());
    let long = PathBuf::from("/".repeat(200));
    let error = Stream::connect_unix(&long, &SocketOptions::default()).expect_err("too long");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let path = socket_path("stale");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    assert!(
        path.exists(),
        "nobody listens any more, the socket is still there"
    );
    let listener = Listener::bind_unix(&path).expect("replaced");
    assert!(Listener::bind_unix(&path).is_err(), "in use");
    drop(listener);
    assert!(!path.exists());
    std::fs::write(&path, b"not a socket").expect("a file");
    assert!(Listener::bind_unix(&path).is_err());
    std::fs::remove_file(&path).expect("the file is still there");
}

#[test]
fn descriptors_travel_with_their_bytes() {
    let (one, other) = connected(Family::Unix, "descriptors");
    let file = MemoryFile::create(c"test", 8192).expect("a memory file");
    file.seal_size().expect("seals");
    let mapping = Mapping::writable(file.as_fd(), 8192).expect("a mapping");
    // SAFETY: the byte lies in the mapping.
    unsafe { mapping.address().add(5000).write(77) };
    one.write(b"before").expect("an empty socket");
    one.write_with_descriptor(b"with", file.as_fd())
        .expect("an empty socket");
    one.write(b"behind").expect("an empty socket");
    let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    while bytes.len() < 16 {
        let mut buffer = [0; 64];
        assert!(wait(other.as_fd(), Interest::Readable, PATIENCE).expect("a poll"));
        let read = other
            .read_with_descriptors(&mut buffer, &mut descriptors)
            .expect("bytes");
        bytes.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(bytes, b"beforewithbehind");
    assert_eq!(descriptors.len(), 1);
    let (kind, size) = classify_region(descriptors[0].as_fd()).expect("a file");
    assert_eq!((kind, size), (RegionKind::Sealed, 8192));
    let view = Mapping::read_only(descriptors[0].as_fd(), 8192).expect("a mapping");
    // SAFETY: the byte lies in the mapping.
    assert_eq!(unsafe { view.address().add(5000).read() }, 77);
}

#[test]
fn strangers_files_are_told_apart() {
    let file = MemoryFile::create(c"test", 4096).expect("a memory file");
    let unsealed = classify_region(file.as_fd()).expect("a file");
    assert_eq!(unsealed, (RegionKind::Readable, 4096));
    let mut buffer = [1; 100];
    assert_eq!(
        read_at(file.as_fd(), &mut buffer, 4050).expect("a read"),
        46
    );
    assert_eq!(
        read_at(file.as_fd(), &mut buffer, 10_000).expect("a read"),
        0
    );
    let (pipe, _other) = io::pipe().expect("a pipe");
    assert_eq!(
        classify_region(pipe.as_fd()).expect("a pipe").0,
        RegionKind::Foreign
    );
    let proc = std::fs::File::open("/proc/self/status").expect("a file");
    assert_eq!(
        classify_region(proc.as_fd()).expect("a file").0,
        RegionKind::Foreign
    );
}

/// A payload that trickles in is read to its end: nobody waits for more than is still to come.
#[test]
fn a_low_water_mark_follows_what_is_still_to_come() {
    const PAYLOAD_BYTES: usize = 3 << 20;
    let (sender, receiver) = connected(Family::Tcp, "low-water");
    let sending = std::thread::spawn(move || {
        for piece in vec![7; PAYLOAD_BYTES].chunks(10_007) {
            let mut rest = piece;
            while !rest.is_empty() {
                match sender.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        assert!(wait(sender.as_fd(), Interest::Writable, PATIENCE).expect("poll"));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        sender
    });
    let mut low_water = LowWater::default();
    let mut buffer = vec![0; 64 << 10];
    let mut left = PAYLOAD_BYTES;
    while left > 0 {
        low_water.follow(&receiver, left as u64);
        assert!(wait(receiver.as_fd(), Interest::Readable, PATIENCE).expect("a poll"));
        match receiver.read(&mut buffer[..left.min(64 << 10)]) {
            Ok(0) => panic!("the end, {left} bytes too early"),
            Ok(read) => left -= read,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    low_water.follow(&receiver, 0);
    let sender = sending.join().expect("the sender");
    sender.write(b"x").expect("room");
    assert_eq!(read_all(&receiver, 1), b"x");
}

#[test]
fn the_end_of_a_stream_is_told_below_its_low_water_mark() {
    let (sender, receiver) = connected(Family::Tcp, "low-water-end");
    let mut low_water = LowWater::default();
    low_water.follow(&receiver, 8 << 20);
    sender.write(&[1; 1000]).expect("room");
    assert!(!wait(receiver.as_fd(), Interest::Readable, Duration::ZERO).expect("a poll"));
    drop(sender);
    assert!(wait(receiver.as_fd(), Interest::Readable, PATIENCE).expect("a poll"));
    assert_eq!(read_all(&receiver, 1001).len(), 1000);
}
