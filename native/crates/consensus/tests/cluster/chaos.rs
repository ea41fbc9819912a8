//! Everything at once: lost, doubled and late messages, partitions, power failures at every point of
//! the loop, compaction, reads, membership changes.

use std::time::Instant;

use holdfast_consensus::{Change, ChangeKind, Core};

use crate::cluster::Cluster;
use crate::machine::Machine;
use crate::network::Weather;

struct Plan {
    seed: u64,
    founders: u64,
    members: u64,
    ticks: u64,
    membership: bool,
}

const STORM: Weather = Weather {
    drop_per_mille: 80,
    double_per_mille: 50,
    delay_ticks_max: 6,
};

fn storm(plan: &Plan) -> Cluster {
    let mut cluster = Cluster::new(plan.seed, plan.founders, plan.members, STORM);
    cluster.crash_per_mille = 1;
    for _ in 0..plan.ticks {
        cluster.tick();
        strike(&mut cluster);
        work(&mut cluster);
        if plan.membership && cluster.random.per_mille(20) {
            change_members(&mut cluster);
        }
        if cluster.now.is_multiple_of(100) {
            cluster.oracle.logs_match(&cluster.members);
        }
    }
    cluster.heal_and_serve();
    cluster
}

fn strike(cluster: &mut Cluster) {
    let ids = cluster.ids();
    for id in &ids {
        if cluster.member(*id).is_up() {
            if cluster.random.per_mille(2) {
                cluster.crash(*id);
            }
        } else if cluster.random.per_mille(30) {
            cluster.start(*id);
        }
    }
    if cluster.random.per_mille(8) {
        cluster.network.partition(&ids, &mut cluster.random);
    }
    if cluster.random.per_mille(25) {
        cluster.network.heal();
    }
}

fn work(cluster: &mut Cluster) {
    let up = cluster.up();
    for _ in 0..cluster.random.below(4) {
        let Some(id) = cluster.random.pick(&up).copied() else {
            return;
        };
        if !cluster.member(id).is_up() {
            continue;
        }
        let data = cluster.random.next().to_le_bytes().repeat(8);
        match cluster.random.below(10) {
            0..6 => drop(cluster.propose(id, &data)),
            6 => propose_many(cluster, id, &data),
            7 => drop(cluster.read(id)),
            8 => {
                let target = cluster.random.below(cluster.members.len() as u64) + 1;
                drop(cluster.core(id).transfer_leader(target));
                cluster.run(id);
            }
            _ => {
                let kept = cluster.random.below(30);
                cluster.member(id).compact(kept);
            }
        }
    }
}

/// Many at once make appends that are split and batches with one sync.
fn propose_many(cluster: &mut Cluster, id: u64, data: &[u8]) {
    for _ in 0..cluster.random.below(100) {
        drop(cluster.core(id).propose(Vec::new(), data.to_vec()));
    }
    cluster.run(id);
}

fn change_members(cluster: &mut Cluster) {
    let Some(leader) = cluster.leader() else {
        return;
    };
    let count = 1 + cluster.random.below(2);
    let changes: Vec<Change> = (0..count)
        .map(|_| Change {
            kind: match cluster.random.below(4) {
                0 => ChangeKind::AddLearner,
                1 => ChangeKind::Remove,
                _ => ChangeKind::AddVoter,
            },
            member_id: cluster.random.below(cluster.members.len() as u64) + 1,
        })
        .collect();
    let joint = cluster.random.per_mille(300);
    let core = cluster.core(leader);
    // Three voters at least, so that the storm's faults do not stop everything for long.
    if core.configuration().voters.len() <= 3
        && changes
            .iter()
            .any(|change| change.kind != ChangeKind::AddVoter)
    {
        return;
    }
    drop(core.propose_configuration_change(&changes, Vec::new(), joint));
    cluster.run(leader);
}

/// `HOLDFAST_SEED` alone, or the first `HOLDFAST_SEEDS`, or the first `count`.
fn seeds(count: u64) -> Vec<u64> {
    let number = |name| {
        let given = std::env::var(name).ok();
        given.map(|number| {
            number
                .parse()
                .unwrap_or_else(|_| panic!("{name} is a number"))
        })
    };
    match number("HOLDFAST_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("HOLDFAST_SEEDS").unwrap_or(count)).collect(),
    }
}

fn survive(name: &str, count: u64, plan: impl Fn(u64) -> Plan) {
    let began = Instant::now();
    let mut commands = 0;
    let mut terms = 0;
    let mut reads = 0;
    for seed in seeds(count) {
        println!(
            "replay: HOLDFAST_SEED={seed} cargo test -p holdfast-consensus --test cluster {name}"
        );
        let mut cluster = storm(&plan(seed));
        commands += cluster.member(1).machine.commands;
        terms += cluster.oracle.terms_led();
        reads += cluster.oracle.reads_served;
    }
    println!(
        "{name}: {commands} commands, {terms} leaders, {reads} reads in {:?}",
        began.elapsed()
    );
}

#[test]
fn three_members_survive() {
    survive("three_members_survive", 20, |seed| Plan {
        seed,
        founders: 3,
        members: 3,
        ticks: 1500,
        membership: false,
    });
}

#[test]
fn five_members_survive() {
    survive("five_members_survive", 10, |seed| Plan {
        seed,
        founders: 5,
        members: 5,
        ticks: 1500,
        membership: false,
    });
}

#[test]
fn changing_members_survive() {
    survive("changing_members_survive", 20, |seed| Plan {
        seed,
        founders: 3,
        members: 6,
        ticks: 1500,
        membership: true,
    });
}

#[test]
fn one_seed_is_one_run() {
    let fates: Vec<(u64, u64, Machine, Vec<String>)> = (0..2)
        .map(|_| {
            let mut cluster = storm(&Plan {
                seed: 4711,
                founders: 3,
                members: 5,
                ticks: 1200,
                membership: true,
            });
            let statuses = cluster.members.iter().map(|member| {
                let status = member.core.as_ref().map(Core::status);
                format!("{status:?}")
            });
            let statuses = statuses.collect();
            (
                cluster.trace,
                cluster.now,
                cluster.member(1).machine,
                statuses,
            )
        })
        .collect();
    assert_eq!(fates[0], fates[1]);
    let other = storm(&Plan {
        seed: 4712,
        founders: 3,
        members: 5,
        ticks: 1200,
        membership: true,
    });
    assert_ne!(fates[0].0, other.trace);
}
