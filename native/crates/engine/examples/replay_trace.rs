//! Hit rates of a trace through the engine itself and through published policies.
//!
//! `cargo run --release -p holdfast-engine --example replay_trace -- TRACE [PERCENT ...]`

use std::collections::HashSet;
use std::error::Error;
use std::time::Instant;
use std::{env, fs};

use holdfast_engine::EvictionConfig;
use holdfast_engine::measure::replay_engine;
use holdfast_engine::reference::{belady_hits, lru_hits, s3fifo_hits};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: replay_trace TRACE [PERCENT ...]")?;
    let mut percents: Vec<f64> = Vec::new();
    for argument in arguments {
        percents.push(argument.parse()?);
    }
    if percents.is_empty() {
        percents = vec![5.0, 10.0, 20.0, 50.0, 100.0];
    }
    let trace = parse(&fs::read_to_string(path)?)?;
    let requests: Vec<&[u64]> = trace.iter().map(Vec::as_slice).collect();
    let distinct = trace.iter().flatten().collect::<HashSet<_>>().len();
    let references = trace.iter().map(Vec::len).sum::<usize>() as f64;
    println!("{} requests, {distinct} distinct blocks", trace.len());
    println!("  size  engine     lru  s3fifo  belady  engine/lru  seconds");
    for percent in percents {
        let capacity = (distinct as f64 * percent / 100.0).round() as u64;
        let begin = Instant::now();
        let engine = replay_engine(
            requests.iter().copied(),
            capacity,
            EvictionConfig::default(),
        )?;
        let seconds = begin.elapsed().as_secs_f64();
        let lru = lru_hits(requests.iter().copied(), capacity);
        let rate = |hits: u64| hits as f64 / references;
        println!(
            "{percent:5.0}%  {:.4}  {:.4}  {:.4}  {:.4}      {:.4}  {seconds:7.2}",
            rate(engine.hits),
            rate(lru),
            rate(s3fifo_hits(requests.iter().copied(), capacity)),
            rate(belady_hits(&requests, capacity)),
            engine.hits as f64 / lru as f64,
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
