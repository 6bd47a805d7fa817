//! How far one can believe that an event comes from where it says.

use std::sync::{PoisonError, RwLock};

/// What vouches for an event. The order is that of trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Nothing: any host on the network could have sent it.
    Stock,
    /// It did not come over the network as a datagram: a switch's own event socket, a file, this program.
    #[default]
    Local,
    /// Someone who has the group's key.
    Member,
    /// The holder of a signing key of one's own; the name goes with that key.
    Signed(Signer),
}

/// The name of a signing key's holder, interned: names come from one's own configuration and are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signer(u16);

static SIGNERS: RwLock<Vec<Box<str>>> = RwLock::new(Vec::new());

impl Signer {
    /// The signer of this name; `None` when 65,536 others are known.
    pub fn named(name: &str) -> Option<Signer> {
        let mut names = SIGNERS.write().unwrap_or_else(PoisonError::into_inner);
        let place = names.iter().position(|known| &**known == name).unwrap_or_else(|| {
            names.push(name.into());
            names.len() - 1
        });
        u16::try_from(place).ok().map(Signer)
    }

    /// Its name.
    pub fn name(self) -> String {
        SIGNERS.read().unwrap_or_else(PoisonError::into_inner)[self.0 as usize].to_string()
    }
}

impl Trust {
    /// The word for it that settings and Python use.
    pub fn word(self) -> &'static str {
        match self {
            Trust::Stock => "stock",
            Trust::Local => "local",
            Trust::Member => "member",
            Trust::Signed(_) => "signed",
        }
    }
}

/// Whose events are taken where something is done about them: those that someone vouches for, unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustCheck {
    /// Whether events that nothing vouches for are taken as well.
    pub stock: bool,
    /// Whether only signed ones are.
    pub signed: bool,
    /// Whose signature it must be, if not anyone's.
    pub signers: Vec<Signer>,
}

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distrust {
    /// Nothing vouches for it.
    Untrusted,
    /// It is not signed, or not by one of those that are asked for.
    Unsigned,
}

impl TrustCheck {
    /// Why an event that this vouches for is not taken; `None` when it is.
    pub fn refusal(&self, trust: Trust) -> Option<Distrust> {
        if self.signed {
            let vouched = match trust {
                Trust::Signed(signer) => self.signers.is_empty() || self.signers.contains(&signer),
                _ => false,
            };
            return (!vouched).then_some(Distrust::Unsigned);
        }
        (trust == Trust::Stock && !self.stock).then_some(Distrust::Untrusted)
    }
}

impl Distrust {
    /// The name that counters carry.
    pub fn name(self) -> &'static str {
        match self {
            Distrust::Untrusted => "untrusted",
            Distrust::Unsigned => "unsigned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_takes_what_it_is_told_to_and_nothing_else() {
        let (alice, bob) = (Signer::named("alice").unwrap(), Signer::named("bob").unwrap());
        let every = [Trust::Stock, Trust::Local, Trust::Member, Trust::Signed(alice), Trust::Signed(bob)];
        let taken = |check: TrustCheck| every.map(|trust| check.refusal(trust).map_or("", Distrust::name));
        assert_eq!(taken(TrustCheck::default()), ["untrusted", "", "", "", ""]);
        assert_eq!(taken(TrustCheck { stock: true, ..TrustCheck::default() }), [""; 5]);
        let signed = TrustCheck { signed: true, ..TrustCheck::default() };
        assert_eq!(taken(signed.clone()), ["unsigned", "unsigned", "unsigned", "", ""]);
        let of_alice = TrustCheck { signers: vec![alice], ..signed };
        assert_eq!(taken(of_alice), ["unsigned", "unsigned", "unsigned", "", "unsigned"]);
    }

    #[test]
    fn a_signer_keeps_its_name_and_outranks_a_member() {
        let alice = Signer::named("alice").unwrap();
        assert_eq!(Signer::named("alice"), Some(alice));
        assert_eq!(alice.name(), "alice");
        assert!(Trust::Signed(alice) > Trust::Member && Trust::Member > Trust::Local && Trust::Local > Trust::Stock);
    }
}
