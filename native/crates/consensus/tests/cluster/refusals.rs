//! Garbage, mistakes of the host, and disks that forgot.

use holdfast_consensus::{
    Core, CoreConfig, CoreError, DurableLog, Envelope, HardStateRecord, MessageKind, Recovered,
};

use crate::cluster::Cluster;
use crate::member::Member;
use crate::random::Random;

#[test]
fn garbage_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::calm(40, 3, 3);
    cluster.elect();
    let mut random = Random::new(40);
    for _ in 0..5000 {
        let bytes: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8).collect();
        let before = cluster.core(1).status();
        let error = cluster.core(1).step(&bytes).expect_err("garbage");
        assert!(
            matches!(
                error,
                CoreError::Malformed { .. } | CoreError::WrongRecipient { .. }
            ),
            "{error}"
        );
        assert_eq!(cluster.core(1).status(), before);
    }
    cluster.heal_and_serve();
}

#[test]
fn flipped_bits_never_stop_a_member_without_a_word() {
    // The transport authenticates, so this is not an attack: the point is that whatever parses is
    // either taken or refused, and a failed assertion becomes an error.
    let mut random = Random::new(41);
    let mut cluster = Cluster::calm(41, 3, 3);
    let leader = cluster.elect();
    let victim = leader % 3 + 1;
    cluster
        .core(leader)
        .propose(Vec::new(), b"data".to_vec())
        .expect("proposed");
    let turn = cluster.member(leader).turn(&mut random, 0);
    let messages: Vec<Vec<u8>> = turn.messages.iter().map(Envelope::encode).collect();
    for _ in 0..3000 {
        let mut bytes = random.pick(&messages).expect("messages").clone();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        let recovered = cluster.member(victim).log.recovered().expect("recovered");
        let applied = cluster.member(victim).machine.applied;
        let mut core = Core::new(&CoreConfig::new(victim), recovered, applied, 1).expect("core");
        let _ = core.step(&bytes);
        let _ = core.ready();
    }
}

#[test]
fn messages_for_others_are_refused() {
    let mut cluster = Cluster::calm(42, 3, 3);
    let leader = cluster.elect();
    let (one, two) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let mut random = Random::new(0);
    cluster
        .core(leader)
        .propose(Vec::new(), b"x".to_vec())
        .expect("proposed");
    let turn = cluster.member(leader).turn(&mut random, 0);
    let for_one = turn
        .messages
        .iter()
        .find(|message| message.to() == one)
        .expect("a message");
    assert_eq!(for_one.kind(), MessageKind::Append);
    assert_eq!(
        cluster.core(two).step(&for_one.encode()),
        Err(CoreError::WrongRecipient {
            member_id: two,
            to: one
        })
    );
}

#[test]
fn a_wiped_disk_is_noticed() {
    let mut cluster = Cluster::calm(43, 3, 3);
    let leader = cluster.elect();
    for number in 0..10_u64 {
        cluster.commit(&number.to_le_bytes());
    }
    cluster.heal_and_serve();
    let wiped = leader % 3 + 1;
    cluster.crash(wiped);
    *cluster.member(wiped) = Member::founder(wiped, &[1, 2, 3]);
    cluster.start(wiped);
    let mut random = Random::new(0);
    let mut noticed = None;
    for _ in 0..20 {
        cluster.core(leader).tick().expect("tick");
        let turn = cluster.member(leader).turn(&mut random, 0);
        for message in turn.messages.iter().filter(|message| message.to() == wiped) {
            if let Err(error) = cluster.core(wiped).step(&message.encode()) {
                noticed = Some(error);
            }
        }
    }
    assert!(
        matches!(noticed, Some(CoreError::MemberOutdated { leader: by, .. }) if by == leader),
        "{noticed:?}"
    );
}

#[test]
fn input_waits_for_advance() {
    let mut cluster = Cluster::calm(44, 1, 1);
    cluster.elect();
    let core = cluster.core(1);
    core.propose(Vec::new(), b"x".to_vec()).expect("proposed");
    let effects = core.ready().expect("ready").expect("effects");
    for refused in [
        core.tick().expect_err("tick"),
        core.propose(Vec::new(), Vec::new()).expect_err("propose"),
        core.ready().expect_err("ready"),
        core.advance_apply(1).expect_err("advance_apply"),
        core.advance(effects.number + 1)
            .expect_err("another number"),
    ] {
        assert!(matches!(refused, CoreError::OutOfOrder { .. }), "{refused}");
    }
    assert!(!core.has_ready());
    core.advance(effects.number).expect("advance");
    let error = core.advance(effects.number).expect_err("twice");
    assert!(matches!(error, CoreError::OutOfOrder { .. }), "{error}");
    core.tick().expect("tick");
}

#[test]
fn apply_keeps_to_what_was_handed_out() {
    let mut cluster = Cluster::calm(45, 1, 1);
    cluster.elect();
    let core = cluster.core(1);
    let applied = core.applied();
    for index in [applied - 1, applied + 1] {
        let error = core.advance_apply(index).expect_err("refused");
        assert!(matches!(error, CoreError::OutOfOrder { .. }), "{error}");
    }
    let error = core
        .apply_configuration_change(applied)
        .expect_err("none waits");
    assert!(matches!(error, CoreError::OutOfOrder { .. }), "{error}");
}

#[test]
fn large_entries_and_full_logs_are_refused() {
    let config = CoreConfig {
        message_bytes_max: 1000,
        entry_bytes_max: 1000,
        uncommitted_bytes_max: 3000,
        ..CoreConfig::new(1)
    };
    let mut core = Core::new(&config, Recovered::bootstrap(&[1, 2, 3]), 1, 1).expect("core");
    let error = core
        .propose(vec![0; 500], vec![0; 501])
        .expect_err("too large");
    assert_eq!(
        error,
        CoreError::EntryTooLarge {
            bytes: 1001,
            bytes_max: 1000
        }
    );
    let mut cluster = Cluster::calm(46, 3, 3);
    let leader = cluster.elect();
    cluster.network.isolate(leader);
    let mut dropped = None;
    for _ in 0..20 {
        dropped = dropped.or(cluster.propose(leader, &vec![7; 7 << 20]).err());
    }
    assert!(
        matches!(&dropped, Some(CoreError::ProposalDropped { reason, .. })
            if reason.contains("uncommitted bytes")),
        "{dropped:?}"
    );
}

#[test]
fn append_messages_keep_their_size() {
    let mut cluster = Cluster::calm(47, 3, 3);
    let leader = cluster.elect();
    for _ in 0..14 {
        cluster
            .core(leader)
            .propose(Vec::new(), vec![1; 1000])
            .expect("proposed");
    }
    cluster
        .core(leader)
        .propose(Vec::new(), vec![2; 50_000])
        .expect("a large one");
    let mut random = Random::new(0);
    let turn = cluster.member(leader).turn(&mut random, 0);
    let follower = leader % 3 + 1;
    let mut large = 0;
    for message in turn
        .messages
        .iter()
        .filter(|message| message.to() == follower)
    {
        let bytes = message.encode();
        large += usize::from(bytes.len() > 4096);
        cluster.core(follower).step(&bytes).expect("step");
        cluster.member(follower).turn(&mut random, 0);
    }
    assert_eq!(
        large, 1,
        "only the entry that is too large for any message goes beyond the limit"
    );
    let last_index = cluster.core(leader).status().last_index;
    assert_eq!(cluster.core(follower).status().last_index, last_index);
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let config = CoreConfig::new(1);
    let mut late = Recovered::bootstrap(&[1]);
    late.hard_state = HardStateRecord::new(5, 0, 17);
    for (recovered, applied) in [
        (Recovered::bootstrap(&[1]), 0),
        (Recovered::bootstrap(&[1]), 2),
        (late, 1),
    ] {
        let error = Core::new(&config, recovered, applied, 1).expect_err("refused");
        assert!(
            matches!(error, CoreError::InconsistentState { .. }),
            "{error}"
        );
    }
    for config in [
        CoreConfig::new(0),
        CoreConfig {
            heartbeat_ticks: 10,
            ..CoreConfig::new(1)
        },
        CoreConfig {
            uncommitted_bytes_max: 1,
            ..CoreConfig::new(1)
        },
    ] {
        let error = Core::new(&config, Recovered::default(), 0, 1).expect_err("refused");
        assert!(matches!(error, CoreError::InvalidSetting { .. }), "{error}");
    }
}
