//! The ring object as anybody can read it, followed by a watch.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::OpenOptions,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::TryStreamExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::{clock::At, history::Owned};

/// The wait before a broken watch is begun anew.
const AGAIN: Duration = Duration::from_millis(200);
/// The largest number of slots of a ring.
const SLOTS_MAX: u32 = 4096;

/// The content of the ring object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The uid of the object. Another ring has another uid.
    pub(crate) uid: String,
    /// The number of slots.
    pub(crate) slots: u16,
    /// It grows with each write.
    pub(crate) epoch: u64,
    /// Whether slots may have owners.
    pub(crate) open: bool,
    /// The member that planned last.
    pub(crate) leader: Option<String>,
    /// The members and the slots that they own.
    pub(crate) members: BTreeMap<String, BTreeSet<u16>>,
    /// Whether moves are under way.
    pub(crate) moving: bool,
}

impl View {
    fn of(ring: &DynamicObject) -> Self {
        let at = |path: &str| ring.data.pointer(path);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let members = at("/status/members").and_then(Value::as_array).into_iter().flatten().map(|member| {
            let owns = member.get("owns").and_then(Value::as_str).unwrap_or_default();
            (member.get("name").map(text).unwrap_or_default(), ranges(owns))
        });
        Self {
            uid: ring.metadata.uid.clone().unwrap_or_default(),
            slots: at("/spec/slots").and_then(Value::as_u64).and_then(|n| n.try_into().ok()).unwrap_or(0),
            epoch: at("/status/epoch").and_then(Value::as_u64).unwrap_or(0),
            open: at("/status/open").and_then(Value::as_bool).unwrap_or(false),
            leader: at("/status/leader").map(text).filter(|leader| !leader.is_empty()),
            members: members.collect(),
            moving: at("/status/moves").and_then(Value::as_array).is_some_and(|moves| !moves.is_empty()),
        }
    }

    /// The member that belongs to a Pod's process, if there is one.
    pub(crate) fn member(&self, pod: &str) -> Option<&str> {
        self.members.keys().find(|member| pod_of(member) == pod).map(String::as_str)
    }

    /// The slots of a Pod's process.
    pub(crate) fn slots_of(&self, pod: &str) -> BTreeSet<u16> {
        let members = self.members.iter().filter(|(member, _)| pod_of(member) == pod);
        members.flat_map(|(_, slots)| slots).copied().collect()
    }

    /// Whether exactly these Pods' processes are members, all slots are owned, none moves, and the loads differ by at
    /// most one.
    pub(crate) fn is_settled(&self, pods: &BTreeSet<&str>) -> bool {
        let members: BTreeSet<&str> = self.members.keys().map(|member| pod_of(member)).collect();
        let counts = self.members.values().map(BTreeSet::len);
        let (most, least) = (counts.clone().max().unwrap_or(0), counts.clone().min().unwrap_or(0));
        let all = counts.sum::<usize>() == usize::from(self.slots);
        self.open
            && !self.moving
            && all
            && most - least <= 1
            && members == *pods
            && self.members.len() == pods.len()
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} open {} leader {:?}", self.epoch, self.open, self.leader)?;
        self.members.iter().try_for_each(|(name, slots)| write!(f, ", {name}: {}", slots.len()))?;
        if self.moving { write!(f, ", moving") } else { Ok(()) }
    }
}

/// The Pod of a member. A member's name is its Pod's name with an id behind it.
pub(crate) fn pod_of(member: &str) -> &str {
    member.rsplit_once('-').map_or(member, |(pod, _)| pod)
}

/// Reads `0-63,128` as numbers. Parts that are no numbers are ignored.
fn ranges(text: &str) -> BTreeSet<u16> {
    let parse = |text: &str| text.trim().parse::<u16>().ok().filter(|slot| u32::from(*slot) < SLOTS_MAX);
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(parse(first)?..=parse(last)?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// The history of a ring object. It grows until this value is dropped.
#[derive(Debug)]
pub(crate) struct Viewer {
    view: watch::Receiver<View>,
    owned: Arc<Mutex<Vec<Owned>>>,
    blind: Arc<Mutex<Vec<(At, At)>>>,
    task: JoinHandle<()>,
}

impl Viewer {
    /// Begins to watch. Each change is a line in `log`.
    pub(crate) fn start(client: Client, namespace: &str, name: &str, log: PathBuf) -> Self {
        let (sender, view) = watch::channel(View::default());
        let owned = Arc::new(Mutex::new(Vec::new()));
        let rings = rings(client, namespace);
        let blind = Arc::new(Mutex::new(Vec::new()));
        let follow =
            Follow { rings, name: name.to_owned(), view: sender, owned: owned.clone(), blind: blind.clone() };
        let task = tokio::spawn(follow.run(log));
        Self { view, owned, blind, task }
    }

    /// The ring object as it was last seen.
    pub(crate) fn now(&self) -> View {
        self.view.borrow().clone()
    }

    /// Waits until the ring object looks as wanted. The caller must limit the time.
    pub(crate) async fn until(&self, wanted: impl Fn(&View) -> bool) {
        let mut view = self.view.clone();
        // An error means that nothing more will be seen. Then the condition will never be true.
        if view.wait_for(|view| wanted(view)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// All changes of owners so far.
    pub(crate) fn owned(&self) -> Vec<Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Viewer {
    /// The periods so far in which nobody could look: from the end of a watch to the first thing that the next one
    /// showed.
    pub(crate) fn blind(&self) -> Vec<(At, At)> {
        self.blind.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The ring objects of a namespace, as untyped objects. This code must not share the operator's way of reading them.
pub(crate) fn rings(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("manager.kotaico.de", "v1", "Ring");
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk_with_plural(&kind, "rings"))
}

/// Follows a ring object.
struct Follow {
    rings: Api<DynamicObject>,
    name: String,
    view: watch::Sender<View>,
    owned: Arc<Mutex<Vec<Owned>>>,
    blind: Arc<Mutex<Vec<(At, At)>>>,
}

impl Follow {
    async fn run(self, log: PathBuf) {
        let mut last: BTreeMap<u16, Arc<str>> = BTreeMap::new();
        // A run is valid without its log.
        let mut log = OpenOptions::new().create(true).append(true).open(log).ok();
        let mut blind_since = None;
        loop {
            let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
            let mut events = Box::pin(watcher(self.rings.clone(), config));
            while let Ok(Some(event)) = events.try_next().await {
                if let Event::Apply(ring) | Event::InitApply(ring) = event {
                    let seen = View::of(&ring);
                    if let Some(log) = &mut log {
                        let _ = writeln!(log, "{} {seen}", At::now().timestamp());
                    }
                    if let Some(since) = blind_since.take() {
                        let mut blind = self.blind.lock().unwrap_or_else(PoisonError::into_inner);
                        blind.push((since, At::now()));
                    }
                    let changes = changes(&seen, &mut last);
                    self.owned.lock().unwrap_or_else(PoisonError::into_inner).extend(changes);
                    self.view.send_replace(seen);
                }
            }
            blind_since = blind_since.or(Some(At::now()));
            sleep(AGAIN).await;
        }
    }
}

/// A slot without an owner still belongs to its last owner, because nobody else may have worked on it.
fn changes(seen: &View, last: &mut BTreeMap<u16, Arc<str>>) -> Vec<Owned> {
    let now = At::now();
    let mut changes = Vec::new();
    for (member, slots) in &seen.members {
        for slot in slots {
            if last.get(slot).is_none_or(|owner| &**owner != pod_of(member)) {
                let pod: Arc<str> = Arc::from(pod_of(member));
                last.insert(*slot, pod.clone());
                changes.push(Owned { seen: now, slot: *slot, pod });
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(members: &[(&str, &str)]) -> View {
        let members = members.iter().map(|(name, owns)| ((*name).to_owned(), ranges(owns))).collect();
        View { slots: 8, open: true, members, ..View::default() }
    }

    #[test]
    fn ranges_are_read_and_what_is_none_is_left_out() {
        assert_eq!(ranges("0-2,7"), BTreeSet::from([0, 1, 2, 7]));
        assert_eq!(ranges(""), BTreeSet::new());
        assert_eq!(ranges("5-3,x,9999,1-"), BTreeSet::new());
    }

    #[test]
    fn a_ring_is_settled_when_its_pods_share_all_slots_evenly() {
        let pods = BTreeSet::from(["a-1", "a-2"]);
        assert!(view(&[("a-1-xyz", "0-3"), ("a-2-abc", "4-7")]).is_settled(&pods));
        for members in [
            &[("a-1-xyz", "0-3"), ("a-2-abc", "4-6")][..],
            &[("a-1-xyz", "0-4"), ("a-2-abc", "5-7"), ("a-3-abc", "")],
            &[("a-1-xyz", "0-5"), ("a-2-abc", "6-7")],
            &[("a-1-xyz", "0-7")],
        ] {
            assert!(!view(members).is_settled(&pods), "{members:?}");
        }
    }

    #[test]
    fn only_a_slot_that_goes_to_another_pod_changes_its_owner() {
        let mut last = BTreeMap::new();
        assert_eq!(changes(&view(&[("a-1-xyz", "0-7")]), &mut last).len(), 8);
        assert_eq!(changes(&view(&[("a-1-new", "")]), &mut last).len(), 0);
        assert_eq!(changes(&view(&[("a-1-new", "0-7")]), &mut last).len(), 0);
        let changed = changes(&view(&[("a-1-new", "0-6"), ("a-2-abc", "7")]), &mut last);
        assert_eq!(changed.iter().map(|owned| (owned.slot, &*owned.pod)).collect::<Vec<_>>(), [(7, "a-2")]);
    }
}
