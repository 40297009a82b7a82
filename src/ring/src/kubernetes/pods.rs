//! The ends of processes, as the kubelet reports them.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{core::DeserializeGuard, runtime::watcher::Event as Watched};

use super::names::is_of_pod;
use crate::{protocol::Event, record::Incarnation};

/// The incarnations whose containers have terminated, by a Pod's status. At its start a process writes its name to its
/// termination log, and the kubelet copies it when the container has ended. A container can write anything, so a name
/// counts only for the Pod that it belongs to. A Pod that is gone proves nothing.
pub fn ends(watched: Watched<DeserializeGuard<Pod>>) -> Vec<Event> {
    let (Watched::Apply(DeserializeGuard(Ok(pod))) | Watched::InitApply(DeserializeGuard(Ok(pod)))) = watched
    else {
        return vec![];
    };
    let name = pod.metadata.name.unwrap_or_default();
    let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
    let messages = statuses.into_iter().flat_map(messages);
    let ended = messages.filter(|message| is_of_pod(message, &name));
    ended.map(|message| Event::ProcessDead(Incarnation::new(message))).collect()
}

fn messages(container: ContainerStatus) -> impl Iterator<Item = String> {
    let states = [container.state, container.last_state];
    states.into_iter().filter_map(|state| state?.terminated?.message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "written with json! at the call")]
    fn ended(status: Value) -> Vec<String> {
        let pod =
            json!({ "metadata": { "name": "operator-a" }, "status": { "containerStatuses": [status] } });
        let events = ends(Watched::Apply(serde_json::from_value(pod).unwrap()));
        let name = |event: Event| match event {
            Event::ProcessDead(incarnation) => incarnation.to_string(),
            other => panic!("{other:?}"),
        };
        events.into_iter().map(name).collect()
    }

    #[allow(clippy::needless_pass_by_value, reason = "written with json! at the call")]
    fn status(state: Value, last: Value) -> Value {
        json!({
            "name": "operator", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": state, "lastState": last,
        })
    }

    fn terminated(message: &str) -> Value {
        json!({ "terminated": { "exitCode": 137, "message": message } })
    }

    #[test]
    fn a_terminated_container_that_names_its_incarnation_proves_its_death() {
        let [one, two] = ["operator-a-k3j5x9q1", "operator-a-00000000"];
        assert_eq!(ended(status(terminated(one), json!({}))), [one]);
        assert_eq!(ended(status(json!({ "running": {} }), terminated(two))), [two]);
        assert_eq!(ended(status(terminated(one), terminated(two))), [one, two]);
    }

    #[test]
    fn nothing_else_proves_anything() {
        assert_eq!(ended(status(json!({ "running": {} }), json!({}))), [""; 0]);
        assert_eq!(ended(status(json!({ "terminated": { "exitCode": 0 } }), Value::Null)), [""; 0]);
        // A name of another Pod's incarnation, and a text that is no incarnation.
        assert_eq!(ended(status(terminated("operator-b-k3j5x9q1"), terminated("panicked"))), [""; 0]);
        let pod = json!({ "metadata": { "name": "operator-a" } });
        assert!(ends(Watched::Delete(serde_json::from_value(pod).unwrap())).is_empty());
    }
}
