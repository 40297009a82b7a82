//! Metrics around a provider.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use booking_cloud::{CloudError, CloudKey, Instance, Mutation, Provider, Results, Tag};
use booking_decision::permit::Permit;

/// Counts and times every operation of the wrapped provider.
pub struct Metered(pub Arc<dyn Provider>);

fn record<'a>(action: &'static str, begun: Instant, errors: impl Iterator<Item = &'a CloudError>) {
    // The operation is counted under its worst error, because that says more than the first one.
    let class = errors.map(|error| error.class).max().map_or("ok", booking_cloud::ErrorClass::as_str);
    metrics::counter!("booking_operator_cloud_calls_total", "action" => action, "class" => class)
        .increment(1);
    metrics::histogram!("booking_operator_cloud_call_duration_seconds", "action" => action)
        .record(begun.elapsed().as_secs_f64());
}

#[async_trait]
impl Provider for Metered {
    fn key(&self) -> &CloudKey {
        self.0.key()
    }

    async fn describe(&self, groups: &[String]) -> Result<Vec<Instance>, CloudError> {
        let begun = Instant::now();
        let answer = self.0.describe(groups).await;
        record("describe", begun, answer.as_ref().err().into_iter());
        answer
    }

    async fn discover(&self, mark: &Tag) -> Result<Vec<Instance>, CloudError> {
        let begun = Instant::now();
        let answer = self.0.discover(mark).await;
        record("discover", begun, answer.as_ref().err().into_iter());
        answer
    }

    async fn mutate(&self, permit: &dyn Permit, mutation: &Mutation, ids: &[String]) -> Results {
        let begun = Instant::now();
        let results = self.0.mutate(permit, mutation, ids).await;
        let errors = results.values().filter_map(|result| result.as_ref().err());
        record(mutation.action().as_str(), begun, errors);
        results
    }
}
