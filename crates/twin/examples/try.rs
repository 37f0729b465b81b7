use madang_core::{RouteRule, ShareRule};
use madang_twin::engine::Profile;
use madang_twin::experiment::{noisy, route};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let profile = Profile::named("h100x2-32b").unwrap().clone();
    if args[1] == "noisy" {
        let share: ShareRule = serde_json::from_str(&format!("\"{}\"", args[2])).unwrap();
        let seed = args[3].parse().unwrap();
        let floods = args[4..].iter().map(|f| f.parse().unwrap()).collect();
        let t = std::time::Instant::now();
        let r = noisy::noisy(&noisy::NoisyOptions {
            floods,
            share,
            seed,
            replicas: 4,
            profile,
        })
        .unwrap();
        println!(
            "{share:?} seed {seed} {} alone p50 {:.0} p99 {:.0} | flood p50 {:.0} p99 {:.0} worst {:.0} | x{:.2} | {:.1}k tok/s unserved {} ({:?})",
            args[4..].join(" "),
            r.alone.p50_ms,
            r.alone.p99_ms,
            r.flooded.p50_ms,
            r.flooded.p99_ms,
            r.flooded.worst_tenant_p99_ms,
            r.inflation_p99,
            r.tokens_per_second / 1000.0,
            r.unserved,
            t.elapsed()
        );
    } else if args[1] == "speed" {
        for (n, count) in [(1usize, 300_000u64), (64, 600_000)] {
            let t = std::time::Instant::now();
            let done = madang_twin::experiment::speed::speed(&profile, n, count, 1).unwrap();
            println!(
                "{n} replicas {done} of {count}: {:.0} req/s",
                done as f64 / t.elapsed().as_secs_f64()
            );
        }
    } else if args[1] == "over" {
        let share: ShareRule = serde_json::from_str(&format!("\"{}\"", args[2])).unwrap();
        let t = std::time::Instant::now();
        let r = madang_twin::experiment::overload::overload(
            &madang_twin::experiment::overload::OverloadOptions {
                step: args[3].parse().unwrap(),
                share,
                seed: 1,
                replicas: 4,
                profile,
            },
        )
        .unwrap();
        println!("{r:?} {:?}", t.elapsed());
    } else {
        let rows = madang_twin::trace::parse(&std::fs::read(&args[2]).unwrap()).unwrap();
        let host: u64 = args[4].parse().unwrap();
        let mut p = profile;
        p.host_tokens = host;
        for policy in &args[5..] {
            let rule: RouteRule = serde_json::from_str(&format!("\"{policy}\"")).unwrap();
            let t = std::time::Instant::now();
            let r = route::route(
                &route::RouteOptions {
                    speed: args[3].parse().unwrap(),
                    profiles: vec![p.clone(); 8],
                    route: rule,
                },
                &rows,
            )
            .unwrap();
            println!(
                "{policy} hit {:.2} p50 {:.2} p99 {:.1} within5 {:.4} unserved {} ({:?})",
                r.prefix_hit,
                r.ttft_p50_ms / 1000.,
                r.ttft_p99_ms / 1000.,
                r.within_5s,
                r.unserved,
                t.elapsed()
            );
        }
    }
}
