//! Bindings: which events are asked for, in FreeSWITCH's own words.

use super::words::WordSet;
use crate::limits::{BINDING_WORD_BYTES, BINDING_WORDS, BINDINGS_BYTES};
use std::fmt;

/// The names of FreeSWITCH's event types in the switch's own order.
#[rustfmt::skip]
pub const EVENT_NAMES: [&str; 94] = [
    "CUSTOM", "CLONE", "CHANNEL_CREATE", "CHANNEL_DESTROY", "CHANNEL_STATE", "CHANNEL_CALLSTATE", "CHANNEL_ANSWER",
    "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HOLD",
    "CHANNEL_UNHOLD", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_OUTGOING", "CHANNEL_PARK", "CHANNEL_UNPARK", "CHANNEL_APPLICATION", "CHANNEL_ORIGINATE", "CHANNEL_UUID",
    "API", "LOG", "INBOUND_CHAN", "OUTBOUND_CHAN", "STARTUP", "SHUTDOWN", "PUBLISH", "UNPUBLISH", "TALK", "NOTALK",
    "SESSION_CRASH", "MODULE_LOAD", "MODULE_UNLOAD", "DTMF", "MESSAGE", "PRESENCE_IN", "NOTIFY_IN", "PRESENCE_OUT",
    "PRESENCE_PROBE", "MESSAGE_WAITING", "MESSAGE_QUERY", "ROSTER", "CODEC", "BACKGROUND_JOB", "DETECTED_SPEECH",
    "DETECTED_TONE", "PRIVATE_COMMAND", "HEARTBEAT", "TRAP", "ADD_SCHEDULE", "DEL_SCHEDULE", "EXE_SCHEDULE",
    "RE_SCHEDULE", "RELOADXML", "NOTIFY", "PHONE_FEATURE", "PHONE_FEATURE_SUBSCRIBE", "SEND_MESSAGE", "RECV_MESSAGE",
    "REQUEST_PARAMS", "CHANNEL_DATA", "GENERAL", "COMMAND", "SESSION_HEARTBEAT", "CLIENT_DISCONNECTED",
    "SERVER_DISCONNECTED", "SEND_INFO", "RECV_INFO", "RECV_RTCP_MESSAGE", "SEND_RTCP_MESSAGE", "CALL_SECURE", "NAT",
    "RECORD_START", "RECORD_STOP", "PLAYBACK_START", "PLAYBACK_STOP", "CALL_UPDATE", "FAILURE", "SOCKET_DATA",
    "MEDIA_BUG_START", "MEDIA_BUG_STOP", "CONFERENCE_DATA_QUERY", "CONFERENCE_DATA", "CALL_SETUP_REQ",
    "CALL_SETUP_RESULT", "CALL_DETAIL", "DEVICE_STATE", "TEXT", "SHUTDOWN_REQUESTED", "CERT_RELOAD", "ALL",
];

/// How many names a warning offers.
const NEAREST_NAMES: usize = 3;

/// Why a text is no bindings, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingError {
    pub message: String,
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BindingError {}

/// Event names, and the subclasses of CUSTOM events, that are asked for.
///
/// As in the switch, a CUSTOM event that carries no subclass matches whenever CUSTOM is named at all.
#[derive(Debug)]
pub struct Bindings {
    all: bool,
    custom: bool,
    names: WordSet,
    subclasses: WordSet,
    warnings: Vec<String>,
}

impl Bindings {
    /// Read `all`, or event names in any case, separated by white space or commas, every word after `CUSTOM` being a
    /// subclass (in the switch's case).
    pub fn parse(text: &str) -> Result<Bindings, BindingError> {
        let mut words = checked_words(text)?.into_iter();
        let mut names: Vec<String> = Vec::new();
        let mut subclasses: Vec<String> = Vec::new();
        let mut warnings = Vec::new();
        let (mut all, mut custom) = (false, false);
        for word in words.by_ref() {
            let name = word.to_ascii_uppercase();
            match name.as_str() {
                "ALL" => all = true,
                "CUSTOM" => {
                    custom = true;
                    break;
                }
                _ => {
                    warnings.extend(warn_of_name(word, &name));
                    push_new(&mut names, &name);
                }
            }
        }
        // "CUSTOM a CUSTOM b" is often written; the switch takes the second CUSTOM for a subclass that no event has.
        for word in words.filter(|word| !word.eq_ignore_ascii_case("CUSTOM")) {
            warnings.extend(warn_of_subclass(word));
            push_new(&mut subclasses, word);
        }
        if custom && subclasses.is_empty() && !all {
            warnings.push(
                "CUSTOM without a subclass takes only CUSTOM events that carry none; for every CUSTOM event \
                 take all with where 'name == \"CUSTOM\"'"
                    .to_owned(),
            );
        }
        let (names, subclasses) = (WordSet::new(names, true), WordSet::new(subclasses, false));
        Ok(Bindings { all, custom, names, subclasses, warnings })
    }

    /// One sentence for each word that probably does not mean what it says.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether every event matches, whatever its name.
    pub fn takes_all(&self) -> bool {
        self.all
    }

    /// Whether an event matches whose `Event-Name` and `Event-Subclass` are these, as they stand on the wire. The
    /// subclass is asked for only when it decides.
    #[inline]
    pub fn matches_raw<'e>(&self, name: Option<&[u8]>, subclass: impl FnOnce() -> Option<&'e [u8]>) -> bool {
        if self.all {
            return true;
        }
        let Some(name) = name else {
            return false;
        };
        if self.custom && is_custom(name) {
            return subclass().is_none_or(|subclass| self.subclasses.contains(subclass));
        }
        self.names.contains(name)
    }
}

/// The bindings as `event plain` takes them.
impl fmt::Display for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            return f.write_str("ALL");
        }
        let custom = self.custom.then_some("CUSTOM");
        let names = self.names.words().iter().map(String::as_str);
        let subclasses = self.subclasses.words().iter().map(String::as_str);
        for (index, word) in names.chain(custom).chain(subclasses).enumerate() {
            write!(f, "{}{word}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

fn is_custom(name: &[u8]) -> bool {
    match name.len() {
        6 => name.eq_ignore_ascii_case(b"CUSTOM"),
        // Encoded as no switch would (`%43USTOM`), yet it decodes to the same name.
        8..=18 if name.contains(&b'%') => crate::encoding::decode(name).eq_ignore_ascii_case(b"CUSTOM"),
        _ => false,
    }
}

fn checked_words(text: &str) -> Result<Vec<&str>, BindingError> {
    let refuse = |message| Err(BindingError { message });
    if text.len() > BINDINGS_BYTES {
        return refuse(format!(
            "the bindings have {} bytes, and at most {BINDINGS_BYTES} are taken; take all and a condition instead",
            text.len()
        ));
    }
    let separates = |c: char| c.is_whitespace() || c == ',';
    let words: Vec<&str> = text.split(separates).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return refuse("the bindings are empty; write all for every event, or names such as HEARTBEAT".to_owned());
    }
    if words.len() > BINDING_WORDS {
        return refuse(format!(
            "the bindings have {} words, and at most {BINDING_WORDS} are taken; take all and a condition instead",
            words.len()
        ));
    }
    for word in &words {
        if word.len() > BINDING_WORD_BYTES {
            let start: String = word.chars().take(20).collect();
            return refuse(format!(
                "the word that starts with {start:?} has {} bytes, and at most {BINDING_WORD_BYTES} are taken; \
                 separate event names with spaces",
                word.len()
            ));
        }
        if word.chars().any(char::is_control) {
            return refuse(format!("the word {word:?} holds a control character; take it out"));
        }
    }
    Ok(words)
}

fn push_new(words: &mut Vec<String>, word: &str) {
    if !words.iter().any(|known| known == word) {
        words.push(word.to_owned());
    }
}

fn warn_of_name(word: &str, name: &str) -> Option<String> {
    if EVENT_NAMES.contains(&name) {
        return None;
    }
    if word.contains("::") {
        return Some(format!("{word:?} looks like a subclass; put it after CUSTOM: CUSTOM {word}"));
    }
    let nearest = nearest_names(name);
    Some(match nearest.as_slice() {
        [] => format!("unknown event {word:?}; the switch has no name near it"),
        [only] => format!("unknown event {word:?}; the nearest is {only}"),
        several => format!("unknown event {word:?}; the nearest are {}", several.join(", ")),
    })
}

fn warn_of_subclass(word: &str) -> Option<String> {
    let name = word.to_ascii_uppercase();
    EVENT_NAMES.contains(&name.as_str()).then(|| {
        format!("{word:?} stands after CUSTOM and so is a subclass; put it before CUSTOM to mean the event {name}")
    })
}

/// The names that are a slip of the keyboard away from `name`, or have a part that is; nearest first.
fn nearest_names(name: &str) -> Vec<&'static str> {
    let slips = name.len() / 3;
    let mut near: Vec<(usize, &'static str)> = EVENT_NAMES
        .into_iter()
        .filter_map(|known| {
            let whole = edit_distance(name.as_bytes(), known.as_bytes(), false);
            let part = edit_distance(name.as_bytes(), known.as_bytes(), true);
            // A short word is part of many names by chance.
            (whole <= slips || (name.len() >= 4 && part <= slips / 2)).then_some((whole, known))
        })
        .collect();
    near.sort_by_key(|&(distance, _)| distance);
    near.into_iter().take(NEAREST_NAMES).map(|(_, known)| known).collect()
}

/// Letters to insert, take out or change to make `word` of `known`, or of the part of it that fits best.
fn edit_distance(word: &[u8], known: &[u8], any_part: bool) -> usize {
    let mut above: Vec<usize> = (0..=known.len()).map(|at| if any_part { 0 } else { at }).collect();
    for (row, letter) in word.iter().enumerate() {
        let mut diagonal = above[0];
        above[0] = row + 1;
        for (column, other) in known.iter().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = above[column + 1];
            above[column + 1] = changed.min(diagonal + 1).min(above[column] + 1);
        }
    }
    let best_part = above.iter().copied().min().unwrap_or_default();
    if any_part { best_part } else { above[known.len()] }
}
