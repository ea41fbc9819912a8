//! Hit rate and bytes written of a trace through the flash store, beside the memory engine of the
//! same size.
//!
//! `cargo run --release -p holdfast-flash --example replay_flash -- TRACE [PERCENT [BASE:CREDIT ...]]`

use std::collections::HashSet;
use std::error::Error;
use std::{env, fs};

use holdfast_engine::EvictionConfig;
use holdfast_engine::measure::replay_engine;
use holdfast_flash::ReclaimConfig;
use holdfast_flash::measure::replay_flash;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let usage = "usage: replay_flash TRACE [PERCENT [BASE:CREDIT ...]]";
    let path = arguments.next().ok_or(usage)?;
    let percent: f64 = arguments.next().map_or(Ok(20.0), |text| text.parse())?;
    let mut rules = Vec::new();
    for argument in arguments {
        let (base, credit) = argument.split_once(':').ok_or(usage)?;
        rules.push(ReclaimConfig {
            base_percent: base.parse()?,
            credit_percent: credit.parse()?,
        });
    }
    if rules.is_empty() {
        rules.push(ReclaimConfig::default());
    }
    let trace = parse(&fs::read_to_string(path)?)?;
    let requests: Vec<&[u64]> = trace.iter().map(Vec::as_slice).collect();
    let distinct = trace.iter().flatten().collect::<HashSet<_>>().len();
    let capacity = (distinct as f64 * percent / 100.0).round() as u64;
    let eviction = EvictionConfig::default();
    let engine = replay_engine(requests.iter().copied(), capacity, eviction)?;
    println!("{percent} % of {distinct} blocks: {capacity}");
    println!(
        "engine {:.4}",
        engine.hits as f64 / engine.references as f64
    );
    println!("base credit   hits  / engine  written / admitted   / put  blocks at most  reclaimed");
    for rule in rules {
        let flash = replay_flash(requests.iter().copied(), capacity, rule.clone())?;
        println!(
            "{:4} {:6} {:.4}    {:.4}              {:.4}  {:.4}  {:14}  {:9}",
            rule.base_percent,
            rule.credit_percent,
            flash.hits as f64 / flash.references as f64,
            flash.hits as f64 / engine.hits as f64,
            flash.written_per_admitted(),
            flash.written_per_put(),
            flash.blocks_max,
            flash.reclaimed,
        );
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Vec<u64>>, Box<dyn Error>> {
    let mut requests = Vec::new();
    for line in text.lines() {
        let ids = line
            .split_once("\"hash_ids\": [")
            .and_then(|(_, rest)| rest.split_once(']'))
            .ok_or("a line without hash_ids")?
            .0;
        let numbers: Result<Vec<u64>, _> = ids.split(',').map(|id| id.trim().parse()).collect();
        requests.push(numbers?);
    }
    Ok(requests)
}
