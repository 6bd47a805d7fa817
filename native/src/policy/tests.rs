use super::*;

fn event(text: &[u8]) -> Event {
    Event::parse(text).unwrap()
}

fn kinds(names: &[&str]) -> Kinds {
    let pair = |text: &&str| match text.split_once(' ') {
        Some((name, subclass)) => (name.to_string(), Some(subclass.to_string())),
        None => (text.to_string(), None),
    };
    Kinds::new(&names.iter().map(pair).collect::<Vec<_>>())
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

fn rule(names: &[&str], allowed: &[&str]) -> Rule {
    Rule { kinds: kinds(names), allowed: patterns(allowed), denied: vec![], actions: vec![], body: false }
}

fn treat(pattern: &str, treatment: Treatment) -> (Pattern, Action) {
    (Pattern::new(pattern), Action::Treat(Arc::new(treatment)))
}

fn one(policy: &Policy, event: &Event) -> Outcome {
    policy.apply(&[event]).remove(0)
}

fn rewritten(policy: &Policy, text: &[u8]) -> String {
    match one(policy, &event(text)) {
        Outcome::Rewritten(event) => {
            assert_eq!(Event::parse(event.text()).as_ref(), Ok(&event), "it reads back");
            let again = Event::parse(event.text()).unwrap();
            assert_eq!(again.raw_headers().collect::<Vec<_>>(), event.raw_headers().collect::<Vec<_>>());
            String::from_utf8_lossy(event.text()).into_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_star_is_any_text_and_a_question_mark_one_character() {
    for (pattern, name, expected) in [
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("caller-*-number", "Caller-Caller-ID-Number", true),
        ("caller-*-number", "Caller-Number", false),
        ("caller-*-number", "Caller-Caller-ID-Numbers", false),
        ("*a*b*c", "xxaxxbxxbxxc", true),
        ("*a*b*c", "xxaxxcxxb", false),
        ("**", "anything", true),
        ("?", "ü", true),
        ("??", "ü", false),
        ("a?c", "abc", true),
        ("a?", "a", false),
        ("x[4000]", "X[4000]", true),
        ("variable_nolocal:*", "variable_nolocal:foo", true),
    ] {
        assert_eq!(Pattern::new(pattern).matches(name.as_bytes()), expected, "{pattern} {name}");
    }
    assert!(Pattern::new("a?b").matches(b"a\xFFb"));
}

#[test]
fn a_pattern_of_many_stars_takes_no_longer_than_its_length_times_the_names() {
    let pattern = Pattern::new(&"*a".repeat(128));
    let name = [b'a'; 1024];
    assert!(pattern.matches(&name));
    assert!(!Pattern::new(&("*a".repeat(127) + "*b")).matches(&name));
}

#[test]
fn a_table_finds_names_in_any_case() {
    let names: Vec<Box<[u8]>> = (0..500).map(|number| format!("variable_{number}_x").into_bytes().into()).collect();
    let table = NameTable::new(names.iter().cloned().zip(0..));
    for (number, name) in names.iter().enumerate() {
        assert_eq!(table.get(&name.to_ascii_uppercase()), Some(&number));
    }
    assert_eq!(table.get(b"variable_500_x"), None);
    assert_eq!(NameTable::<()>::new([]).get(b""), None);
}

#[test]
fn an_event_falls_under_the_first_rule_that_names_it() {
    let rules = vec![rule(&["HEARTBEAT"], &["A"]), rule(&["*"], &["B"])];
    let policy = Policy::new(rules, kinds(&["CUSTOM a::*", "API"]));
    assert_eq!(rewritten(&policy, b"Event-Name: heartbeat\nA: 1\nB: 2\n\n"), "Event-Name: heartbeat\nA: 1\n\n");
    assert_eq!(rewritten(&policy, b"Event-Name: NEW\nA: 1\nB: 2\n\n"), "Event-Name: NEW\nB: 2\n\n");
    assert_eq!(rewritten(&policy, b"A: 1\nB: 2\n\n"), "B: 2\n\n");
    for withheld in [
        &b"Event-Name: API\n\n"[..],
        b"Event-Name: %41PI\n\n",
        b"Event-Name: CUSTOM\nEvent-Subclass: a%3A%3Ab\n\n",
        b"Event-Subclass: A%3a%3ab\nEvent-Name: custom\n\n",
        b"Event-Subclass: a::b\nEvent-Name: %43USTOM\n\n",
    ] {
        assert_eq!(one(&policy, &event(withheld)), Outcome::Withheld, "{}", String::from_utf8_lossy(withheld));
    }
    let passing = event(b"Event-Name: CUSTOM\nEvent-Subclass: b%3A%3Aa\n\n");
    assert_eq!(one(&policy, &passing), Outcome::Unchanged);
}

#[test]
fn a_custom_event_without_a_subclass_passes_only_where_any_does() {
    let bare = event(b"Event-Name: CUSTOM\n\n");
    assert_eq!(one(&Policy::new(vec![rule(&["CUSTOM a"], &[])], kinds(&[])), &bare), Outcome::Withheld);
    assert_eq!(one(&Policy::new(vec![rule(&["CUSTOM *"], &[])], kinds(&[])), &bare), Outcome::Unchanged);
}

#[test]
fn the_first_of_each_essential_header_passes_and_what_repeats_it_is_like_any_other() {
    let policy = Policy::new(vec![rule(&["*"], &["core-*"])], kinds(&[]));
    let text = b"Core-UUID: 1\nEvent-Name: A\nevent-name: sip%3A1000\ncore-uuid: 2\nMulticast-Sender: fs1\nX: y\n\n";
    let expected = "Core-UUID: 1\nEvent-Name: A\ncore-uuid: 2\nMulticast-Sender: fs1\n\n";
    assert_eq!(rewritten(&policy, text), expected);
}

#[test]
fn a_denial_is_stronger_than_a_permission() {
    let denied = Rule { denied: patterns(&["Caller-ANI", "*-addr"]), ..rule(&["*"], &["Caller-*"]) };
    let policy = Policy::new(vec![denied], kinds(&[]));
    let text = b"Caller-Context: a\ncaller-ani: b\nCaller-Network-Addr: c\nUnique-ID: d\n\n";
    assert_eq!(rewritten(&policy, text), "Caller-Context: a\n\n");
}

#[test]
fn each_value_is_treated_wherever_its_name_stands() {
    let actions = vec![
        (Pattern::new("m-as-it-is"), Action::Pass),
        (Pattern::new("m-gone"), Action::Drop),
        treat("M*", Treatment::Mask { first: 1, last: 2 }),
        treat("T", Treatment::Truncate { characters: 2 }),
    ];
    let policy = Policy::new(vec![Rule { actions, ..rule(&["*"], &["*"]) }], kinds(&[]));
    let text = b"M: 123456\nm: 12\nM: 12%C3%BC4\nM-gone: 1\nM-as-it-is: 5\nT: %C3%BC%FFx\nT: a\nM: _undef_\n\n";
    let expected = "M: 1***56\nm: **\nM: 1*%C3%BC4\nM-as-it-is: 5\nT: %C3%BC%FF\nT: a\nM: _undef_\n\n";
    assert_eq!(rewritten(&policy, text), expected);
    let counts = policy.counts();
    assert_eq!((counts.values_masked, counts.values_truncated, counts.headers_removed), (3, 1, 1));
}

#[test]
fn each_element_of_an_array_is_treated_by_itself() {
    let actions = vec![treat("A", Treatment::Mask { first: 0, last: 1 })];
    let policy = Policy::new(vec![Rule { actions, ..rule(&["*"], &["*"]) }], kinds(&[]));
    let text = b"A: ARRAY%3A%3Aone%7C%3Atwo%7C%3A\n\n";
    assert_eq!(rewritten(&policy, text), "A: ARRAY%3A%3A**e%7C%3A**o%7C%3A\n\n");
}

#[test]
fn a_hash_is_the_start_of_the_hmac_of_the_decoded_value() {
    // RFC 4231, test case 2.
    let key = Arc::new(HashKey::new(b"Jefe"));
    let hash = |characters| Treatment::Hash { key: Arc::clone(&key), characters };
    let whole = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hash(64).apply(b"what%20do%20ya%20want%20for%20nothing%3F"), Some(whole.as_bytes().to_vec()));
    assert_eq!(hash(16).apply(b"what%20do ya want for nothing?"), Some(whole.as_bytes()[..16].to_vec()));
    assert_eq!(hash(16).apply(b"_undef_"), None);
    assert_eq!(format!("{key:?}"), "HashKey");
}

#[test]
fn a_body_that_does_not_pass_goes_with_its_length() {
    let policy = |body| Policy::new(vec![Rule { body, ..rule(&["*"], &["A", "content-length"]) }], kinds(&[]));
    let text = b"A: b\nB: c\nContent-Length: 5\n\nhello";
    assert_eq!(rewritten(&policy(false), text), "A: b\n\n");
    assert_eq!(rewritten(&policy(true), text), "A: b\nContent-Length: 5\n\nhello");
    // A length that stands in front of other headers, and frames the body all the same.
    let text = b"content-length: 5\nB: c\n\nhello";
    assert_eq!(rewritten(&policy(true), text), "content-length: 5\nContent-Length: 5\n\nhello");
    assert_eq!(rewritten(&policy(false), text), "content-length: 5\nContent-Length: 0\n\n");
    assert_eq!(policy(true).counts().bodies_removed, 0);
}

#[test]
fn an_event_that_passes_whole_is_not_touched_and_where_it_came_from_is_kept() {
    let text = b"A: b\nContent-Length: 5\n\nhello";
    let all = Policy::new(vec![Rule { body: true, ..rule(&["*"], &["*"]) }], kinds(&[]));
    assert_eq!(one(&all, &event(text)), Outcome::Unchanged);
    let mut came = event(b"A: b\nB: c\n\n");
    came.source = crate::event::Source::Other("esl".into());
    came.received = 7;
    let policy = Policy::new(vec![rule(&["*"], &["A"])], kinds(&[]));
    let Outcome::Rewritten(event) = one(&policy, &came) else { panic!("it is rewritten") };
    assert_eq!((event.source, event.received), (came.source, 7));
}

#[test]
fn what_passes_and_what_is_withheld_is_counted_by_the_switchs_own_names() {
    let policy = Policy::new(vec![rule(&["HEARTBEAT", "X*"], &[])], kinds(&[]));
    for name in ["HEARTBEAT", "API", "XYZ", "stranger"] {
        policy.apply(&[&event(format!("Event-Name: {name}\nA: b\n\n").as_bytes())]);
    }
    let counts = policy.counts();
    let at = |name: &str| EVENT_NAMES.iter().position(|known| *known == name).unwrap();
    assert_eq!(
        (counts.events[at("HEARTBEAT")], counts.events[at("API")], counts.events[OTHER]),
        ([1, 0], [0, 1], [1, 1])
    );
    assert_eq!((counts.rewritten, counts.headers_removed), (2, 2));
}
