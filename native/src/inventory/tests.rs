//! What is counted, what is worth a look, and what the bounds leave out.

use super::*;
use crate::event::Value;
use std::collections::HashSet;

fn event(text: &str) -> Event {
    Event::parse(text.as_bytes()).unwrap()
}

/// An event of this kind with these headers, every value of which is `1`.
fn with_headers<'a>(kind: &str, names: impl IntoIterator<Item = &'a str>) -> Event {
    let lines: String = names.into_iter().map(|name| format!("{name}: 1\n")).collect();
    event(&format!("Event-Name: {kind}\n{lines}\n"))
}

fn counted(inventory: &mut Inventory, events: &[Event]) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    events.iter().for_each(|event| inventory.add(event, &mut found));
    let named = |specimen: Specimen| {
        let kind = &inventory.kinds()[specimen.kind];
        let header = specimen.header.map_or("", |place| &kind.headers[place].name);
        (kind.name.to_string(), header.to_string(), String::from_utf8(specimen.value).unwrap())
    };
    found.into_iter().map(named).collect()
}

fn check_sums(inventory: &Inventory) {
    let uncounted = inventory.uncounted();
    assert_eq!(inventory.events(), inventory.kinds().iter().map(|kind| kind.events).sum::<u64>() + uncounted.kinds);
    assert_eq!(inventory.events(), inventory.senders().iter().map(|sender| sender.1).sum::<u64>() + uncounted.senders);
    assert_eq!(inventory.events(), inventory.trust().values().sum::<u64>());
    assert_eq!(inventory.headers, inventory.kinds().iter().map(|kind| kind.headers.len()).sum::<usize>());
}

#[test]
fn kinds_sizes_senders_headers_and_bodies_are_counted() {
    let mut inventory = Inventory::default();
    let texts = [
        "Event-Name: CUSTOM\nEvent-Subclass: sofia%3A%3Aregister\nX-A: a%20b\nMulticast-Sender: fs1\n\n",
        "Event-Subclass: sofia%3a%3aregister\nEvent-Name: CUSTOM\nX-A: _undef_\nMulticast-Sender: fs2\n\n",
        "Event-Name: API\nFreeSWITCH-Switchname: fs1\nContent-Length: 4\n\nbody",
        "Event-Name: API\nContent-Length: 2\n\nno",
    ];
    let found = counted(&mut inventory, &texts.map(event));
    check_sums(&inventory);
    assert_eq!(inventory.bytes(), texts.iter().map(|text| text.len() as u64).sum::<u64>());
    let [custom, api] = inventory.kinds() else { panic!("two kinds") };
    assert_eq!((&*custom.name, custom.events, &*api.name, api.events), ("CUSTOM sofia::register", 2, "API", 2));
    assert_eq!((custom.smallest, custom.largest), (texts[0].len() as u64, texts[1].len() as u64));
    assert_eq!(api.bytes, (texts[2].len() + texts[3].len()) as u64);
    let headers: Vec<_> = custom.headers.iter().map(|header| (&*header.name, header.events, header.bytes)).collect();
    let expected = [("Event-Name", 2, 12), ("Event-Subclass", 2, 38), ("X-A", 2, 5 + 7), ("Multicast-Sender", 2, 6)];
    assert_eq!(headers, expected);
    let senders: Vec<_> = inventory.senders().iter().map(|(name, events)| (&**name, *events)).collect();
    assert_eq!(senders, [("fs1", 2), ("fs2", 1), ("", 1)]);
    assert_eq!((&custom.senders, &api.senders), (&vec![1, 1], &vec![1, 0, 1]));
    let body = api.body.as_ref().unwrap();
    assert_eq!((body.events, body.bytes, custom.body.is_none()), (2, 6, true));
    let bodies: Vec<_> = found.iter().filter(|(_, header, _)| header.is_empty()).map(|(_, _, body)| body).collect();
    assert_eq!(bodies, ["body", "no"]);
    let decoded: Vec<_> = found.iter().filter(|(_, header, _)| header == "X-A").map(|(_, _, value)| value).collect();
    assert_eq!(decoded, ["a b", ""]);
}

#[test]
fn a_header_that_is_repeated_is_in_one_event_whatever_its_case() {
    let mut inventory = Inventory::default();
    counted(&mut inventory, &[event("Event-Name: API\nX-A: 1\nx-a: 22\nX-A: 333\n\n"), event("x-a: 1\n\n")]);
    let api = &inventory.kinds()[0];
    assert_eq!((&*api.headers[1].name, api.headers[1].events, api.headers[1].bytes), ("X-A", 1, 6));
    let nameless = &inventory.kinds()[1];
    assert_eq!((&*nameless.name, &*nameless.headers[0].name), ("", "x-a"));
    check_sums(&inventory);
}

#[test]
fn names_that_are_not_utf8_are_names_still() {
    let mut inventory = Inventory::default();
    for text in [b"Event-Name: %FF\nX-\xff: 1\n\n", b"Event-Name: %FE\nX-\xfe: 1\n\n"] {
        inventory.add(&Event::parse(text).unwrap(), &mut Vec::new());
    }
    let [kind] = inventory.kinds() else { panic!("one kind, as both are shown") };
    assert_eq!((&*kind.name, kind.events, kind.headers.len()), ("\u{fffd}", 2, 2));
}

#[test]
fn headers_are_found_in_any_order() {
    let mut inventory = Inventory::default();
    let names = ["A", "B", "C", "D"];
    for turn in 0..24 {
        let mut order = names.to_vec();
        order.rotate_left(turn % 4);
        order.swap(0, turn % 3);
        order.truncate(1 + turn % 4);
        let expected: HashSet<_> = order.iter().copied().collect();
        let before: Vec<u64> = counts_of(&inventory, &names);
        counted(&mut inventory, &[with_headers("API", order)]);
        for (place, name) in names.iter().enumerate() {
            let rise = counts_of(&inventory, &names)[place] - before[place];
            assert_eq!(rise, u64::from(expected.contains(name)));
        }
    }
}

fn counts_of(inventory: &Inventory, names: &[&str]) -> Vec<u64> {
    let headers = inventory.kinds().first().map_or(&[][..], |kind| &kind.headers);
    names
        .iter()
        .map(|name| headers.iter().find(|header| &*header.name == *name).map_or(0, |header| header.events))
        .collect()
}

#[test]
fn values_are_told_apart_by_kind_and_header() {
    let mut inventory = Inventory::default();
    let events = [
        event("Event-Name: API\nX-A: 1000\nX-B: 1000\n\n"),
        event("Event-Name: API\nX-A: 1001\nX-B: 1000\n\n"),
        event("Event-Name: API\nX-A: 1002\nX-B: 1000\n\n"),
        event("Event-Name: API\nX-A: +4930123456\nX-B: 1000\n\n"),
        event("Event-Name: API\nX-A: 1003\nX-B: 1000\n\n"),
        event("Event-Name: HEARTBEAT\nX-A: 1003\n\n"),
    ];
    let found = counted(&mut inventory, &events);
    let found: Vec<_> =
        found.iter().filter(|entry| entry.1 != "Event-Name").map(|(k, h, v)| (&**k, &**h, &**v)).collect();
    let expected = [
        ("API", "X-A", "1000"),
        ("API", "X-B", "1000"),
        ("API", "X-A", "1001"),
        ("API", "X-A", "+4930123456"),
        ("API", "X-A", "1003"),
        ("HEARTBEAT", "X-A", "1003"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn kinds_are_bounded() {
    let mut inventory = Inventory::default();
    for number in 0..limits::AUDIT_KINDS as u64 + 10 {
        counted(&mut inventory, &[with_headers(&format!("KIND_{number}"), [])]);
    }
    assert_eq!((inventory.kinds().len(), inventory.uncounted().kinds), (limits::AUDIT_KINDS, 10));
    assert!(counted(&mut inventory, &[with_headers("ANOTHER", ["X-A"])]).is_empty());
    assert_eq!(counted(&mut inventory, &[with_headers("KIND_0", ["X-A"])]).len(), 1, "what is known goes on");
    check_sums(&inventory);
}

#[test]
fn headers_of_one_kind_are_bounded_and_leave_room_for_others() {
    let mut inventory = Inventory::default();
    for number in 0..limits::AUDIT_HEADERS_OF_KIND + 10 {
        counted(&mut inventory, &[with_headers("API", [&*format!("X-{number}")])]);
    }
    assert_eq!(inventory.kinds()[0].headers.len(), limits::AUDIT_HEADERS_OF_KIND);
    assert_eq!(inventory.uncounted().headers, 10 + 1, "Event-Name took a place too");
    counted(&mut inventory, &[with_headers("HEARTBEAT", ["X-A"])]);
    assert_eq!(inventory.kinds()[1].headers.len(), 2);
    check_sums(&inventory);
}

#[test]
fn headers_of_all_kinds_are_bounded() {
    let mut inventory = Inventory::default();
    for number in 0..limits::AUDIT_HEADERS {
        let kind = format!("KIND_{}", number % 100);
        counted(&mut inventory, &[with_headers(&kind, [&*format!("X-{number}")])]);
    }
    let kept: usize = inventory.kinds().iter().map(|kind| kind.headers.len()).sum();
    assert_eq!((kept, inventory.uncounted().headers), (limits::AUDIT_HEADERS, 100));
    check_sums(&inventory);
}

#[test]
fn senders_are_bounded() {
    let mut inventory = Inventory::default();
    let from = |name: &str| event(&format!("Event-Name: API\nMulticast-Sender: {name}\n\n"));
    for number in 0..limits::AUDIT_SENDERS + 10 {
        counted(&mut inventory, &[from(&format!("fs{number}"))]);
    }
    assert_eq!((inventory.senders().len(), inventory.uncounted().senders), (limits::AUDIT_SENDERS, 10));
    counted(&mut inventory, &[from("fs0")]);
    assert_eq!((inventory.senders()[0].1, inventory.kinds()[0].senders.len()), (2, limits::AUDIT_SENDERS));
    check_sums(&inventory);
}

#[test]
fn long_names_are_not_kept() {
    let (longest, longer) = ("n".repeat(limits::AUDIT_NAME_BYTES), "n".repeat(limits::AUDIT_NAME_BYTES + 1));
    let mut inventory = Inventory::default();
    for name in [&*longest, &*longer] {
        let text = format!("Event-Name: {name}\nMulticast-Sender: {name}\n\n");
        counted(&mut inventory, &[event(&text), with_headers("API", [name])]);
    }
    let uncounted = Uncounted { kinds: 1, headers: 1, senders: 1, ..Uncounted::default() };
    assert_eq!((inventory.uncounted(), inventory.kinds().len(), inventory.senders().len()), (uncounted, 2, 2));
    check_sums(&inventory);
}

#[test]
fn long_values_are_cut_where_they_are_looked_at() {
    let mut inventory = Inventory::default();
    for bytes in [limits::AUDIT_VALUE_BYTES, limits::AUDIT_VALUE_BYTES + 1] {
        let headers = [(b"X-A".as_slice(), Value::Text(vec![b'v'; bytes]))];
        let event = Event::build(headers, &vec![b'b'; bytes], encoding::Escape::Exact).unwrap();
        let mut found = Vec::new();
        inventory.add(&event, &mut found);
        assert!(found.len() == 2 && found.iter().all(|it| it.value.len() == limits::AUDIT_VALUE_BYTES));
    }
    assert_eq!((inventory.uncounted().cut, inventory.kinds()[0].headers[0].bytes), (2, 32_769));
}

#[test]
fn shapes_beyond_the_bound_are_told() {
    let mut inventory = Inventory::default();
    let marks = "!$&'()*,-./_~";
    let texts = marks.chars().flat_map(|first| marks.chars().map(move |second| format!("a{first}a{second}a")));
    let events: Vec<Event> = texts.map(|text| event(&format!("X-A: {text}\n\n"))).collect();
    counted(&mut inventory, &events);
    let beyond = (events.len() - limits::AUDIT_SHAPES) as u64;
    assert_eq!((inventory.uncounted().shapes, inventory.kinds()[0].headers[0].events), (beyond, events.len() as u64));
}

#[test]
fn coverage_is_the_share_of_events_that_show_nothing_alone() {
    let mut inventory = Inventory::default();
    assert_eq!(inventory.coverage(), 0.0);
    let events = [
        (with_headers("API", ["A"]), 0.0),
        (with_headers("API", ["A"]), 1.0),
        (with_headers("API", ["B", "B"]), 2.0 / 3.0),
        (with_headers("API", ["A", "C"]), 0.5),
        (with_headers("HEARTBEAT", ["A"]), 0.4),
        (with_headers("API", ["B", "C"]), 5.0 / 6.0),
        (with_headers("HEARTBEAT", []), 6.0 / 7.0),
        (with_headers("HEARTBEAT", ["A"]), 1.0),
    ];
    for (event, coverage) in events {
        counted(&mut inventory, &[event]);
        assert!((inventory.coverage() - coverage).abs() < 1e-9, "{} {coverage}", inventory.coverage());
    }
}

#[test]
fn what_is_beyond_the_bounds_counts_as_new() {
    let mut inventory = Inventory::new(Bounds { kinds: 1, headers: 2, ..Bounds::default() });
    counted(&mut inventory, &[with_headers("API", ["A"]), with_headers("API", ["A"])]);
    assert_eq!(inventory.coverage(), 1.0);
    counted(&mut inventory, &[with_headers("API", ["B", "C"]), with_headers("HEARTBEAT", [])]);
    assert_eq!(inventory.coverage(), 0.5);
    let mut none = Inventory::new(Bounds { kinds: 1, headers: 1, ..Bounds::default() });
    counted(&mut none, &[with_headers("API", ["A"])]);
    assert_eq!(none.coverage(), 0.0, "never below");
}
