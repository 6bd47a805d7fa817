use super::{Numbers, Raw};
use crate::limits::{CONDITION_ADDITIONS, CONDITION_BYTES, CONDITION_NESTING, PATTERN_BYTES};
use crate::matching::{Bindings, Condition, ConditionError, Matcher};

const REGISTER: Raw<'static> = Raw(&[
    ("Event-Subclass", "sofia%3A%3Aregister"),
    ("Event-Name", "CUSTOM"),
    ("Caller-Destination-Number", "9001"),
    ("Session-Count", "7"),
    ("Load", "0.5"),
    ("Empty", "_undef_"),
    ("Odd", "%ff%C3%A9"),
    ("variable_name:x", "1"),
    ("Multicast-Sender", "fs2"),
    ("Multicast-Sender", "second"),
]);

fn compile(text: &str) -> Condition {
    Condition::compile(text, "fs1").unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn holds(text: &str) -> bool {
    compile(text).evaluate(&REGISTER).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn failure(text: &str) -> String {
    compile(text).evaluate(&REGISTER).expect_err(text)
}

fn refusal(text: &str) -> ConditionError {
    match Condition::compile(text, "fs1") {
        Ok(_) => panic!("{text:.80} compiled"),
        Err(error) => error,
    }
}

fn refused_at(text: &str) -> (Option<usize>, String) {
    let error = refusal(text);
    (error.column, error.message)
}

#[test]
fn the_variables_are_texts_of_the_event() {
    for text in [
        "name == 'CUSTOM' && subclass == 'sofia::register' && sender == 'fs2' && node == 'fs1'",
        "sender != node",
        ".name == name",
        "h['caller-destination-number'].startsWith('9')",
        "h['Absent'] == ''",
        "h['Empty'] == ''",
        "h['Odd'] == '\u{FFFD}é'",
        "h['variable_name:x'] == '1'",
        "h.Load == '0.5'",
        "name in ['CUSTOM', 'HEARTBEAT']",
        "type(h['Load']) == string",
        "size(h['Caller-Destination-Number']) == 4 && h.Load.size() == 3",
        "name == 'API' ? false : true",
        "true",
    ] {
        assert!(holds(text), "{text}");
    }
    assert!(!holds("name == 1"), "text never equals a number");
}

#[test]
fn a_header_is_found_by_a_key_that_is_computed_too() {
    assert!(holds("h['Caller-' + 'Destination-Number'] == '9001'"));
    assert!(holds("h[h['No'] + 'Load'] == '0.5'"));
    assert!(holds("h[h['Absent']] == ''"));
    assert!(holds("['Load', 'Absent'].exists(key, h[key] == '0.5')"));
}

#[test]
fn presence_is_asked_with_in_or_has() {
    assert!(holds("'Empty' in h && 'empty' in h && !('Absent' in h)"));
    assert!(holds("('Ab' + 'sent') in h == false"));
    assert!(holds("has(h.Load) && !has(h.Absent)"));
}

#[test]
fn numbers_are_made_of_texts_and_a_text_that_is_none_is_an_error() {
    assert!(holds("int(h['Session-Count']) > 5 && double(h.Load) < 0.6"));
    assert!(holds("'Absent' in h && int(h['Absent']) > 5 || true"));
    assert!(failure("int(h['Absent']) > 5").starts_with("int(): "));
    assert_eq!(
        failure("h['Session-Count'] > 5"),
        "> does not go with string and int; headers are text, and int(...) makes a number of one"
    );
}

#[test]
fn lists_are_searched_with_exists_and_all() {
    assert!(holds("['1', '9'].exists(prefix, h['Caller-Destination-Number'].startsWith(prefix))"));
    assert!(holds("['CUSTOM', 'API'].all(name, name != 'HEARTBEAT') && ['a'].exists(h, h == 'a')"));
    assert!(holds("['a', 'b'].exists_one(x, x == 'a') && !['a', 'a'].exists_one(x, x == 'a')"));
    assert_eq!(refused_at("['a'].exists(x, x == y)").0, Some(22));
    assert_eq!(refused_at("['a'].exists(x, .x == 'a')").0, Some(18));
    assert_eq!(refused_at("['a'].exists(x, x == 'a') && x == 'a'").0, Some(30));
}

#[test]
fn patterns_are_compiled_with_the_condition() {
    assert!(holds("h['Caller-Destination-Number'].matches('^9\\\\d{3}$')"));
    assert!(holds("matches(subclass, '^sofia::(un)?register$') && !name.matches('(?i)^cust$')"));
    assert!(holds("h['Odd'].matches('(?i)É')"));
    let (column, message) = refused_at("name.matches('(')");
    assert_eq!((column, message.as_str()), (Some(14), "no regular expression: unclosed group"));
    assert_eq!(refused_at("name.matches(h['P'])").0, Some(15));
    assert!(refusal("name.matches('((a{999}){999}){999}')").message.contains("repeat less"));
    let long = "a".repeat(PATTERN_BYTES + 1);
    assert!(refusal(&format!("name.matches('{long}')")).message.contains("513 bytes"));
}

#[test]
fn an_unknown_name_is_refused_at_its_column_with_the_known_ones() {
    let (column, message) = refused_at("name == 'é' && names == 'x'");
    assert_eq!(column, Some(16));
    assert_eq!(
        message,
        "unknown name names; a text stands in quotes, and the variables are name, subclass, sender, node and \
         h[\"Any-Header\"]"
    );
    assert_eq!(refused_at("foo == 1").0, Some(1));
    assert_eq!(refused_at("name == HEARTBEAT").0, Some(9));
    assert_eq!(refused_at("name == 'a' ||\n  foo == 'b'").0, Some(18));
    assert_eq!(refused_at("optional == 1").0, Some(1));
}

#[test]
fn what_cannot_work_on_any_event_is_refused() {
    for (text, column, message) in [
        ("h == 'x'", Some(1), "h is read as h[\"Name\"], or asked as \"Name\" in h"),
        ("h[1] == 'x'", Some(3), "a header's name is text: h[\"Name\"]"),
        ("name.foo == 'x'", Some(5), "only h has fields, and this is .foo"),
        ("h.A.B == 'x'", Some(4), "only h has fields, and this is .B"),
        ("name.startswith('A')", Some(6), "unknown function startswith; it is written startsWith"),
        ("startsWith(name, 'A')", Some(1), "startsWith is written x.startsWith(y)"),
        (
            "name != '' && optional.none() == 1",
            Some(24),
            "unknown function none; there are startsWith, endsWith, contains, matches, size, int, double",
        ),
        ("{'a': 1}['a'] == 1", Some(1), "a condition has no use for maps and messages; only lists are taken"),
        ("name", None, "the condition gives string, not true or false; compare it with something"),
        ("int('1') + 1", None, "the condition gives int, not true or false; compare it with something"),
        ("[name].map(x, x) == []", Some(11), "map and filter make lists, and a condition is a bool; use exists or all"),
    ] {
        assert_eq!(refused_at(text), (column, message.to_owned()), "{text}");
    }
}

#[test]
fn a_result_that_is_no_bool_on_some_events_is_an_error_there() {
    assert_eq!(
        failure("'Load' in h ? name : false"),
        "the condition gives string, not true or false; compare it with something"
    );
}

#[test]
fn a_syntax_error_points_at_its_column_in_characters() {
    for (text, column, message) in [
        ("name = 'x'", Some(6), "a single = means nothing here; equality is written =="),
        ("h['é'] = 'x'", Some(8), "a single = means nothing here; equality is written =="),
        ("'🐱' = name", Some(5), "a single = means nothing here; equality is written =="),
        ("name == ", Some(9), "the condition ends too early"),
        ("(name == 'x'", Some(13), "the condition ends where ')' is missing"),
        (
            "name == 'x",
            Some(9),
            "the text that begins here has no closing quote, or an escape that does not exist (\\\\ is a backslash)",
        ),
        ("name == 'x' and true", Some(13), "and is written &&"),
        ("name == 'x' && && true", Some(16), "and is written &&, or is written ||, each between two conditions"),
        ("name == 'a' ||\n  )", Some(18), "')' is not expected here"),
        ("name == 99999999999999999999", Some(9), "invalid int literal"),
        ("name == 'é' && has(h['X'])", Some(21), "has() takes h.Name; for other names write \"Name\" in h"),
        ("", Some(1), "the condition is empty; leave it out to take every event"),
    ] {
        assert_eq!(refused_at(text), (column, message.to_owned()), "{text}");
    }
    assert_eq!(refusal("name = 'x'").to_string(), "column 6: a single = means nothing here; equality is written ==");
}

#[test]
fn what_would_cost_too_much_is_refused_and_takes_no_stack() {
    let long = format!("name == '{}'", "x".repeat(CONDITION_BYTES));
    assert!(refusal(&long).message.contains("4106 bytes"));
    for deep in ["(", "[", "f(", "a.b(", "1 + ", "x?x:", "1 == ", "{1:", "!(", "-("] {
        let text = format!("{}1", deep.repeat(CONDITION_BYTES / deep.len() - 1));
        refusal(&text);
    }
    let chain = vec!["true"; CONDITION_NESTING + 2].join(" == ");
    assert!(refusal(&chain).message.contains("deeper than 32 levels"));
    let sum = vec!["h.A"; CONDITION_ADDITIONS + 2].join(" + ");
    assert!(refusal(&format!("{sum} == ''")).message.contains("more than 16 additions"));
    let list = format!("[{}]", vec!["1"; 100].join(","));
    assert!(refusal(&format!("{list}.all(x, {list}.all(y, x == y))")).message.contains("steps"));
    let wide = vec!["name == 'A'"; 250].join(" || ");
    assert!(!holds(&wide), "many alternatives are balanced, not nested");
}

#[test]
fn what_passes_the_limits_needs_no_more_stack_than_a_thread_has() {
    let levels = CONDITION_NESTING - 3;
    let deepest =
        format!("{}1{} == {}", "-(".repeat(levels), ")".repeat(levels), if levels.is_multiple_of(2) { 1 } else { -1 });
    refusal(&deepest.replacen("-(", "-(-(-(", 1).replacen(')', ")))", 1));
    let condition = compile(&deepest);
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let answer = thread.spawn(move || condition.evaluate(&REGISTER)).expect("thread").join().expect("no overflow");
    assert_eq!(answer, Ok(true));
}

#[test]
fn no_text_makes_the_compiler_panic() {
    let pieces = [
        "name", "h", "[", "]", "(", ")", "'a'", "==", "&&", "||", "!", "-", ".", ",", "1", "2.5", "in", "?", ":", "{",
        "}", "exists", "all", "has", "matches", "int", "x", "é", "\"", "'", "\\", "\n", "//", "b'a'", "null", "@h",
        "`", " ",
    ];
    let mut numbers = Numbers(3);
    for _ in 0..400 {
        let text: String = (0..numbers.below(24)).map(|_| pieces[numbers.below(pieces.len())]).collect();
        match Condition::compile(&text, "fs1") {
            Ok(condition) => drop(condition.evaluate(&REGISTER)),
            Err(error) => {
                assert!(error.column.is_none_or(|column| column <= text.chars().count() + 1), "{text:?} {error}");
                assert_ne!(error.message, "the condition cannot be read; write it in a simpler way", "{text:?}");
            }
        }
    }
}

#[test]
fn a_condition_is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let matcher = Matcher::new(
        Bindings::parse("CUSTOM sofia::register").expect("bindings"),
        Some(compile("sender != node && h['Caller-Destination-Number'].matches('^9')")),
    );
    shared(&matcher);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| assert!(matcher.matches(&REGISTER))));
        }
    });
    assert_eq!(matcher.errors(), 0);
}

#[test]
fn an_event_that_the_condition_fails_on_does_not_match_and_is_counted() {
    let matcher = Matcher::new(Bindings::parse("all").expect("bindings"), Some(compile("int(h['Session-Count']) > 5")));
    assert!(matcher.matches(&REGISTER));
    assert!(!matcher.matches(&Raw(&[("Session-Count", "many")])));
    assert!(matcher.check(&Raw(&[])).is_err());
    assert_eq!(matcher.errors(), 2);
}
