//! Send slots. Mail and webhooks have slots of their own, and so has each webhook host. A host that does not answer
//! holds up no other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Channel;

/// How many mails are sent at once: twice the connections that are kept.
const MAILS: usize = 8;
/// How many webhooks are called at once.
const WEBHOOKS: usize = 16;
/// How many webhooks of one host are called at once. Even four hosts that hang do not fill the slots.
const WEBHOOKS_OF_HOST: usize = 2;

/// All send slots of the process.
#[derive(Debug)]
pub(super) struct SendSlots {
    mails: Arc<Semaphore>,
    webhooks: Arc<Semaphore>,
    /// Slots of hosts that are being called or waited for.
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A send slot. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct SendSlot {
    _held: [Option<OwnedSemaphorePermit>; 2],
}

impl Default for SendSlots {
    fn default() -> Self {
        Self {
            mails: Arc::new(Semaphore::new(MAILS)),
            webhooks: Arc::new(Semaphore::new(WEBHOOKS)),
            hosts: Mutex::default(),
        }
    }
}

impl SendSlots {
    /// Waits for a slot for a recipient.
    pub(super) async fn wait(&self, channel: Option<Channel>, recipient: &str) -> SendSlot {
        if channel == Some(Channel::Email) {
            return SendSlot { _held: [self.mails.clone().acquire_owned().await.ok(), None] };
        }
        // The slot of the host is taken first, so that a notice that waits for its host takes no slot from other
        // hosts.
        let host = self.host(recipient).acquire_owned().await.ok();
        SendSlot { _held: [host, self.webhooks.clone().acquire_owned().await.ok()] }
    }

    fn host(&self, url: &str) -> Arc<Semaphore> {
        let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(&host).and_then(Weak::upgrade) {
            return known;
        }
        hosts.retain(|_, known| known.strong_count() > 0);
        let slots = Arc::new(Semaphore::new(WEBHOOKS_OF_HOST));
        hosts.insert(host, Arc::downgrade(&slots));
        slots
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn now(slots: &SendSlots, type_: &str, recipient: &str) -> Option<SendSlot> {
        let channel = if type_ == "email" { Channel::Email } else { Channel::Webhook };
        slots.wait(Some(channel), recipient).now_or_never()
    }

    #[test]
    fn a_host_that_hangs_holds_up_neither_others_nor_mail() {
        // given a host whose slots are taken
        let slots = SendSlots::default();
        let dead = "https://dead.example.com/a";
        let held = [now(&slots, "webhook", dead), now(&slots, "webhook", dead)];
        assert!(held.iter().all(Option::is_some));
        // then only this host waits
        assert!(now(&slots, "webhook", "https://dead.example.com/b").is_none());
        assert!(now(&slots, "webhook", "https://other.example.com/").is_some());
        assert!(now(&slots, "email", "ann@example.com").is_some());
        // and only until a slot is given back
        drop(held);
        assert!(now(&slots, "webhook", dead).is_some());
    }

    #[test]
    fn hosts_that_nobody_calls_are_forgotten() {
        let slots = SendSlots::default();
        for n in 0..100 {
            drop(now(&slots, "webhook", &format!("https://h{n}.example.com/")));
        }
        assert_eq!(slots.hosts.lock().unwrap().len(), 1);
    }

    #[test]
    fn no_more_than_so_many_are_sent_at_once() {
        let slots = SendSlots::default();
        let hosts = (0..100).map(|n| now(&slots, "webhook", &format!("https://h{n}.example.com/")));
        assert_eq!(hosts.flatten().count(), 100, "each is given back before the next");
        let held: Vec<SendSlot> =
            (0..100).filter_map(|n| now(&slots, "webhook", &format!("https://h{n}.example.com/"))).collect();
        assert_eq!(held.len(), WEBHOOKS);
        let held: Vec<SendSlot> = (0..100).filter_map(|_| now(&slots, "email", "ann@example.com")).collect();
        assert_eq!(held.len(), MAILS);
    }
}
