//! Connections of which nobody knows yet what they want: so many at a time.
//!
//! When there are too many, the next one is accepted a moment later: clients that come back all at once
//! come in one after the other. And whoever has held its place for longer than that moment without
//! saying anything gives it to the next: a crowd that says nothing keeps nobody out.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// All of them, in the order of their coming. The listener has it.
pub(crate) struct Strangers {
    most: usize,
    moment: Duration,
    places: VecDeque<(Instant, Weak<Place>)>,
    left: Arc<Notify>,
}

/// A place among them; dropped when the connection ends, or when it is known.
#[derive(Debug)]
pub(crate) struct Stranger {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    displaced: CancellationToken,
    left: Arc<Notify>,
}

impl Strangers {
    /// At most so many, each of which may keep its place for a moment though others wait.
    pub(crate) fn new(most: usize, moment: Duration) -> Self {
        Self { most, moment, places: VecDeque::new(), left: Arc::default() }
    }

    /// Waits for a place.
    pub(crate) async fn place(&mut self) -> Stranger {
        loop {
            // Made before the count, so that nobody leaves unnoticed in between.
            let left = Arc::clone(&self.left);
            let left = left.notified();
            if self.places.len() >= self.most {
                self.places.retain(|(_, place)| place.strong_count() > 0);
            }
            let Some((oldest, _)) = self.places.front().filter(|_| self.places.len() >= self.most) else {
                break;
            };
            if tokio::time::timeout_at(*oldest + self.moment, left).await.is_err()
                && let Some(place) = self.places.pop_front().and_then(|(_, place)| place.upgrade())
            {
                place.displaced.cancel();
            }
        }
        let place = Arc::new(Place { displaced: CancellationToken::new(), left: Arc::clone(&self.left) });
        self.places.push_back((Instant::now(), Arc::downgrade(&place)));
        Stranger { place }
    }
}

impl Stranger {
    /// Waits until somebody else needs the place.
    pub(crate) fn displaced(&self) -> CancellationToken {
        self.place.displaced.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_says_nothing_gives_its_place_to_the_next_after_a_moment() {
        let moment = Duration::from_millis(50);
        let mut strangers = Strangers::new(2, moment);
        let began = Instant::now();
        let (first, second) = (strangers.place().await, strangers.place().await);
        assert!(!first.displaced().is_cancelled());
        let third = strangers.place().await;
        assert!(began.elapsed() >= moment, "it came before the first one had its moment");
        assert!(first.displaced().is_cancelled() && !third.displaced().is_cancelled());
        drop((second, third));
    }

    #[tokio::test]
    async fn whoever_is_known_makes_room_at_once() {
        let mut strangers = Strangers::new(1, Duration::from_secs(3_600));
        let known = strangers.place().await;
        let next = tokio::spawn(async move { strangers.place().await });
        tokio::task::yield_now().await;
        drop(known);
        assert!(!next.await.unwrap().displaced().is_cancelled());
    }
}
