use super::{Numbers, Raw};
use crate::encoding::{self, Escape};
use crate::limits::{BINDING_WORD_BYTES, BINDING_WORDS, BINDINGS_BYTES};
use crate::matching::{Bindings, EVENT_NAMES, Matcher};

fn parse(text: &str) -> Bindings {
    Bindings::parse(text).expect(text)
}

fn matches(bindings: &Bindings, name: &str, subclass: Option<&str>) -> bool {
    bindings.matches_raw(Some(name.as_bytes()), || subclass.map(str::as_bytes))
}

fn refusal(text: &str) -> String {
    Bindings::parse(text).expect_err("refused").message
}

#[test]
fn names_are_separated_by_white_space_or_commas_and_their_case_does_not_count() {
    let bindings = parse(" heartbeat,\tMessage_Waiting,\r\n ,API,api ");
    for name in ["HEARTBEAT", "MESSAGE_WAITING", "API", "heartbeat"] {
        assert!(matches(&bindings, name, None), "{name}");
    }
    for name in ["SESSION_HEARTBEAT", "HEARTBEA", "", "CUSTOM", "MESSAGE"] {
        assert!(!matches(&bindings, name, None), "{name}");
    }
    assert!(!bindings.matches_raw(None, || None));
    assert_eq!(bindings.to_string(), "HEARTBEAT MESSAGE_WAITING API");
    assert_eq!(bindings.warnings(), [] as [&str; 0]);
}

#[test]
fn all_takes_everything_alone_or_among_others() {
    for text in ["all", "ALL", "HEARTBEAT All API", "all CUSTOM sofia::register"] {
        let bindings = parse(text);
        assert!(matches(&bindings, "CODEC", None), "{text}");
        assert!(matches(&bindings, "CUSTOM", Some("any%3A%3Athing")), "{text}");
        assert!(bindings.matches_raw(None, || None), "{text}");
        assert_eq!(bindings.to_string(), "ALL");
    }
    assert_eq!(parse("all CUSTOM").warnings(), [] as [&str; 0]);
}

#[test]
fn every_word_after_custom_is_a_subclass_exact_in_case() {
    let bindings = parse("HEARTBEAT CUSTOM sofia::register plain CUSTOM conference::maintenance");
    assert!(matches(&bindings, "CUSTOM", Some("sofia%3A%3Aregister")));
    assert!(matches(&bindings, "CUSTOM", Some("conference%3A%3Amaintenance")));
    assert!(matches(&bindings, "CUSTOM", Some("plain")));
    assert!(!matches(&bindings, "CUSTOM", Some("Sofia%3A%3Aregister")));
    assert!(!matches(&bindings, "CUSTOM", Some("sofia%3A%3Aunregister")));
    assert!(!matches(&bindings, "CUSTOM", Some("_undef_")));
    assert!(!matches(&bindings, "CUSTOM", Some("")));
    assert!(!matches(&bindings, "plain", None));
    assert_eq!(bindings.to_string(), "HEARTBEAT CUSTOM sofia::register plain conference::maintenance");
}

#[test]
fn a_custom_event_without_a_subclass_matches_wherever_custom_is_named_as_in_the_switch() {
    assert!(matches(&parse("CUSTOM"), "CUSTOM", None));
    assert!(matches(&parse("CUSTOM sofia::register"), "CUSTOM", None));
    assert!(!matches(&parse("CUSTOM"), "CUSTOM", Some("sofia%3A%3Aregister")));
    assert!(!matches(&parse("HEARTBEAT"), "CUSTOM", None));
}

#[test]
fn a_subclass_matches_however_it_is_encoded() {
    let bindings = parse("HEARTBEAT CUSTOM sofia::register a%41b _undef_");
    for raw in ["sofia%3a%3aregister", "sofia::register", "%73ofia%3A:register", "sofia%3A%3A%72egister"] {
        assert!(matches(&bindings, "CUSTOM", Some(raw)), "{raw}");
    }
    for raw in ["sofia%3a%3aunregister", "sofia%3", "sofia%3A%3Aregister%", "sofia%3A%3Aregister%00", "%", "%zz"] {
        assert!(!matches(&bindings, "CUSTOM", Some(raw)), "{raw}");
    }
    assert!(matches(&bindings, "CUSTOM", Some("a%2541b")));
    assert!(!matches(&bindings, "CUSTOM", Some("a%41b")), "which stands for aAb");
    assert!(matches(&bindings, "CUSTOM", Some("%5Fundef_")));
    assert!(!matches(&bindings, "CUSTOM", Some("_undef_")), "which stands for nothing");
    assert!(matches(&bindings, "%48eartbeat", None));
    assert!(matches(&bindings, "%43USTOM", Some("sofia%3A%3Aregister")));
}

#[test]
fn any_subclass_is_found_again_in_any_encoding() {
    let mut numbers = Numbers(1);
    for _ in 0..2_000 {
        let alphabet: Vec<char> = "aZ09_:.%=@é-".chars().collect();
        let mut word = || -> String { (0..1 + numbers.below(12)).map(|_| alphabet[numbers.below(12)]).collect() };
        let (wanted, other) = (word(), word());
        if wanted.eq_ignore_ascii_case("custom") {
            continue;
        }
        let bindings = parse(&format!("CUSTOM {wanted} filler::one filler::two"));
        let mut canonical = Vec::new();
        encoding::encode_into(wanted.as_bytes(), Escape::Lossless, &mut canonical);
        let odd: String = wanted
            .bytes()
            .map(|byte| match numbers.below(3) {
                0 => format!("%{byte:02x}"),
                1 => format!("%{byte:02X}"),
                _ if byte.is_ascii_alphanumeric() => (byte as char).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        assert!(bindings.matches_raw(Some(b"CUSTOM"), || Some(&canonical)), "{wanted}");
        assert!(bindings.matches_raw(Some(b"CUSTOM"), || Some(odd.as_bytes())), "{wanted} as {odd}");
        let mut raw = Vec::new();
        encoding::encode_into(other.as_bytes(), Escape::Lossless, &mut raw);
        assert_eq!(bindings.matches_raw(Some(b"CUSTOM"), || Some(&raw)), wanted == other, "{wanted} {other}");
    }
}

#[test]
fn any_choice_of_names_matches_those_and_no_others() {
    let mut numbers = Numbers(2);
    for _ in 0..200 {
        let chosen: Vec<&str> = EVENT_NAMES[1..93].iter().copied().filter(|_| numbers.below(4) == 0).collect();
        if chosen.is_empty() {
            continue;
        }
        let bindings = parse(&chosen.join(" "));
        assert_eq!(bindings.warnings(), [] as [&str; 0]);
        assert_eq!(bindings.to_string(), chosen.join(" "));
        for name in &EVENT_NAMES[1..93] {
            assert_eq!(matches(&bindings, name, None), chosen.contains(name), "{name} by {bindings}");
        }
    }
}

#[test]
fn an_unknown_name_is_kept_and_the_warning_names_the_nearest() {
    let bindings = parse("HEARTBEET CHANEL_ANSWER XYZZY");
    assert_eq!(
        bindings.warnings(),
        [
            "unknown event \"HEARTBEET\"; the nearest are HEARTBEAT, SESSION_HEARTBEAT",
            "unknown event \"CHANEL_ANSWER\"; the nearest is CHANNEL_ANSWER",
            "unknown event \"XYZZY\"; the switch has no name near it",
        ]
    );
    assert!(matches(&bindings, "XYZZY", None));
    assert_eq!(bindings.to_string(), "HEARTBEET CHANEL_ANSWER XYZZY");
}

#[test]
fn a_word_on_the_wrong_side_of_custom_is_warned_of() {
    assert_eq!(
        parse("HEARTBEAT sofia::register").warnings(),
        ["\"sofia::register\" looks like a subclass; put it after CUSTOM: CUSTOM sofia::register"]
    );
    assert_eq!(
        parse("CUSTOM sofia::register heartbeat").warnings(),
        ["\"heartbeat\" stands after CUSTOM and so is a subclass; put it before CUSTOM to mean the event HEARTBEAT"]
    );
    assert_eq!(
        parse("HEARTBEAT CUSTOM").warnings(),
        ["CUSTOM without a subclass takes only CUSTOM events that carry none; for every CUSTOM event take all with \
          where 'name == \"CUSTOM\"'"]
    );
}

#[test]
fn what_is_empty_too_long_or_unprintable_is_refused_with_a_mend() {
    for empty in ["", "  ", ",,\n,"] {
        assert!(refusal(empty).contains("write all"), "{empty:?}");
    }
    assert!(refusal(&"A ".repeat(BINDING_WORDS + 1)).contains("1025 words"));
    assert!(refusal(&" ".repeat(BINDINGS_BYTES + 1)).contains("16385 bytes"));
    assert!(refusal(&"A".repeat(BINDING_WORD_BYTES + 1)).contains("\"AAAAAAAAAAAAAAAAAAAA\" has 257 bytes"));
    assert!(refusal("HEART\0BEAT").contains("control character"));
    let full: Vec<String> = (0..BINDING_WORDS - 1).map(|n| format!("a:{n}")).collect();
    let bindings = parse(&format!("CUSTOM {}", full.join(" ")));
    assert!(matches(&bindings, "CUSTOM", Some("a%3A1022")) && !matches(&bindings, "CUSTOM", Some("a%3A1023")));
}

#[test]
fn a_matcher_asks_for_no_more_than_it_needs() {
    let matcher = Matcher::new(parse("CUSTOM sofia::register"), None);
    assert!(matcher.matches(&Raw(&[("event-name", "CUSTOM"), ("Event-Subclass", "sofia%3A%3Aregister")])));
    assert!(!matcher.matches(&Raw(&[("Event-Name", "CUSTOM"), ("Event-Subclass", "x")])));
    assert!(!matcher.matches(&Raw(&[])));
}
