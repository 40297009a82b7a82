//! Creates Resources and Bookings by the thousand.

use std::time::Duration;

use bookings::api::{Booking, BookingSpec, Resource, ResourceSpec, WhenIdle};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use tokio::time::Instant;

use crate::{
    Failure,
    bench::{Bench, Replica},
};

/// The number of the harness's requests that are under way at once.
const AT_ONCE: usize = 24;
/// The longest time to wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(15);
pub(crate) const NAMESPACE: &str = "default";

/// Names of groups. Their Resources have the same names.
pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:06}")).collect()
}

/// A Resource that stops its machines when they are idle.
pub(crate) fn resource(name: &str, role: Option<&str>) -> Resource {
    let spec = ResourceSpec {
        type_: Some("ec2".into()),
        tag: Some(name.into()),
        when_idle: Some(WhenIdle::Stop),
        role_arn: role.map(Into::into),
        ..ResourceSpec::default()
    };
    Resource::new(name, spec)
}

/// A Booking.
pub(crate) fn booking(
    name: &str,
    resource: &str,
    user: &str,
    (from, until): (Timestamp, Timestamp),
) -> Booking {
    let spec = BookingSpec {
        resource_name: Some(resource.into()),
        user_id: Some(user.into()),
        start_at: Some(from.to_string()),
        end_at: Some(until.to_string()),
        ..BookingSpec::default()
    };
    Booking::new(name, spec)
}

/// The next whole second after this number of seconds.
pub(crate) fn in_seconds(seconds: i64) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_second(Timestamp::now().as_second() + 1 + seconds)?)
}

/// Creates groups with this number of machines each, their Resources, and replicas. Returns when the replicas have
/// brought the groups to rest.
pub(crate) async fn at_rest(
    bench: &Bench,
    (prefix, count, machines): (&str, usize, usize),
    replicas: u8,
) -> Result<(Vec<String>, Vec<Replica>), Failure> {
    let groups = names(prefix, count);
    bench.machines(&groups, machines)?;
    let replicas = bench.replicas(replicas, &[]).await?;
    create(&bench.client, "resources", groups.iter().map(|group| resource(group, None))).await?;
    wait_for::<Resource>(&bench.client, "resources at rest", count, is_stopped).await?;
    Ok((groups, replicas))
}

/// Creates objects, many at a time, and reports its progress. Each object is made only when its turn comes.
pub(crate) async fn create<K>(
    client: &Client,
    what: &str,
    objects: impl IntoIterator<Item = K, IntoIter: ExactSizeIterator>,
) -> Result<(), Failure>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let (api, begun): (Api<K>, _) = (Api::namespaced(client.clone(), NAMESPACE), Instant::now());
    let (objects, params) = (objects.into_iter(), PostParams::default());
    let all = objects.len();
    let creations = objects.map(|object| {
        let (api, params) = (&api, &params);
        async move { api.create(params, &object).await }
    });
    let mut done = 0;
    let mut results = stream::iter(creations).buffer_unordered(AT_ONCE);
    while results.try_next().await?.is_some() {
        done += 1;
        if done % 5000 == 0 {
            println!("   {done} of {all} {what}, {} s", begun.elapsed().as_secs());
        }
    }
    println!("   {all} {what} in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Waits until at least this number of objects of a kind are as wanted.
pub(crate) async fn wait_for<K>(
    client: &Client,
    what: &str,
    count: usize,
    is: impl Fn(&K) -> bool,
) -> Result<(), Failure>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let (api, begun): (Api<K>, _) = (Api::namespaced(client.clone(), NAMESPACE), Instant::now());
    let mut told = 0;
    while begun.elapsed() < PATIENCE {
        let (mut page, mut found) = (ListParams::default().limit(2000), 0);
        loop {
            let list = api.list(&page).await?;
            found += list.items.iter().filter(|object| is(object)).count();
            page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                break;
            }
        }
        if found >= count {
            println!("   {found} {what} after {:.1} s", begun.elapsed().as_secs_f64());
            return Ok(());
        }
        if found != told && begun.elapsed() > Duration::from_secs(5) {
            println!("   {found} of {count} {what}, {} s", begun.elapsed().as_secs());
            told = found;
        }
        // A look costs the API server time that the operator needs.
        let pause = if count > 2000 { Duration::from_secs(3) } else { Duration::from_millis(500) };
        tokio::time::sleep(pause).await;
    }
    Err(format!("never: {count} {what}").into())
}

/// The reason of the Ready condition of a Booking or Resource.
pub(crate) fn reason(
    conditions: Option<&Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>>,
) -> &str {
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    ready.map(|condition| condition.reason.as_str()).unwrap_or_default()
}

/// Whether a Resource is at rest.
pub(crate) fn is_stopped(resource: &Resource) -> bool {
    reason(resource.status.as_ref().map(|status| &status.conditions)) == "Stopped"
}

/// Whether a Booking has this reason.
pub(crate) fn has_reason(booking: &Booking, wanted: &str) -> bool {
    reason(booking.status.as_ref().map(|status| &status.conditions)) == wanted
}
