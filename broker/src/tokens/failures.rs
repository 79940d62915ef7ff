//! Who fails to prove who it is: such addresses are served later and later.
//!
//! A secret cannot be guessed, so this is not what keeps it; it bounds the work and the lines of the log that
//! a stranger can cause. Nobody is locked out: a right token from the same address, behind the same router
//! or on the same machine, is taken a little later.

use crate::limits::{AUTH_DELAY_MAX, AUTH_DELAY_MIN, AUTH_FORGET_MS, AUTH_PEERS_MAX};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Failures by address.
#[derive(Debug, Default)]
pub(super) struct Failures {
    peers: HashMap<IpAddr, Failed>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    last_ms: u64,
}

impl Failures {
    /// One more; how often it was by now.
    pub(super) fn failed(&mut self, peer: IpAddr, now_ms: u64) -> u32 {
        let peer = network(peer);
        if self.peers.len() >= AUTH_PEERS_MAX && !self.peers.contains_key(&peer) {
            self.make_room(now_ms);
        }
        let known = self.peers.entry(peer).or_insert(Failed { times: 0, last_ms: now_ms });
        if is_over(*known, now_ms) {
            known.times = 0;
        }
        *known = Failed { times: known.times.saturating_add(1), last_ms: now_ms };
        known.times
    }

    /// How much later the address is served now.
    pub(super) fn delay(&self, peer: IpAddr, now_ms: u64) -> Duration {
        match self.peers.get(&network(peer)) {
            Some(known) if !is_over(*known, now_ms) => {
                let doubled = AUTH_DELAY_MIN.saturating_mul(1 << known.times.saturating_sub(1).min(16));
                doubled.min(AUTH_DELAY_MAX)
            }
            Some(_) | None => Duration::ZERO,
        }
    }

    /// Forgets those that are quiet again, or else the one that is quiet for longest.
    fn make_room(&mut self, now_ms: u64) {
        self.peers.retain(|_, known| !is_over(*known, now_ms));
        if self.peers.len() >= AUTH_PEERS_MAX
            && let Some(oldest) = self.peers.iter().min_by_key(|(_, known)| known.last_ms)
        {
            let oldest = *oldest.0;
            self.peers.remove(&oldest);
        }
    }
}

fn is_over(known: Failed, now_ms: u64) -> bool {
    known.last_ms.saturating_add(AUTH_FORGET_MS) <= now_ms
}

/// Whoever has one address of a /64 has all of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_waits_longer_each_time_and_is_forgotten_when_quiet() {
        let (mut failures, peer) = (Failures::default(), "10.0.0.1".parse().unwrap());
        assert_eq!(failures.delay(peer, 0), Duration::ZERO);
        let mut delays = Vec::new();
        for times in 1..=8 {
            assert_eq!(failures.failed(peer, times), u32::try_from(times).unwrap());
            delays.push(failures.delay(peer, times));
        }
        assert!(delays.is_sorted() && delays[0] == AUTH_DELAY_MIN && delays[7] == AUTH_DELAY_MAX);
        assert_eq!(failures.delay("10.0.0.2".parse().unwrap(), 8), Duration::ZERO);
        assert_eq!(failures.delay(peer, 8 + AUTH_FORGET_MS), Duration::ZERO);
        assert_eq!(failures.failed(peer, 8 + AUTH_FORGET_MS), 1);
    }

    #[test]
    fn the_table_is_bounded_and_a_network_is_one_peer() {
        let mut failures = Failures::default();
        for n in 0..2 * AUTH_PEERS_MAX {
            let n = u32::try_from(n).unwrap();
            failures.failed(IpAddr::V4(n.into()), u64::from(n / 1_000));
        }
        assert_eq!(failures.peers.len(), AUTH_PEERS_MAX);
        let peer = |text: &str| text.parse().unwrap();
        failures.failed(peer("2001:db8::1"), 1);
        assert!(failures.delay(peer("2001:db8::ffff"), 1) > Duration::ZERO);
        assert_eq!(failures.delay(peer("2001:db8:0:1::1"), 1), Duration::ZERO);
    }
}
