//! Turns to send. Mail and webhooks have places of their own, and so has each host of webhooks: one that does not
//! answer holds up no other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bookings::decide::groups::notices::NoticeId;
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Mails that are being sent at once: twice the connections that are kept.
const MAILS: usize = 8;
/// Webhooks that are being called at once.
const WEBHOOKS: usize = 16;
/// Of these, webhooks of one host: four hosts that hang do not fill the places.
const WEBHOOKS_OF_HOST: usize = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes {
    mails: Arc<Semaphore>,
    webhooks: Arc<Semaphore>,
    /// Of hosts that somebody waits for or calls.
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _places: [Option<OwnedSemaphorePermit>; 2],
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            mails: Arc::new(Semaphore::new(MAILS)),
            webhooks: Arc::new(Semaphore::new(WEBHOOKS)),
            hosts: Mutex::default(),
        }
    }
}

impl Lanes {
    /// Waits for the turn of a notice.
    pub(super) async fn turn(&self, notice: &NoticeId) -> Turn {
        if notice.type_ == "email" {
            return Turn { _places: [self.mails.clone().acquire_owned().await.ok(), None] };
        }
        // First of the host: who waits for it takes no place from others.
        let host = self.host(&notice.recipient).acquire_owned().await.ok();
        Turn { _places: [host, self.webhooks.clone().acquire_owned().await.ok()] }
    }

    fn host(&self, url: &str) -> Arc<Semaphore> {
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(&host).and_then(Weak::upgrade) {
            return known;
        }
        hosts.retain(|_, known| known.strong_count() > 0);
        let places = Arc::new(Semaphore::new(WEBHOOKS_OF_HOST));
        hosts.insert(host, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use bookings::decide::groups::notices::Happening;
    use futures::FutureExt;

    use super::*;

    fn now(lanes: &Lanes, type_: &str, recipient: &str) -> Option<Turn> {
        let notice = NoticeId {
            booking_uid: "uid".into(),
            type_: type_.into(),
            recipient: recipient.into(),
            happening: Happening::Start,
            about: String::new(),
        };
        lanes.turn(&notice).now_or_never()
    }

    #[test]
    fn a_host_that_hangs_holds_up_neither_others_nor_mail() {
        // given a host whose places are taken
        let lanes = Lanes::default();
        let dead = "https://dead.example.com/a";
        let turns = [now(&lanes, "webhook", dead), now(&lanes, "webhook", dead)];
        assert!(turns.iter().all(Option::is_some));
        // then it alone waits
        assert!(now(&lanes, "webhook", "https://dead.example.com/b").is_none());
        assert!(now(&lanes, "webhook", "https://other.example.com/").is_some());
        assert!(now(&lanes, "email", "ann@example.com").is_some());
        // and only until a place is given back
        drop(turns);
        assert!(now(&lanes, "webhook", dead).is_some());
    }

    #[test]
    fn hosts_that_nobody_calls_are_forgotten() {
        let lanes = Lanes::default();
        for n in 0..100 {
            drop(now(&lanes, "webhook", &format!("https://h{n}.example.com/")));
        }
        assert_eq!(lanes.hosts.lock().unwrap().len(), 1);
    }

    #[test]
    fn no_more_than_so_many_are_sent_at_once() {
        let lanes = Lanes::default();
        let hosts = (0..100).map(|n| now(&lanes, "webhook", &format!("https://h{n}.example.com/")));
        assert_eq!(hosts.flatten().count(), 100, "each is given back before the next");
        let held: Vec<Turn> =
            (0..100).filter_map(|n| now(&lanes, "webhook", &format!("https://h{n}.example.com/"))).collect();
        assert_eq!(held.len(), WEBHOOKS);
        let held: Vec<Turn> = (0..100).filter_map(|_| now(&lanes, "email", "ann@example.com")).collect();
        assert_eq!(held.len(), MAILS);
    }
}
