//! Members come and go.

use holdfast_consensus::{Change, ChangeKind, CoreError};

use crate::cluster::Cluster;

fn change(kind: ChangeKind, member_id: u64) -> Change {
    Change { kind, member_id }
}

#[test]
fn a_member_joins_as_learner_and_is_promoted() {
    let mut cluster = Cluster::calm(10, 3, 4);
    cluster.elect();
    for number in 0..50_u64 {
        cluster.commit(&number.to_le_bytes());
    }
    let configuration = cluster.change(ChangeKind::AddLearner, 4);
    assert_eq!(
        (configuration.voters, configuration.learners),
        (vec![1, 2, 3], vec![4])
    );
    let expected = cluster.oracle.commit();
    cluster.until("the learner to catch up", |cluster| {
        cluster.member(4).machine.applied >= expected
    });
    let configuration = cluster.change(ChangeKind::AddVoter, 4);
    assert_eq!(
        (configuration.voters, configuration.learners),
        (vec![1, 2, 3, 4], vec![])
    );
    cluster.heal_and_serve();
}

#[test]
fn a_member_leaves() {
    let mut cluster = Cluster::calm(11, 3, 3);
    let leader = cluster.elect();
    let leaver = leader % 3 + 1;
    let configuration = cluster.change(ChangeKind::Remove, leaver);
    assert!(!configuration.contains(leaver));
    cluster.crash(leaver);
    cluster.commit(b"two are enough");
}

#[test]
fn two_members_are_replaced_at_once_through_joint_consensus() {
    let mut cluster = Cluster::calm(12, 3, 5);
    let leader = cluster.elect();
    let leavers: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let changes = [
        change(ChangeKind::AddVoter, 4),
        change(ChangeKind::AddVoter, 5),
        change(ChangeKind::Remove, leavers[0]),
        change(ChangeKind::Remove, leavers[1]),
    ];
    cluster
        .core(leader)
        .propose_configuration_change(&changes, b"swap".to_vec(), false)
        .expect("proposed");
    cluster.run(leader);
    let mut was_joint = false;
    cluster.until("the new configuration", |cluster| {
        let configuration = cluster.core(leader).configuration();
        was_joint |= configuration.is_joint();
        configuration.voters == [leader, 4, 5] && !configuration.is_joint()
    });
    assert!(was_joint);
    for leaver in leavers {
        cluster.crash(leaver);
    }
    cluster.commit(b"the new members are a quorum");
}

#[test]
fn a_joint_configuration_is_left_by_the_next_leader() {
    let mut cluster = Cluster::calm(13, 3, 4);
    let leader = cluster.elect();
    cluster
        .core(leader)
        .propose_configuration_change(&[change(ChangeKind::AddVoter, 4)], Vec::new(), true)
        .expect("proposed");
    cluster.run(leader);
    cluster.until("somebody else to be joint", |cluster| {
        cluster
            .up()
            .into_iter()
            .any(|id| id != leader && cluster.core(id).configuration().is_joint())
            || !cluster.core(leader).configuration().is_joint()
                && cluster.core(leader).configuration().voters.len() == 4
    });
    cluster.crash(leader);
    cluster.until("a plain configuration of four", |cluster| {
        cluster.leader().is_some_and(|id| {
            let configuration = cluster.core(id).configuration();
            configuration.voters.len() == 4 && !configuration.is_joint()
        })
    });
    cluster.heal_and_serve();
}

#[test]
fn a_leader_that_is_removed_by_its_predecessors_change_steps_down() {
    let mut cluster = Cluster::calm(14, 3, 3);
    let old = cluster.elect();
    let removed = old % 3 + 1;
    // The change reaches the log of the member it removes, which then becomes leader and commits it.
    cluster
        .core(old)
        .propose_configuration_change(&[change(ChangeKind::Remove, removed)], Vec::new(), false)
        .expect("proposed");
    cluster
        .core(old)
        .transfer_leader(removed)
        .expect("transfer");
    cluster.run(old);
    cluster.until("the change", |cluster| {
        cluster
            .leader()
            .is_some_and(|id| id != removed && cluster.core(id).configuration().voters.len() == 2)
    });
    cluster.commit(b"somebody serves");
}

#[test]
fn impossible_changes_are_refused_with_a_reason() {
    let mut cluster = Cluster::calm(15, 3, 5);
    let leader = cluster.elect();
    let other = leader % 3 + 1;
    let mut propose = |changes: &[Change]| {
        cluster
            .core(leader)
            .propose_configuration_change(changes, Vec::new(), false)
            .expect_err("must be refused")
    };
    for changes in [
        vec![],
        vec![change(ChangeKind::AddVoter, 0)],
        vec![change(ChangeKind::AddVoter, other)],
        vec![change(ChangeKind::Remove, 9)],
        vec![
            change(ChangeKind::AddVoter, 4),
            change(ChangeKind::Remove, 4),
        ],
    ] {
        let error = propose(&changes);
        assert!(
            matches!(error, CoreError::InvalidChange { .. }),
            "{changes:?}: {error}"
        );
    }
    for kind in [ChangeKind::Remove, ChangeKind::AddLearner] {
        let error = propose(&[change(kind, leader)]);
        assert_eq!(error, CoreError::RemovesLeader { member_id: leader });
    }
    let first = [change(ChangeKind::AddLearner, 4)];
    let second = [change(ChangeKind::AddLearner, 5)];
    let core = cluster.core(leader);
    core.propose_configuration_change(&first, Vec::new(), false)
        .expect("first");
    let error = core
        .propose_configuration_change(&second, Vec::new(), false)
        .expect_err("pending");
    assert!(matches!(error, CoreError::ChangePending { .. }), "{error}");
    let error = cluster
        .core(other)
        .propose_configuration_change(&second, Vec::new(), false)
        .expect_err("not the leader");
    assert!(matches!(error, CoreError::NotLeader { .. }), "{error}");
}

#[test]
fn a_restart_computes_the_configuration_from_the_log() {
    let mut cluster = Cluster::calm(16, 3, 5);
    cluster.elect();
    cluster.change(ChangeKind::AddVoter, 4);
    cluster.change(ChangeKind::AddVoter, 5);
    cluster.commit(b"five");
    cluster.heal_and_serve();
    for id in 1..=5 {
        let before = cluster.core(id).configuration();
        // Half of them restart from a compacted log, half from the whole one.
        if id % 2 == 0 {
            cluster.member(id).compact(3);
        }
        cluster.crash(id);
        cluster.start(id);
        let applied = cluster.core(id).applied();
        cluster.until("catching up", |cluster| {
            cluster.core(id).applied() > applied || applied > 3
        });
        cluster.until("the same configuration", |cluster| {
            cluster.core(id).configuration() == before
        });
    }
    cluster.heal_and_serve();
}
