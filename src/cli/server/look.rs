//! `howdah server look`.

use std::{fmt::Write as _, fs};

use serde_json::{Value, json};

use super::{
    Cli, Exit, Failure, LookArgs,
    outside::{self, Outside, Verdict},
};
use crate::{
    base::{clock::Clock, text::Text, units},
    cli::{breaker::sight::Sight, restore::json as as_json, say, setup, target},
    resilience::breaker::State,
    watch::{
        sampler::Plan,
        sources::pgbouncer::admin::{Admin, Told},
    },
};

/// Prints what is seen.
pub(super) fn run(cli: &Cli, args: &LookArgs) -> Result<Exit, Failure> {
    let config = setup::config(cli)?;
    let plan = target::plan(&config, args.target.as_deref())?;
    let runtime = setup::runtime()?;
    let hosts = runtime.block_on(outside::look(&plan.settings));
    let bouncer = runtime.block_on(bouncer(&plan));
    // A target without breakers is no reason to say less of its server.
    let applications = Sight::of(&config, args.target.as_deref()).ok();
    let worst = worst(&hosts);
    if args.json {
        say(&as_json(&document(&plan, &hosts, bouncer.as_ref(), applications.as_ref(), worst))?)?;
    } else {
        say(&text(&plan, &hosts, bouncer.as_ref(), applications.as_ref(), worst))?;
    }
    Ok(match worst {
        Verdict::Well => Exit::Ok,
        _ => Exit::Critical,
    })
}

/// Where one of several answers, that is the server; else the first.
fn worst(hosts: &[Outside]) -> Verdict {
    let well = hosts.iter().find(|host| host.verdict == Verdict::Well);
    well.or(hosts.first()).map_or(Verdict::Unreachable, |host| host.verdict)
}

/// What PgBouncer sees, if there is one.
async fn bouncer(plan: &Plan) -> Option<Result<Told, Text>> {
    let bouncer = plan.bouncers.first()?;
    let told = match Admin::open(bouncer).await {
        Ok(admin) => admin.look().await,
        Err(error) => Err(error),
    };
    Some(told.map_err(|error| error.to_string().into()))
}

fn document(
    plan: &Plan,
    hosts: &[Outside],
    bouncer: Option<&Result<Told, Text>>,
    applications: Option<&Sight>,
    worst: Verdict,
) -> Value {
    let (load, cpus) = load();
    let bouncer = bouncer.map(|told| match told {
        Ok(told) => json!({
            "answers": true,
            "waiting": told.databases.iter().map(|one| one.waiting).sum::<u64>(),
            "served": told.databases.iter().map(|one| one.active).sum::<u64>(),
            "longest_wait": told.databases.iter().map(|one| one.longest_wait).max(),
            "databases": told.databases,
        }),
        Err(why) => json!({ "answers": false, "why": why }),
    });
    let local = hosts.iter().any(|host| host.local);
    json!({
        "target": plan.frame.target.name,
        "address": plan.frame.target.address,
        "at": Clock::system().wall(),
        "verdict": worst,
        "words": worst.words(),
        "first_act": worst.first_act(),
        "local": local,
        "load": load.filter(|_| local),
        "cpus": cpus,
        "hosts": hosts,
        "postmaster": hosts.iter().find_map(|host| host.postmaster.as_ref()),
        "pgbouncer": bouncer,
        "applications": applications.map(|seen| &seen.breakers),
        "open": applications.map(|seen| {
            seen.breakers.iter().filter(|one| one.told.state != State::Closed).count()
        }),
        "silent": applications.map(|seen| &seen.silent),
    })
}

/// The load of this machine over 1, 5 and 15 minutes, and its processors.
fn load() -> (Option<[f64; 3]>, Option<usize>) {
    let read = || {
        let text = fs::read_to_string("/proc/loadavg").ok()?;
        let mut words = text.split(' ').map(|word| word.parse::<f64>().ok());
        Some([words.next()??, words.next()??, words.next()??])
    };
    (read(), std::thread::available_parallelism().ok().map(usize::from))
}

fn text(
    plan: &Plan,
    hosts: &[Outside],
    bouncer: Option<&Result<Told, Text>>,
    applications: Option<&Sight>,
    worst: Verdict,
) -> String {
    let mut out = format!("{}: {}\n", plan.frame.target.name, worst.words());
    // Writing to a string cannot fail.
    for host in hosts {
        let why = host.why.as_ref().map(ToString::to_string);
        let took = host.seconds.map(|seconds| format!("answers after {seconds:.3} s"));
        let _ = writeln!(out, "host       {}: {}", host.host, took.or(why).unwrap_or_default());
        match &host.postmaster {
            Some(found) => {
                let _ = writeln!(
                    out,
                    "processes  postmaster {} is in state {}; of {} under it {} are stopped by a signal, {} traced, {} wait for a disk",
                    found.pid,
                    found.condition.state,
                    found.condition.children,
                    found.condition.stopped,
                    found.condition.traced,
                    found.condition.waiting_for_disk,
                );
            }
            None if host.local => {
                let _ = writeln!(
                    out,
                    "processes  — none that this account may see: look as root, or as the server's own"
                );
            }
            None => {
                let _ = writeln!(out, "processes  — it runs on another machine");
            }
        }
    }
    if let (Some([one, five, fifteen]), true) = (load().0, hosts.iter().any(|host| host.local)) {
        let _ = writeln!(out, "load       {one} {five} {fifteen}");
    }
    match bouncer {
        Some(Ok(told)) => {
            for one in &told.databases {
                let longest = units::age(std::time::Duration::from_secs(one.longest_wait));
                let _ = writeln!(
                    out,
                    "pgbouncer  {}: {} clients served, {} wait, the first for {longest}",
                    one.name, one.active, one.waiting
                );
            }
        }
        Some(Err(why)) => {
            let _ = writeln!(out, "pgbouncer  — {why}");
        }
        None => {}
    }
    for seen in applications.iter().flat_map(|seen| &seen.breakers) {
        let _ =
            writeln!(out, "breaker    {}: {} for {}", seen.id, seen.told.state.label(), seen.age);
    }
    let _ = writeln!(out, "first act  {}", worst.first_act());
    let _ = writeln!(
        out,
        "never      kill -9 a postmaster: its children would go on writing to the same files"
    );
    out
}
