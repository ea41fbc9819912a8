//! Members that need what the log no longer holds.

use holdfast_consensus::{ChangeKind, CoreError, DurableLog, SNAPSHOT_DESCRIPTOR_BYTES_MAX};

use crate::cluster::Cluster;

fn commit_many(cluster: &mut Cluster, count: u64) {
    for number in 0..count {
        cluster.commit(&number.to_le_bytes());
    }
}

#[test]
fn a_member_that_lags_behind_the_log_gets_a_snapshot() {
    let mut cluster = Cluster::calm(20, 3, 3);
    let leader = cluster.elect();
    let lagging = leader % 3 + 1;
    cluster.crash(lagging);
    commit_many(&mut cluster, 100);
    for id in cluster.up() {
        cluster.member(id).compact(5);
    }
    let start_index = cluster.core(leader).status().first_index - 1;
    assert!(start_index > 90);
    cluster.start(lagging);
    cluster.heal_and_serve();
    let log = cluster.member(lagging).log.recovered().expect("recovered");
    assert!(log.start.index >= start_index);
    assert_eq!(log.start.configuration.voters, vec![1, 2, 3]);
}

#[test]
fn a_new_member_always_starts_from_a_snapshot() {
    // Nothing is compacted, and still an empty log must not be fed entries alone: its first
    // configuration would be missing and it would believe to be a cluster of its own.
    let mut cluster = Cluster::calm(21, 1, 2);
    cluster.elect();
    cluster.commit(b"one");
    cluster.change(ChangeKind::AddVoter, 2);
    cluster.heal_and_serve();
    let log = cluster.member(2).log.recovered().expect("recovered");
    assert!(log.start.index > 0);
    assert_eq!(cluster.core(2).configuration().voters, vec![1, 2]);
}

#[test]
fn a_snapshot_from_before_a_member_was_added_is_not_sent_to_it() {
    let mut cluster = Cluster::calm(26, 1, 3);
    cluster.elect();
    cluster.change(ChangeKind::AddVoter, 2);
    cluster.heal_and_serve();
    // What was offered for member 2 does not name member 3, which would refuse it again and again.
    cluster.change(ChangeKind::AddVoter, 3);
    cluster.heal_and_serve();
    assert_eq!(cluster.core(3).configuration().voters, vec![1, 2, 3]);
}

#[test]
fn an_empty_member_never_elects_itself() {
    let mut cluster = Cluster::calm(22, 1, 2);
    cluster.crash(1);
    for _ in 0..200 {
        cluster.tick();
    }
    cluster.core(2).campaign().expect("ignored");
    cluster.run(2);
    assert_eq!(cluster.leader(), None);
    assert_eq!(cluster.core(2).term(), 0);
}

#[test]
fn a_snapshot_replaces_a_conflicting_log() {
    let mut cluster = Cluster::calm(23, 3, 3);
    let leader = cluster.elect();
    cluster.commit(b"shared");
    cluster.network.isolate(leader);
    for number in 0..20_u64 {
        // Leads a minority for a while: entries that never commit.
        drop(cluster.propose(leader, &number.to_le_bytes()));
    }
    let lost = cluster.core(leader).status().last_index;
    cluster.until("another leader", |cluster| {
        cluster.leader().is_some_and(|id| id != leader)
    });
    commit_many(&mut cluster, 60);
    for id in cluster.up() {
        if id != leader {
            cluster.member(id).compact(0);
        }
    }
    cluster.crash(leader);
    cluster.start(leader);
    cluster.heal_and_serve();
    let log = cluster.member(leader).log.recovered().expect("recovered");
    assert!(
        log.start.index > lost,
        "the snapshot is beyond the lost entries"
    );
}

#[test]
fn snapshots_outside_the_useful_range_are_refused() {
    let mut cluster = Cluster::calm(24, 1, 1);
    cluster.elect();
    commit_many(&mut cluster, 20);
    let applied = cluster.core(1).applied();
    cluster.member(1).compact(5);
    let core = cluster.core(1);
    for index in [0, applied - 6, applied + 1] {
        let error = core
            .provide_snapshot(index, Vec::new())
            .expect_err("refused");
        assert!(
            matches!(error, CoreError::OutOfOrder { .. }),
            "{index}: {error}"
        );
    }
    let error = core
        .provide_snapshot(applied, vec![0; SNAPSHOT_DESCRIPTOR_BYTES_MAX + 1])
        .expect_err("too long");
    assert!(matches!(error, CoreError::EntryTooLarge { .. }), "{error}");
    core.provide_snapshot(applied - 5, Vec::new())
        .expect("the compaction point itself");
    core.provide_snapshot(applied, Vec::new())
        .expect("the applied index");
    core.withdraw_snapshot().expect("withdrawn");
}

#[test]
fn compaction_is_idempotent_and_stops_at_applied() {
    let mut cluster = Cluster::calm(25, 1, 1);
    cluster.elect();
    commit_many(&mut cluster, 20);
    let core = cluster.core(1);
    let applied = core.applied();
    let before = core.status().window_bytes;
    let first = core.compact(applied - 4).expect("compact");
    assert_eq!(first.index, applied - 4);
    assert_eq!(core.compact(3).expect("again"), first);
    assert!(core.status().window_bytes < before);
    assert_eq!(core.status().first_index, applied - 3);
    let error = core.compact(applied + 1).expect_err("beyond applied");
    assert!(matches!(error, CoreError::OutOfOrder { .. }), "{error}");
}
