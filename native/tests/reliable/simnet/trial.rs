//! A scenario tried in both modes and from several seeds; a line of figures for each run, and for a run that fails the
//! command that repeats it.

use super::books::percentile;
use super::network::Tally;
use super::packet::Traffic;
use super::world::{Run, World};
use std::env;
use std::sync::Once;
use std::thread;
use switchcast_native::reliable::{MILLISECOND, Mode, Nanos};

/// How large a scenario is tried.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub events: u64,
    pub seeds: u64,
    pub modes: &'static [Mode],
}

const BOTH: &[Mode] = &[Mode::Traced, Mode::Sealed];

/// For every run of the tests.
pub const SMALL: Size = Size { events: 6_000, seeds: 1, modes: BOTH };
/// For `make soak`.
pub const FULL: Size = Size { events: 1_000_000, seeds: 5, modes: BOTH };

/// Events of a run without repair at most: it does not take many to lose some.
const UNREPAIRED: u64 = 20_000;

/// What a run came to, over all its receivers and streams.
#[derive(Clone, Debug)]
pub struct Report {
    /// Events that receivers should have been given: what was sent, once for each receiver.
    pub sent: u64,
    pub given: u64,
    pub in_gaps: u64,
    /// Given under a signature, and under no proof at all.
    pub signed: u64,
    pub unproven: u64,
    pub repairs: Tally,
    pub requests: Tally,
    /// Delays of events whose first sending did not arrive.
    pub median: Nanos,
    pub p99: Nanos,
    pub longest: Nanos,
    pub repaired: usize,
}

impl Report {
    /// Close a world's books. It fails when they do not balance.
    fn of(world: &mut World) -> Report {
        world.close();
        assert!(world.books.faults.is_empty(), "the books do not balance:\n  {}", world.books.faults.join("\n  "));
        let mut report = Report {
            sent: 0,
            given: 0,
            in_gaps: 0,
            signed: 0,
            unproven: 0,
            repairs: world.network.tally(Traffic::Repair),
            requests: world.network.tally(Traffic::Request),
            median: 0,
            p99: 0,
            longest: 0,
            repaired: 0,
        };
        let mut delays = Vec::new();
        for (_, page) in world.books.pages() {
            report.given += page.given;
            report.in_gaps += page.in_gaps;
            report.sent += page.given + page.in_gaps + page.skipped;
            report.signed += page.signed;
            report.unproven += page.unproven;
            delays.extend_from_slice(&page.repaired);
        }
        report.repaired = delays.len();
        report.median = percentile(&mut delays, 50);
        report.p99 = percentile(&mut delays, 99);
        report.longest = percentile(&mut delays, 100);
        report
    }

    /// Nothing was lost, and this was not for want of losses.
    pub fn is_whole(&self) {
        assert_eq!((self.given, self.in_gaps), (self.sent, 0), "events were lost");
        assert!(self.repaired > 0, "nothing had to be repaired: nothing was tried");
    }
}

/// Try `story` in both modes with each seed, and hold every run to `promise`.
pub fn hold(name: &str, size: Size, story: impl Fn(&mut World), promise: impl Fn(&World, &Report)) {
    each(size, true, |run| {
        let mut world = World::new(run);
        story(&mut world);
        let report = Report::of(&mut world);
        show(name, run, &report);
        promise(&world, &report);
    });
}

/// Like [`hold`]; then, with nobody repairing, the same must lose something: else the check could not fail.
pub fn hold_and_lose(name: &str, size: Size, story: impl Fn(&mut World), promise: impl Fn(&World, &Report)) {
    hold(name, size, &story, promise);
    let unrepaired = Size { events: size.events.min(UNREPAIRED), seeds: 1, ..size };
    each(unrepaired, false, |run| {
        let mut world = World::new(run);
        story(&mut world);
        let report = Report::of(&mut world);
        show(&format!("{name}, no repair"), run, &report);
        assert!(report.in_gaps > 0 && report.repairs.datagrams == 0, "nothing is lost without repair");
    });
}

fn each(size: Size, repair: bool, play: impl Fn(Run)) {
    let seeds = chosen("SIMNET_SEED").and_then(|seed| seed.parse().ok()).map_or(1..=size.seeds, |seed| seed..=seed);
    for mode in size.modes.iter().copied() {
        if chosen("SIMNET_MODE").is_some_and(|wanted| wanted != word(mode)) {
            continue;
        }
        for seed in seeds.clone() {
            let run = Run { mode, seed, events: size.events, repair };
            let _telling = Telling(run);
            play(run);
        }
    }
}

fn chosen(variable: &str) -> Option<String> {
    env::var(variable).ok()
}

/// The word for a mode.
pub fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Traced => "traced",
        Mode::Sealed => "sealed",
    }
}

/// Tells how to repeat a run, when it fails.
struct Telling(Run);

impl Drop for Telling {
    fn drop(&mut self) {
        if thread::panicking() {
            let Run { mode, seed, repair, .. } = self.0;
            let profile = if cfg!(debug_assertions) { "" } else { " --release" };
            let test = thread::current().name().unwrap_or_default().to_owned();
            eprintln!(
                "seed {seed}, {} mode, repair {repair}: repeat it by\n  SIMNET_SEED={seed} SIMNET_MODE={} cargo test{profile} \
                 --no-default-features --manifest-path native/Cargo.toml --test reliable -- --include-ignored --exact {test}",
                word(mode),
                word(mode),
            );
        }
    }
}

fn show(name: &str, run: Run, report: &Report) {
    static HEAD: Once = Once::new();
    HEAD.call_once(|| {
        println!(
            "\n{:<44} {:<6} {:>4} {:>10} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "scenario", "mode", "seed", "sent", "given", "in gaps", "repairs", "requests", "p50 ms", "p99 ms", "max ms"
        );
    });
    let millis = |delay: Nanos| delay as f64 / MILLISECOND as f64;
    println!(
        "{name:<44} {:<6} {:>4} {:>10} {:>10} {:>8} {:>8} {:>8} {:>8.1} {:>8.1} {:>8.1}",
        word(run.mode),
        run.seed,
        report.sent,
        report.given,
        report.in_gaps,
        report.repairs.datagrams,
        report.requests.datagrams,
        millis(report.median),
        millis(report.p99),
        millis(report.longest),
    );
}
