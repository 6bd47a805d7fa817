//! One direction of a cable: what it loses, holds back, doubles, damages and delays.

use super::dice::Dice;
use super::packet::{Packet, Traffic};
use std::ops::RangeInclusive;
use switchcast_native::reliable::{MILLISECOND, Nanos};

/// How long a datagram is held back at most, when too few others come that could overtake it.
const HELD_AT_MOST: Nanos = 20 * MILLISECOND;
/// How much later than the first the second of two copies comes, at most.
const COPY_LATER: u64 = MILLISECOND;

/// What goes wrong with one kind of traffic; each is a probability for one datagram.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Lost, independent of the others.
    pub loss: f64,
    pub duplicate: f64,
    /// Overtaken by 1 to `reorder_by` of those behind it.
    pub reorder: f64,
    pub reorder_by: u64,
    /// One bit of it is flipped.
    pub flip: f64,
}

/// A link's share of bandwidth.
#[derive(Clone, Debug)]
pub struct Rate {
    pub bytes_per_second: u64,
    /// What waits at most; more is dropped.
    pub queue_bytes: u64,
}

/// Runs in which a link loses everything.
#[derive(Clone, Debug)]
pub struct Bursts {
    /// Of a run beginning with this datagram.
    pub probability: f64,
    pub length: RangeInclusive<u64>,
}

/// A test of one's own that a datagram is lost by.
pub type Script = Box<dyn FnMut(&Packet) -> bool>;

/// One direction of a node's cable. Without faults it is a wire of some delay.
pub struct Link {
    pub delay: Nanos,
    /// More delay, at random, for each datagram; none overtakes another by it.
    pub jitter: Nanos,
    pub faults: [Faults; Traffic::ALL.len()],
    pub bursts: Option<Bursts>,
    pub rate: Option<Rate>,
    /// Nothing gets through.
    pub cut: bool,
    /// What it says is lost, is lost.
    pub script: Option<Script>,
    dice: Dice,
    burst_left: u64,
    busy_until: Nanos,
    last_arrival: Nanos,
    held: Vec<Held>,
    serial: u64,
}

struct Held {
    serial: u64,
    /// So many more must pass.
    behind: u64,
    packet: Packet,
}

/// What becomes of a datagram.
#[derive(Debug)]
pub enum Fate {
    /// It comes out at the other end at this time.
    Arrives(Nanos, Packet),
    /// Ask [`Link::release`] for it at this time, if it has not come out by then.
    Held(Nanos, u64),
    /// It is lost, or it comes out damaged.
    Lost(Packet),
}

impl Link {
    pub fn new(delay: Nanos, dice: Dice) -> Link {
        Link {
            delay,
            jitter: 0,
            faults: Default::default(),
            bursts: None,
            rate: None,
            cut: false,
            script: None,
            dice,
            burst_left: 0,
            busy_until: 0,
            last_arrival: 0,
            held: Vec::new(),
            serial: 0,
        }
    }

    /// Change the faults of these kinds of traffic.
    pub fn set(&mut self, kinds: &[Traffic], change: impl Fn(&mut Faults)) {
        for kind in kinds {
            change(&mut self.faults[*kind as usize]);
        }
    }

    /// Lose each datagram of these kinds with this probability.
    pub fn lose(&mut self, kinds: &[Traffic], loss: f64) {
        self.set(kinds, |faults| faults.loss = loss);
    }

    /// A datagram goes in at `now`.
    pub fn carry(&mut self, now: Nanos, mut packet: Packet, fates: &mut Vec<Fate>) {
        let faults = &self.faults[packet.traffic as usize];
        if self.cut
            || self.script.as_mut().is_some_and(|is_lost| is_lost(&packet))
            || in_burst(&mut self.burst_left, self.bursts.as_ref(), &mut self.dice)
            || self.dice.happens(faults.loss)
        {
            fates.push(Fate::Lost(packet));
            return;
        }
        let Some(sent) = self.sent(now, packet.bytes.len() as u64) else {
            fates.push(Fate::Lost(packet));
            return;
        };
        let faults = &self.faults[packet.traffic as usize];
        if self.dice.happens(faults.flip) && !packet.bytes.is_empty() {
            fates.push(Fate::Lost(packet.clone()));
            packet = flipped(packet, &mut self.dice);
        }
        let faults = &self.faults[packet.traffic as usize];
        if self.dice.happens(faults.reorder) {
            let behind = self.dice.between(1..=faults.reorder_by.max(1));
            self.serial += 1;
            self.held.push(Held { serial: self.serial, behind, packet });
            fates.push(Fate::Held(now + HELD_AT_MOST, self.serial));
            return;
        }
        let is_doubled = self.dice.happens(faults.duplicate);
        let arrival = self.arrival(sent);
        if is_doubled {
            let later = arrival + self.dice.below(COPY_LATER);
            fates.push(Fate::Arrives(later, packet.clone()));
        }
        fates.push(Fate::Arrives(arrival, packet));
        self.overtake(arrival, fates);
    }

    /// A datagram that was held back until now, if it still is.
    pub fn release(&mut self, now: Nanos, serial: u64) -> Option<Fate> {
        let place = self.held.iter().position(|held| held.serial == serial)?;
        let packet = self.held.remove(place).packet;
        Some(if self.cut { Fate::Lost(packet) } else { Fate::Arrives(self.arrival(now), packet) })
    }

    /// One more has overtaken those that are held back.
    fn overtake(&mut self, arrival: Nanos, fates: &mut Vec<Fate>) {
        for held in &mut self.held {
            held.behind -= 1;
        }
        let passed = self.held.extract_if(.., |held| held.behind == 0);
        fates.extend(passed.map(|held| Fate::Arrives(arrival, held.packet)));
    }

    /// When a datagram of this length has left, behind those that wait; `None` when too many wait.
    fn sent(&mut self, now: Nanos, bytes: u64) -> Option<Nanos> {
        let Some(rate) = &self.rate else { return Some(now) };
        let takes = |bytes: u64| bytes * 1_000_000_000 / rate.bytes_per_second;
        let start = self.busy_until.max(now);
        if start - now > takes(rate.queue_bytes) {
            return None;
        }
        self.busy_until = start + takes(bytes);
        Some(self.busy_until)
    }

    fn arrival(&mut self, sent: Nanos) -> Nanos {
        let jitter = self.dice.below(self.jitter + 1);
        self.last_arrival = self.last_arrival.max(sent + self.delay + jitter);
        self.last_arrival
    }
}

fn in_burst(left: &mut u64, bursts: Option<&Bursts>, dice: &mut Dice) -> bool {
    let Some(bursts) = bursts else { return false };
    if *left == 0 && dice.happens(bursts.probability) {
        *left = dice.between(bursts.length.clone());
    }
    let is_lost = *left > 0;
    *left = left.saturating_sub(1);
    is_lost
}

fn flipped(packet: Packet, dice: &mut Dice) -> Packet {
    let mut bytes = packet.bytes.to_vec();
    let bit = dice.below(bytes.len() as u64 * 8) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
    Packet { bytes: bytes.into(), ..packet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchcast_native::reliable::To;

    const SPACING: Nanos = MILLISECOND / 5;

    /// Send `count` numbered datagrams; the numbers as they arrive, and how many were lost.
    fn through(link: &mut Link, count: u32) -> (Vec<u32>, usize) {
        let from = "10.0.0.1:4242".parse().unwrap();
        let (mut arrived, mut waiting, mut lost, mut fates) = (Vec::new(), Vec::new(), 0, Vec::new());
        for number in 0..count {
            let bytes = number.to_be_bytes().into();
            link.carry(u64::from(number) * SPACING, Packet::new(from, To::Group, bytes), &mut fates);
            for fate in fates.drain(..) {
                match fate {
                    Fate::Arrives(at, packet) => arrived.push((at, arrived.len(), packet)),
                    Fate::Held(until, serial) => waiting.push((until, serial)),
                    Fate::Lost(_) => lost += 1,
                }
            }
        }
        for (until, serial) in waiting {
            if let Some(Fate::Arrives(at, packet)) = link.release(until, serial) {
                arrived.push((at, arrived.len(), packet));
            }
        }
        arrived.sort_by_key(|(at, place, _)| (*at, *place));
        let number = |packet: Packet| u32::from_be_bytes(packet.bytes[..].try_into().unwrap());
        (arrived.into_iter().map(|(_, _, packet)| number(packet)).collect(), lost)
    }

    fn link(faults: Faults) -> Link {
        let mut link = Link::new(MILLISECOND, Dice::new(1, 2));
        link.faults[Traffic::Other as usize] = faults;
        link
    }

    #[test]
    fn a_link_without_faults_is_a_wire() {
        let mut wire = link(Faults::default());
        wire.jitter = 3 * MILLISECOND;
        assert_eq!(through(&mut wire, 1_000), ((0..1_000).collect(), 0));
    }

    #[test]
    fn losses_and_copies_are_as_many_as_asked_for() {
        let (arrived, lost) = through(&mut link(Faults { loss: 0.2, ..Faults::default() }), 10_000);
        assert!((1_800..2_200).contains(&lost) && arrived.len() + lost == 10_000);
        let (arrived, lost) = through(&mut link(Faults { duplicate: 0.1, ..Faults::default() }), 10_000);
        assert!((10_900..11_100).contains(&arrived.len()) && lost == 0);
    }

    #[test]
    fn the_overtaken_are_displaced_by_no_more_than_asked_for() {
        let (arrived, lost) = through(&mut link(Faults { reorder: 0.2, reorder_by: 64, ..Faults::default() }), 2_000);
        let mut sorted = arrived.clone();
        sorted.sort_unstable();
        assert_eq!((sorted, lost), ((0..2_000).collect(), 0));
        let overtaken_by = |place: usize| arrived[..place].iter().filter(|other| **other > arrived[place]).count();
        let overtaken: Vec<_> = (0..arrived.len()).map(overtaken_by).filter(|by| *by > 0).collect();
        assert!((350..450).contains(&overtaken.len()), "{}", overtaken.len());
        // Those that are held back themselves do not count for others, so it can be a few more than 64.
        assert!(overtaken.iter().all(|by| *by <= 64 + 32) && overtaken.iter().any(|by| *by > 50));
    }

    #[test]
    fn a_flipped_datagram_differs_in_one_bit_and_counts_as_lost() {
        let (arrived, lost) = through(&mut link(Faults { flip: 0.05, ..Faults::default() }), 10_000);
        let damaged = (0u32..).zip(&arrived).filter(|(sent, got)| (sent ^ **got).count_ones() == 1).count();
        assert!(damaged == lost && (400..600).contains(&lost) && arrived.len() == 10_000);
    }

    #[test]
    fn bursts_lose_runs() {
        let mut bursty = link(Faults::default());
        bursty.bursts = Some(Bursts { probability: 0.001, length: 50..=500 });
        let (arrived, lost) = through(&mut bursty, 100_000);
        let runs: Vec<_> = arrived.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|run| *run > 0).collect();
        assert!(lost > 5_000 && runs.iter().all(|run| *run >= 50) && runs.len() > 20);
    }

    #[test]
    fn a_slow_link_drops_what_its_queue_does_not_hold() {
        let mut slow = link(Faults::default());
        // Four bytes take 0.4 ms, twice the time between two.
        slow.rate = Some(Rate { bytes_per_second: 10_000, queue_bytes: 40 });
        let (arrived, lost) = through(&mut slow, 1_000);
        assert!((480..520).contains(&lost) && arrived.is_sorted() && arrived.len() + lost == 1_000);
    }

    #[test]
    fn a_cut_and_a_script_lose_what_they_say() {
        let mut scripted = link(Faults::default());
        scripted.script = Some(Box::new(|packet| packet.bytes[3] == 7));
        assert_eq!(through(&mut scripted, 256).1, 1);
        scripted.cut = true;
        assert_eq!(through(&mut scripted, 256), (vec![], 256));
    }
}
