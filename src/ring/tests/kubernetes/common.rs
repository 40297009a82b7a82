//! What these tests share.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use booking_ring::{
    kubernetes::{
        crd,
        names::Names,
        requests::{self, Requests},
    },
    protocol::Answer,
    record::{LeaderLease, MemberLease, Ring, Stored},
    timing::Timing,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use testbed::{
    control_plane::{ControlPlane, test_namespace},
    patience::patient,
};

/// Name of the ring in each test's namespace.
pub const RING: &str = "booking-operator";
/// How long anything may take to come true.
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// So many milliseconds, more of them on a busy machine.
pub fn ms(milliseconds: u64) -> Duration {
    patient(Duration::from_millis(milliseconds))
}

/// A tenth of the defaults.
pub fn quick() -> Timing {
    Timing::new(ms(1500), ms(300), ms(800), ms(400)).unwrap()
}

/// The API server, and a namespace of one test's own on it.
pub struct World {
    pub control_plane: &'static ControlPlane,
    pub client: Client,
    pub namespace: String,
}

/// The shared API server with the CRD.
pub async fn world(prefix: &str) -> World {
    let control_plane = ControlPlane::shared().await.unwrap();
    let client = control_plane.client().unwrap();
    install(&client).await;
    let namespace = test_namespace(&client, prefix).await.unwrap();
    World { control_plane, client, namespace }
}

impl World {
    pub fn rings(&self) -> Api<DynamicObject> {
        requests::rings(self.client.clone(), &self.namespace)
    }

    pub fn requests(&self) -> Requests {
        // The defaults, and more on a busy machine.
        let timing = Timing::new(ms(15_000), ms(3_000), ms(8_000), ms(4_000)).unwrap();
        let client = requests::client(self.control_plane.client_config(), &timing).unwrap();
        Requests::new(client, &self.namespace, Names::new(RING).unwrap(), &timing)
    }
}

/// Installs the CRD as a newer release might have it: with fields that this one does not know.
pub async fn install(client: &Client) {
    let mut crd = crd::crd();
    let schema = crd.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
    let status = schema.properties.as_mut().unwrap().get_mut("status").unwrap();
    let properties = status.properties.as_mut().unwrap();
    add_text(items(properties.get_mut("members").unwrap()), "zone");
    add_text(items(properties.get_mut("moves").unwrap()), "why");
    add_text(status, "newer");
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let params = PatchParams::apply("ring-tests").force();
    api.patch(&crd.name_any(), &params, &Patch::Apply(&crd)).await.unwrap();
    eventually(|| async {
        let crd = api.get(&crd.name_any()).await.map_err(|error| error.to_string())?;
        let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
        let is = |type_: &str| conditions.iter().any(|is| is.type_ == type_ && is.status == "True");
        is("Established").then_some(()).ok_or(format!("{conditions:?}"))
    })
    .await;
}

fn items(list: &mut JSONSchemaProps) -> &mut JSONSchemaProps {
    match list.items.as_mut().unwrap() {
        JSONSchemaPropsOrArray::Schema(items) => items,
        JSONSchemaPropsOrArray::Schemas(_) => panic!("a list of one kind of items"),
    }
}

fn add_text(schema: &mut JSONSchemaProps, name: &str) {
    let text = JSONSchemaProps { type_: Some("string".to_owned()), ..JSONSchemaProps::default() };
    schema.properties.get_or_insert_default().insert(name.to_owned(), text);
}

/// Retries until `check` answers, with its last complaint when it never does.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(mut check: impl FnMut() -> F) -> T {
    let (started, limit) = (Instant::now(), patient(LIMIT));
    loop {
        match check().await {
            Ok(value) => return value,
            Err(complaint) => assert!(started.elapsed() < limit, "still after {limit:?}: {complaint}"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The same within the limit, for what tells by itself.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(patient(LIMIT), future).await else {
        panic!("{what}: not within {:?}", patient(LIMIT));
    };
    value
}

pub fn member(answer: Answer) -> Stored<MemberLease> {
    match answer {
        Answer::Member(lease) => lease,
        other => panic!("{other:?}"),
    }
}

pub fn leader(answer: Answer) -> Stored<LeaderLease> {
    match answer {
        Answer::Leader(lease) => lease,
        other => panic!("{other:?}"),
    }
}

pub fn ring(answer: Answer) -> Stored<Ring> {
    match answer {
        Answer::Ring(ring) => ring,
        other => panic!("{other:?}"),
    }
}
