//! The world of one test: a namespace on the shared API server, a simulated EC2, an operator.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "shared by several test programs, which fail by panicking"
)]

pub mod crash;

use std::{sync::Arc, time::Duration};

use booking_cloud::{Aws, Clouds};
use booking_operator::{
    app::{Operator, Parts},
    args::{self, Command, Config},
    crds::crds_yaml,
};
use booking_runtime::{clock::Clock, ownership::ring::RingMembership};
use bookings::{
    api::{Booking, BookingSpec, Resource, ResourceSpec, WhenIdle},
    decide::groups::machine::{TAG_APPLICATION, TAG_LOCKED_BY, TAG_LOCKED_UNTIL},
};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use testbed::{
    control_plane::{ControlPlane, test_namespace},
    ec2::{
        AddInstances, CallQuery, CallRecord, Ec2Config, Ec2Simulator, InstanceState, InstanceView,
        SettingsPatch,
    },
    patience::patient,
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

pub const REGION: &str = "eu-central-1";

/// How long a test waits for anything.
pub fn patience() -> Duration {
    patient(Duration::from_secs(40))
}

/// The client of this test. The CRDs are installed.
pub async fn client() -> Client {
    static CRDS: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await.unwrap();
    let client = control_plane.client().unwrap();
    CRDS.get_or_init(|| install_crds(client.clone())).await;
    client
}

/// Applies the CRDs as `kubectl apply --server-side` does, and waits until they are served.
pub async fn install_crds(client: Client) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::runtime::conditions::is_crd_established;
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let yaml = crds_yaml(None).unwrap();
    let is_crd = |document: &&str| document.contains("kind: CustomResourceDefinition");
    for document in yaml.split("---\n").filter(is_crd) {
        let crd: CustomResourceDefinition = serde_yaml_ng::from_str(document).unwrap();
        let name = crd.metadata.name.clone().unwrap();
        api.patch(&name, &PatchParams::apply("tests").force(), &Patch::Apply(&crd)).await.unwrap();
        let established = await_condition(api.clone(), &name, is_crd_established());
        tokio::time::timeout(patience(), established).await.unwrap().unwrap();
    }
}

/// The command line of a test's operator: frequent observations, no listeners.
pub fn config(namespace: &str, more: &[&str]) -> Config {
    let namespace = format!("--namespace={namespace}");
    let fixed = [
        "booking-operator",
        &namespace,
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
        "--poll-shortest=50ms",
        "--poll-longest=200ms",
        // No test may depend on a routine observation.
        "--observe-interval=10m",
        "--concurrency=4",
    ];
    let args = fixed.iter().chain(more).map(|arg| std::ffi::OsString::from(*arg));
    match args::parse(args).unwrap() {
        Command::Run(config) => *config,
        Command::Crds(_) => unreachable!(),
    }
}

/// AWS in the simulator, called as `caller`.
pub fn aws(ec2_url: &str, caller: &str) -> Aws {
    use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
    use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(ec2_url)
        .app_name(AppName::new(caller.to_owned()).unwrap())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("k", "s", None, None, "tests")))
        .build();
    Aws::new(config, TAG_APPLICATION, caller).unwrap()
}

pub struct World {
    pub namespace: String,
    pub client: Client,
    pub ec2: Ec2Simulator,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// A world with a running operator.
    pub async fn new(name: &str) -> Self {
        Self::with_args(name, &[]).await
    }

    pub async fn with_args(name: &str, args: &[&str]) -> Self {
        let world = Self::without_operator(name).await;
        world.start_operator(args);
        world
    }

    pub async fn without_operator(name: &str) -> Self {
        Self::on(client().await, name).await
    }

    /// A world on a given server.
    pub async fn on(client: Client, name: &str) -> Self {
        Self::with_cloud(client, name, Ec2Config::default()).await
    }

    /// A world on a given server, with a cloud of its own kind.
    pub async fn with_cloud(client: Client, name: &str, config: Ec2Config) -> Self {
        let namespace = test_namespace(&client, name).await.unwrap();
        let ec2 = Ec2Simulator::start(config).await.unwrap();
        ec2.world().change_settings(&SettingsPatch {
            pending_ms: Some(150),
            stopping_ms: Some(100),
            rds_starting_ms: Some(300),
            rds_stopping_ms: Some(200),
            ..SettingsPatch::default()
        });
        Self { namespace, client, ec2, stop: CancellationToken::new() }
    }

    pub fn start_operator(&self, args: &[&str]) {
        let clouds = Arc::new(aws(&self.ec2.url(), "operator"));
        self.run_operator(self.client.clone(), clouds, args, self.stop.clone());
    }

    pub fn run_operator(
        &self,
        client: Client,
        clouds: Arc<dyn Clouds>,
        args: &[&str],
        stop: CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        let config = config(&self.namespace, args);
        let parts = Parts { client, clouds, clock: Clock::default(), membership: RingMembership::None };
        tokio::spawn(async move { Operator::new(&config, parts).unwrap().run(stop).await })
    }

    /// Adds machines of a group.
    pub fn machines(&self, tag: &str, count: usize, state: InstanceState) -> Vec<String> {
        let machines = AddInstances::count(count).tag(TAG_APPLICATION, tag).state(state);
        self.ec2.world().add_instances(&AddInstances { region: REGION.into(), ..machines }).unwrap()
    }

    pub fn machine(&self, id: &str) -> InstanceView {
        self.ec2.world().instance(id).unwrap()
    }

    pub fn state(&self, id: &str) -> InstanceState {
        self.machine(id).state
    }

    /// The values of a machine's lock tags.
    pub fn lock(&self, id: &str) -> Option<(String, String)> {
        let tags = self.machine(id).tags;
        Some((tags.get(TAG_LOCKED_BY)?.clone(), tags.get(TAG_LOCKED_UNTIL)?.clone()))
    }

    pub fn set_lock(&self, id: &str, user: &str, until: &str) {
        let tags = [(TAG_LOCKED_BY, user), (TAG_LOCKED_UNTIL, until)];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        self.ec2.world().set_tags(&[id.to_owned()], &tags).unwrap();
    }

    /// The calls of an action so far, in order.
    pub fn calls(&self, action: &str) -> Vec<CallRecord> {
        let mut calls = self.ec2.world().calls(&CallQuery::default()).calls;
        calls.retain(|call| call.facts.action == action);
        calls
    }

    pub fn resources(&self) -> Api<Resource> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn bookings(&self) -> Api<Booking> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a Resource that stops its machines when idle.
    pub async fn resource(&self, name: &str, tag: &str) -> Resource {
        self.resource_with(name, ResourceSpec { when_idle: Some(WhenIdle::Stop), ..ec2(tag) }).await
    }

    pub async fn resource_with(&self, name: &str, spec: ResourceSpec) -> Resource {
        self.resources().create(&PostParams::default(), &Resource::new(name, spec)).await.unwrap()
    }

    /// Books a Resource.
    pub async fn book(
        &self,
        name: &str,
        resource: &str,
        user: &str,
        window: (Timestamp, Timestamp),
    ) -> Booking {
        let spec = BookingSpec {
            resource_name: Some(resource.into()),
            user_id: Some(user.into()),
            start_at: Some(window.0.to_string()),
            end_at: Some(window.1.to_string()),
            ..BookingSpec::default()
        };
        self.bookings().create(&PostParams::default(), &Booking::new(name, spec)).await.unwrap()
    }

    pub async fn edit_booking(&self, name: &str, spec: serde_json::Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.bookings().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Ends a booking now.
    pub async fn release(&self, name: &str) {
        self.edit_booking(name, json!({ "end_at": in_ms(0).to_string() })).await;
    }

    pub async fn delete_booking(&self, name: &str) {
        self.bookings().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until a Booking fulfils a condition.
    pub async fn booking_when(&self, name: &str, what: &str, is: impl Fn(&Booking) -> bool) -> Booking {
        let condition = |booking: Option<&Booking>| booking.is_some_and(&is);
        match tokio::time::timeout(patience(), await_condition(self.bookings(), name, condition)).await {
            Ok(found) => found.unwrap().unwrap(),
            Err(elapsed) => {
                panic!("{elapsed}: {name} never {what}: {:#?}", self.bookings().get_opt(name).await)
            }
        }
    }

    /// Waits until a Resource fulfils a condition.
    pub async fn resource_when(&self, name: &str, what: &str, is: impl Fn(&Resource) -> bool) -> Resource {
        let condition = |resource: Option<&Resource>| resource.is_some_and(&is);
        match tokio::time::timeout(patience(), await_condition(self.resources(), name, condition)).await {
            Ok(found) => found.unwrap().unwrap(),
            Err(elapsed) => {
                panic!("{elapsed}: {name} never {what}: {:#?}", self.resources().get_opt(name).await)
            }
        }
    }

    pub async fn booking_with_reason(&self, name: &str, wanted: &str) -> Booking {
        self.booking_when(name, wanted, |booking| reason(booking) == wanted).await
    }

    pub async fn resource_with_reason(&self, name: &str, wanted: &str) -> Resource {
        self.resource_when(name, wanted, |resource| resource_reason(resource) == wanted).await
    }

    /// Waits until all machines are in a state and have no lock.
    pub async fn settled(&self, ids: &[String], state: InstanceState) {
        self.eventually(&format!("{ids:?} {state:?} and free"), || {
            ids.iter().all(|id| self.state(id) == state && self.lock(id).is_none())
        })
        .await;
    }

    /// Waits until something is true of the simulated EC2.
    pub async fn eventually(&self, what: &str, is: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + patience();
        while !is() {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until something is true that must be asked for. Such a future is not `Send`, so [`World::eventually`] is a
/// separate method.
pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + patience();
    while !is().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn ec2(tag: &str) -> ResourceSpec {
    ResourceSpec { type_: Some("ec2".into()), tag: Some(tag.into()), ..ResourceSpec::default() }
}

/// The Ready reason of a Booking.
pub fn reason(booking: &Booking) -> String {
    let conditions = booking.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|c| c.type_ == "Ready").map(|c| c.reason.clone()).next().unwrap_or_default()
}

/// The Ready reason of a Resource.
pub fn resource_reason(resource: &Resource) -> String {
    let conditions = resource.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|c| c.type_ == "Ready").map(|c| c.reason.clone()).next().unwrap_or_default()
}

/// The message of a condition of a Booking.
pub fn message(booking: &Booking, type_: &str) -> String {
    let conditions = booking.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|c| c.type_ == type_).map(|c| c.message.clone()).next().unwrap_or_default()
}

pub fn state_word(booking: &Booking) -> &str {
    booking.status.as_ref().and_then(|status| status.status.as_deref()).unwrap_or_default()
}

/// The instant `ms` milliseconds from now, in whole milliseconds.
pub fn in_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond() + ms).unwrap()
}

/// An instant during the test: `ms` milliseconds from now, or later on a busy machine, because there everything
/// before it takes longer.
pub fn soon(ms: u64) -> Timestamp {
    in_ms(patient(Duration::from_millis(ms)).as_millis().try_into().unwrap())
}

/// When a call arrived at the cloud.
pub fn arrived(call: &CallRecord) -> Timestamp {
    Timestamp::from_microsecond(call.arrived.wall.unix_micros()).unwrap()
}

/// From now until `ms` milliseconds from now.
pub fn for_ms(ms: i64) -> (Timestamp, Timestamp) {
    (in_ms(0), in_ms(ms))
}

/// An hour that began a minute ago.
pub fn the_hour() -> (Timestamp, Timestamp) {
    (in_ms(-60_000), in_ms(3_540_000))
}
