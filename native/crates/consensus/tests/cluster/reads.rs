//! Reads that must not be stale.

use holdfast_consensus::{CoreError, Role};

use crate::cluster::Cluster;

#[test]
fn every_member_serves_reads() {
    let mut cluster = Cluster::calm(30, 3, 3);
    cluster.elect();
    cluster.commit(b"write");
    cluster.heal_and_serve();
    for id in 1..=3 {
        cluster.read(id).expect("asked");
    }
    cluster.until("three answers", |cluster| cluster.oracle.reads_served == 3);
}

#[test]
fn a_deposed_leader_answers_no_read() {
    let mut cluster = Cluster::calm(31, 3, 3);
    let old = cluster.elect();
    cluster.commit(b"one");
    cluster.network.isolate(old);
    cluster.until("another leader", |cluster| {
        cluster.leader().is_some_and(|id| id != old)
    });
    cluster.commit(b"two");
    // Whether it still believes to lead or not, it must not answer from its own log.
    drop(cluster.read(old));
    for _ in 0..100 {
        cluster.tick();
    }
    assert_eq!(cluster.oracle.reads_served, 0);
}

#[test]
fn a_late_answer_to_a_read_before_a_restart_is_not_taken_for_a_new_one() {
    let mut cluster = Cluster::calm(32, 3, 3);
    let leader = cluster.elect();
    let reader = leader % 3 + 1;
    cluster.heal_and_serve();
    cluster
        .core(reader)
        .read_index(b"same context")
        .expect("asked");
    cluster.run(reader);
    cluster.tick();
    // The question is under way; the reader forgets it, and asks with the same context again.
    cluster.crash(reader);
    cluster.start(reader);
    for _ in 0..50 {
        cluster.tick();
    }
    assert_eq!(cluster.oracle.reads_served, 0);
}

#[test]
fn a_read_without_a_leader_says_so() {
    let mut cluster = Cluster::calm(33, 3, 3);
    let error = cluster.read(1).expect_err("nobody leads yet");
    assert_eq!(
        error,
        CoreError::NotLeader {
            member_id: 1,
            leader: None
        }
    );
}

#[test]
fn a_new_leader_is_not_ready_for_reads_before_its_first_commit() {
    let mut cluster = Cluster::calm(34, 3, 3);
    let mut refusal = None;
    cluster.until("a leader", |cluster| {
        let up = cluster.up();
        let leader = up
            .into_iter()
            .find(|id| cluster.core(*id).role() == Role::Leader);
        if let Some(id) = leader {
            refusal = cluster.core(id).read_index(b"early").err();
        }
        leader.is_some()
    });
    assert!(
        matches!(refusal, Some(CoreError::LeaderNotReady { .. })),
        "{refusal:?}"
    );
}
