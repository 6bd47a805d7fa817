//! What must not be sent to a group, or events would go round in circles.

use crate::event::Event;

/// Whether `event` must stay off a group: LOG events and CUSTOM ones with one of `subclasses`, as the stock module has
/// it, and whatever bears the mark `Multicast: yes` of having come from a group.
pub fn never_resent(event: &Event, subclasses: &[Vec<u8>]) -> bool {
    let name = event.value(b"Event-Name");
    let of_its_kind = match name.as_deref() {
        Some(b"LOG") => true,
        Some(b"CUSTOM") => {
            event.value(b"Event-Subclass").is_some_and(|subclass| subclasses.iter().any(|never| **never == *subclass))
        }
        _ => false,
    };
    of_its_kind || event.value(b"Multicast").is_some_and(|mark| mark.eq_ignore_ascii_case(b"yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(text: &[u8]) -> bool {
        never_resent(&Event::parse(text).unwrap(), &[b"multicast::event".to_vec()])
    }

    #[test]
    fn kinds_and_the_mark_are_kept_off() {
        assert!(guarded(b"Event-Name: LOG\n\n"));
        assert!(guarded(b"Event-Subclass: multicast%3A%3Aevent\nEvent-Name: CUSTOM\n\n"));
        assert!(guarded(b"Event-Name: HEARTBEAT\nmulticast: Yes\n\n"));
        assert!(!guarded(b"Event-Name: CUSTOM\n\n"));
        assert!(!guarded(b"Event-Name: CUSTOM\nEvent-Subclass: sofia%3A%3Aregister\n\n"));
        assert!(!guarded(b"Event-Name: HEARTBEAT\nMulticast: no\nMulticast-Sender: yes\n\n"));
    }
}
