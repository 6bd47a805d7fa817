//! What may leave this host: which events, which of their headers, and what becomes of a value.
//!
//! A policy is made once and then only read, so that any number of threads may apply it. It looks at names as they stand
//! on the wire, and decodes nothing but the values that it changes. What it costs is bounded by the event, whatever
//! names a stranger makes up: a name is looked up in a table, then compared with the patterns, and nothing is kept.

mod patterns;
#[cfg(test)]
mod tests;
mod treatment;

pub use patterns::{Kinds, NameTable, Pattern};
pub use treatment::{HashKey, Treatment};

use crate::encoding;
use crate::event::{Draft, Event};
use crate::matching::EVENT_NAMES;
use std::sync::{Arc, Mutex, PoisonError};

/// The headers that say which event it is, where from and when. The first of each passes as it is: without them it is no
/// event any more, or one that nobody can place; without the last two, rules that answer one another would not end. One
/// that stands again is a header like any other.
pub const ESSENTIAL: [&str; 10] = [
    "Event-Name",
    "Event-Subclass",
    "Core-UUID",
    "Event-Sequence",
    "Event-Date-Timestamp",
    "FreeSWITCH-Hostname",
    "FreeSWITCH-Switchname",
    "Multicast-Sender",
    "Switchcast-Origin",
    "Switchcast-Hops",
];

/// What becomes of a header.
#[derive(Clone, Debug)]
pub enum Action {
    Pass,
    Drop,
    Treat(Arc<Treatment>),
}

/// What may pass of some events, as it is written down.
#[derive(Debug)]
pub struct Rule {
    pub kinds: Kinds,
    /// Headers that pass, unless `denied` names them too.
    pub allowed: Vec<Pattern>,
    pub denied: Vec<Pattern>,
    /// What becomes of those that pass; the first pattern that fits decides.
    pub actions: Vec<(Pattern, Action)>,
    pub body: bool,
}

/// What becomes of a header of one name, and whether it is an essential one: then its bit.
#[derive(Debug)]
struct Fate {
    action: Action,
    essential: u16,
}

/// A rule ready to be used: names that need no pattern have their fates in a table, and the rule keeps the patterns.
#[derive(Debug)]
struct Plan {
    rule: Rule,
    named: NameTable<Fate>,
    keeps_all: bool,
}

/// What becomes of one event.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Withheld,
    Unchanged,
    Rewritten(Event),
}

/// Counts since the start.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Events that passed and that were withheld, in the order of `EVENT_NAMES`; those of any other name come last.
    pub events: [[u64; 2]; EVENT_NAMES.len() + 1],
    pub rewritten: u64,
    pub headers_removed: u64,
    pub bodies_removed: u64,
    pub values_masked: u64,
    pub values_hashed: u64,
    pub values_truncated: u64,
}

impl Default for Counts {
    fn default() -> Counts {
        let events = [[0; 2]; EVENT_NAMES.len() + 1];
        Counts {
            events,
            rewritten: 0,
            headers_removed: 0,
            bodies_removed: 0,
            values_masked: 0,
            values_hashed: 0,
            values_truncated: 0,
        }
    }
}

/// A named policy's rules, made ready.
#[derive(Debug)]
pub struct Policy {
    plans: Vec<Plan>,
    denied: Kinds,
    /// The switch's own names: the place of each in `EVENT_NAMES`, and the plan of its events. Those of CUSTOM depend on
    /// the subclass.
    names: NameTable<(usize, Option<usize>)>,
    counts: Mutex<Counts>,
}

const CUSTOM: usize = 0;
const OTHER: usize = EVENT_NAMES.len();

impl Policy {
    /// An event passes under the first of `rules` that names it, unless it is `denied`.
    pub fn new(rules: Vec<Rule>, denied: Kinds) -> Policy {
        let mut policy = Policy {
            plans: rules.into_iter().map(Plan::new).collect(),
            denied,
            names: NameTable::new([]),
            counts: Mutex::default(),
        };
        let place = |(place, name): (usize, &str)| {
            let plan = if place == CUSTOM { None } else { policy.plan_of(name.as_bytes(), b"") };
            (name.as_bytes().into(), (place, plan))
        };
        policy.names = NameTable::new(EVENT_NAMES.into_iter().enumerate().map(place).collect::<Vec<_>>());
        policy
    }

    /// What becomes of each of `events`; counted.
    pub fn apply(&self, events: &[&Event]) -> Vec<Outcome> {
        let mut counts = Counts::default();
        let mut draft = Draft::default();
        let outcomes = events.iter().map(|event| self.apply_one(event, &mut draft, &mut counts)).collect();
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).add(&counts);
        outcomes
    }

    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn apply_one(&self, event: &Event, draft: &mut Draft, counts: &mut Counts) -> Outcome {
        let (place, plan) = self.find(event);
        counts.events[place][usize::from(plan.is_none())] += 1;
        let Some(plan) = plan.map(|plan| &self.plans[plan]) else { return Outcome::Withheld };
        if plan.keeps_all {
            return Outcome::Unchanged;
        }
        let changed = plan.write(event, draft, counts);
        let body = if plan.rule.body { event.body() } else { b"" };
        let loses_body = body.len() != event.body().len();
        if !changed && !loses_body {
            draft.clear();
            return Outcome::Unchanged;
        }
        counts.rewritten += 1;
        counts.bodies_removed += u64::from(loses_body);
        Outcome::Rewritten(draft.finish(event, body))
    }

    /// The place of the event's name in the counts, and the plan that it falls under.
    fn find(&self, event: &Event) -> (usize, Option<usize>) {
        let raw = event.raw(b"Event-Name").unwrap_or_default();
        let name = encoding::decode(raw);
        match self.names.get(&name) {
            Some(&(place, plan)) if place != CUSTOM => (place, plan),
            known => {
                let subclass = event.value(b"Event-Subclass").unwrap_or_default();
                (known.map_or(OTHER, |_| CUSTOM), self.plan_of(&name, &subclass))
            }
        }
    }

    fn plan_of(&self, name: &[u8], subclass: &[u8]) -> Option<usize> {
        if self.denied.has(name, subclass) {
            return None;
        }
        self.plans.iter().position(|plan| plan.rule.kinds.has(name, subclass))
    }
}

impl Plan {
    fn new(mut rule: Rule) -> Plan {
        let literal = |patterns: &[Pattern]| -> Vec<Box<[u8]>> {
            patterns.iter().filter(|pattern| pattern.is_literal()).map(|pattern| pattern.text().into()).collect()
        };
        let mut names = [literal(&rule.allowed), literal(&rule.denied)].concat();
        names.extend(rule.actions.iter().filter(|(it, _)| it.is_literal()).map(|(it, _)| it.text().into()));
        let essential = ESSENTIAL.iter().enumerate().map(|(bit, name)| (name.as_bytes().into(), 1 << bit));
        let named = essential.chain(names.into_iter().map(|name| (name, 0)));
        let fate = |(name, essential): (Box<[u8]>, u16)| {
            let action = rule.action(&name).clone();
            (name, Fate { action, essential })
        };
        let named = NameTable::new(named.map(fate).collect::<Vec<_>>());
        let takes_any = rule.allowed.iter().any(|pattern| pattern.text() == b"*");
        let keeps_all = takes_any && rule.body && rule.denied.is_empty() && rule.actions.is_empty();
        // What is in the table need not be looked for again; `keeps_all` is for the lists as they were.
        rule.allowed.retain(|pattern| !pattern.is_literal());
        rule.denied.retain(|pattern| !pattern.is_literal());
        rule.actions.retain(|(pattern, _)| !pattern.is_literal());
        Plan { rule, named, keeps_all }
    }

    /// Write what passes of the headers; whether that is not all of them as they are.
    fn write(&self, event: &Event, draft: &mut Draft, counts: &mut Counts) -> bool {
        let mut changed = false;
        let mut seen = 0;
        for (place, name) in event.names().enumerate() {
            let action = match self.named.get(name) {
                Some(fate) if fate.essential & !seen != 0 => {
                    seen |= fate.essential;
                    &Action::Pass
                }
                Some(fate) => &fate.action,
                None => self.rule.action(name),
            };
            let treated = match action {
                Action::Treat(treatment) => {
                    treatment.apply(event.raw_header(place).1).inspect(|_| counts.treated(treatment))
                }
                Action::Pass | Action::Drop => None,
            };
            match (action, treated) {
                (Action::Drop, _) => counts.headers_removed += 1,
                (_, Some(value)) => draft.replace(event, place, &value),
                (_, None) => {
                    draft.keep(event, place);
                    continue;
                }
            }
            changed = true;
        }
        changed
    }
}

impl Rule {
    /// What becomes of a header of this name by the lists and patterns.
    fn action(&self, name: &[u8]) -> &Action {
        let is_in = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        if !is_in(&self.allowed) || is_in(&self.denied) {
            return &Action::Drop;
        }
        let fitting = self.actions.iter().find(|(pattern, _)| pattern.matches(name));
        fitting.map_or(&Action::Pass, |(_, action)| action)
    }
}

impl Counts {
    fn treated(&mut self, treatment: &Treatment) {
        *match treatment {
            Treatment::Mask { .. } => &mut self.values_masked,
            Treatment::Hash { .. } => &mut self.values_hashed,
            Treatment::Truncate { .. } => &mut self.values_truncated,
        } += 1;
    }

    fn add(&mut self, more: &Counts) {
        for (total, more) in self.events.iter_mut().flatten().zip(more.events.iter().flatten()) {
            *total += more;
        }
        self.rewritten += more.rewritten;
        self.headers_removed += more.headers_removed;
        self.bodies_removed += more.bodies_removed;
        self.values_masked += more.values_masked;
        self.values_hashed += more.values_hashed;
        self.values_truncated += more.values_truncated;
    }
}
