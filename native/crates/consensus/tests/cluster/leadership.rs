//! Elections, handing over, and election timeouts that the host decides.

use holdfast_consensus::{CoreError, Role};

use crate::cluster::Cluster;

#[test]
fn a_single_member_leads_alone() {
    let mut cluster = Cluster::calm(1, 1, 1);
    cluster.elect();
    cluster.commit(b"alone");
    assert_eq!(cluster.member(1).machine.commands, 1);
}

#[test]
fn leadership_is_handed_over() {
    let mut cluster = Cluster::calm(2, 3, 3);
    let old = cluster.elect();
    let new = old % 3 + 1;
    cluster.commit(b"before");
    cluster.core(old).transfer_leader(new).expect("transfer");
    assert_eq!(cluster.core(old).status().transferee, Some(new));
    let dropped = cluster.propose(old, b"meanwhile");
    assert!(
        matches!(dropped, Err(CoreError::ProposalDropped { .. })),
        "{dropped:?}"
    );
    cluster.until("the handover", |cluster| cluster.leader() == Some(new));
    cluster.commit(b"after");
    let refused = cluster.propose(old, b"too late");
    assert!(
        matches!(refused, Err(CoreError::NotLeader { leader, .. }) if leader == Some(new)),
        "{refused:?}"
    );
}

#[test]
fn a_handover_to_a_dead_member_is_given_up() {
    let mut cluster = Cluster::calm(3, 3, 3);
    let leader = cluster.elect();
    let dead = leader % 3 + 1;
    cluster.crash(dead);
    cluster
        .core(leader)
        .transfer_leader(dead)
        .expect("transfer");
    cluster.until("giving up", |cluster| {
        cluster.core(leader).status().transferee.is_none()
    });
    cluster.commit(b"still served");
}

#[test]
fn a_returning_member_does_not_disturb_the_leader() {
    let mut cluster = Cluster::calm(4, 3, 3);
    let leader = cluster.elect();
    let term = cluster.core(leader).term();
    cluster.network.isolate(leader % 3 + 1);
    for _ in 0..200 {
        cluster.tick();
    }
    cluster.heal_and_serve();
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.core(leader).term(), term);
}

#[test]
fn a_leader_without_a_quorum_steps_down() {
    let mut cluster = Cluster::calm(5, 3, 3);
    let leader = cluster.elect();
    cluster.network.isolate(leader);
    cluster.until("stepping down", |cluster| {
        cluster.core(leader).role() != Role::Leader
    });
    cluster.heal_and_serve();
}

#[test]
fn the_host_may_override_an_election_timeout() {
    let mut cluster = Cluster::calm(6, 3, 3);
    cluster.core(3).set_election_timeout(10).expect("in range");
    for id in [1, 2] {
        cluster.core(id).set_election_timeout(19).expect("in range");
    }
    assert_eq!(cluster.core(1).status().election_timeout_ticks, 19);
    assert_eq!(cluster.elect(), 3);
    let refused = cluster.core(3).set_election_timeout(20);
    assert!(matches!(refused, Err(CoreError::InvalidSetting { .. })));
}

#[test]
fn election_timeouts_are_drawn_over_the_whole_range() {
    let mut seen = [false; 10];
    for seed in 0..200 {
        let mut cluster = Cluster::calm(seed, 3, 3);
        for id in 1..=3 {
            let ticks = cluster.core(id).status().election_timeout_ticks;
            seen[ticks as usize - 10] = true;
        }
    }
    assert_eq!(seen, [true; 10]);
}
