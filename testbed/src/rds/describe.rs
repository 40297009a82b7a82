//! Describes: one database by name, or pages of all.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::arn::{Arn, Kind};
use super::databases::{Databases, DbCluster, DbInstance, not_found};
use super::model::{DbClusterView, DbInstanceView};
use crate::ec2::{ApiError, RawFilter, Scope, SimTime};

const PAGE_SIZES: RangeInclusive<usize> = 20..=100;

/// The request of a describe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Describe {
    /// An identifier or an ARN.
    pub(crate) name: Option<String>,
    pub(crate) filters: Vec<RawFilter>,
    pub(crate) max_records: Option<usize>,
    pub(crate) marker: Option<String>,
}

/// The result of a describe.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
}

impl Databases {
    pub(crate) fn describe_instances(
        &self,
        now: SimTime,
        scope: &Scope,
        ask: &Describe,
    ) -> Result<Page<DbInstanceView>, ApiError> {
        let of = (&self.instances, Kind::Instance);
        describe(of, scope, ask, |arn, instance| instance.view(now, arn))
    }

    pub(crate) fn describe_clusters(
        &self,
        now: SimTime,
        scope: &Scope,
        ask: &Describe,
    ) -> Result<Page<DbClusterView>, ApiError> {
        let of = (&self.clusters, Kind::Cluster);
        describe(of, scope, ask, |arn, cluster| cluster.view(now, arn))
    }
}

/// A kind that describes can filter.
trait Filtered {
    /// The filters that exist.
    const FILTERS: &'static [&'static str];

    fn has(&self, arn: &Arn, filter: &str, value: &str) -> bool;
}

impl Filtered for DbInstance {
    const FILTERS: &'static [&'static str] = &["db-instance-id", "db-cluster-id", "engine"];

    fn has(&self, arn: &Arn, filter: &str, value: &str) -> bool {
        match filter {
            "db-instance-id" => is_named(arn, value),
            "db-cluster-id" => self.cluster.as_ref().is_some_and(|cluster| is_named(cluster, value)),
            _ => self.engine == value,
        }
    }
}

impl Filtered for DbCluster {
    const FILTERS: &'static [&'static str] = &["db-cluster-id", "engine"];

    fn has(&self, arn: &Arn, filter: &str, value: &str) -> bool {
        if filter == "db-cluster-id" { is_named(arn, value) } else { self.engine == value }
    }
}

fn is_named(arn: &Arn, name: &str) -> bool {
    Arn::resolve(arn.kind, &arn.scope, name).is_some_and(|named| named == *arn)
}

fn describe<T: Filtered, V>(
    (of, kind): (&BTreeMap<Arn, T>, Kind),
    scope: &Scope,
    ask: &Describe,
    view: impl Fn(&Arn, &T) -> V,
) -> Result<Page<V>, ApiError> {
    let size = page_size(ask)?;
    if let Some(filter) = ask.filters.iter().find(|filter| !T::FILTERS.contains(&filter.name.as_str())) {
        return Err(ApiError::invalid_value(format!("Unrecognized filter name: {}", filter.name)));
    }
    if let Some(name) = &ask.name {
        let arn = Arn::resolve(kind, scope, name)
            .ok_or_else(|| ApiError::invalid_value(format!("Invalid database identifier: {name}")))?;
        let found = of.get(&arn).filter(|_| arn.scope == *scope).ok_or_else(|| not_found(&arn))?;
        return Ok(Page { items: vec![view(&arn, found)], marker: None });
    }
    let after = Arn::new(kind, scope, &read_marker(ask.marker.as_deref())?);
    let passes = |arn: &Arn, item: &T| {
        let any = |filter: &RawFilter| filter.values.iter().any(|value| item.has(arn, &filter.name, value));
        ask.filters.iter().all(any)
    };
    let mut rest = of
        .range((Bound::Excluded(after), Bound::Unbounded))
        .take_while(|(arn, _)| arn.scope == *scope)
        .filter(|(arn, item)| passes(arn, item));
    let page: Vec<_> = rest.by_ref().take(size).collect();
    let last = page.last().filter(|_| rest.next().is_some());
    let marker = last.map(|(arn, _)| URL_SAFE_NO_PAD.encode(&arn.identifier));
    Ok(Page { items: page.into_iter().map(|(arn, item)| view(arn, item)).collect(), marker })
}

fn page_size(ask: &Describe) -> Result<usize, ApiError> {
    let size = ask.max_records.unwrap_or(*PAGE_SIZES.end());
    if PAGE_SIZES.contains(&size) {
        return Ok(size);
    }
    let (least, most) = (PAGE_SIZES.start(), PAGE_SIZES.end());
    let message = format!("Invalid value {size} for MaxRecords. Must be between {least} and {most}");
    Err(ApiError::invalid_value(message))
}

/// The identifier at the end of the previous page. The empty one is before all.
fn read_marker(marker: Option<&str>) -> Result<String, ApiError> {
    let Some(marker) = marker else {
        return Ok(String::new());
    };
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok();
    let identifier = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    identifier.ok_or_else(|| ApiError::invalid_value(format!("Invalid marker: {marker}")))
}
