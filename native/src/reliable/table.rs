//! The streams that a receiver follows, by their id.

use super::followed::Followed;
use crate::limits::FOLLOWED_STREAMS;
use crate::sealed::header::StreamId;
use std::collections::HashMap;

/// The followed streams, in the order in which they were admitted.
#[derive(Default)]
pub struct Table {
    list: Vec<Followed>,
    places: HashMap<StreamId, usize>,
    /// The place of the last that was found: mostly the next one is the same.
    last: usize,
}

impl Table {
    /// The place of this stream.
    #[inline]
    pub fn find(&mut self, stream: &StreamId) -> Option<usize> {
        if self.list.get(self.last).is_none_or(|last| last.stream != *stream) {
            self.last = *self.places.get(stream)?;
        }
        Some(self.last)
    }

    #[inline]
    pub fn at(&mut self, place: usize) -> &mut Followed {
        &mut self.list[place]
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.list.len() >= FOLLOWED_STREAMS
    }

    /// Follow one more. Of two streams of one sender the one that began earlier is succeeded by the other.
    pub fn add(&mut self, mut followed: Followed) -> usize {
        for other in self.list.iter_mut().filter(|other| other.sender == followed.sender) {
            if other.began > followed.began {
                followed.succeeded = true;
            } else {
                other.succeeded = true;
            }
        }
        self.places.insert(followed.stream, self.list.len());
        self.list.push(followed);
        self.list.len() - 1
    }

    pub fn remove(&mut self, place: usize) -> Followed {
        let followed = self.list.remove(place);
        self.places.remove(&followed.stream);
        for (place, followed) in self.list.iter().enumerate().skip(place) {
            self.places.insert(followed.stream, place);
        }
        followed
    }

    pub fn iter(&self) -> impl Iterator<Item = &Followed> {
        self.list.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Followed> {
        self.list.iter_mut()
    }

    /// The place of the stream in which most waits.
    pub fn heaviest(&self) -> Option<usize> {
        (0..self.list.len()).max_by_key(|&place| self.list[place].bytes())
    }

    /// The place of the stream that can best be done without: the one that is silent for longest; of those that nobody
    /// vouches for, when there is none, the one that gave least.
    pub fn idlest(&self) -> Option<usize> {
        let places = || 0..self.list.len();
        places().filter(|&place| self.list[place].silent).min_by_key(|&place| self.list[place].heard).or_else(|| {
            let unproven = places().filter(|&place| !self.list[place].is_proven());
            unproven.min_by_key(|&place| self.list[place].tally().delivered)
        })
    }
}
