//! Reads a metrics endpoint: the text format of Prometheus, as far as sums and histograms need it.

use std::collections::BTreeMap;

/// Samples: name, labels, value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Vec<(String, BTreeMap<String, String>, f64)>);

/// The name of the API server's metric of requests.
const REQUESTS: &str = "apiserver_request_total";

/// Whether requests write objects that the operator writes. The API server itself writes objects of its own, which do
/// not count.
fn is_write(labels: &BTreeMap<String, String>) -> bool {
    let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
    matches!(label("group"), "manager.kotaico.de" | "events.k8s.io" | "coordination.k8s.io")
        && matches!(label("verb"), "POST" | "PUT" | "PATCH" | "APPLY" | "DELETE")
}

impl Metrics {
    /// Reads the text format. Lines that are not samples are ignored.
    pub(crate) fn read(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The writes to an API server by all clients, to objects of this API and Events.
    pub(crate) fn writes_of_objects(&self) -> f64 {
        self.writes(|resource| !matches!(resource, "leases" | "rings"))
    }

    /// The writes of Leases and rings, by which replicas know of each other.
    pub(crate) fn writes_of_leases(&self) -> f64 {
        self.writes(|resource| matches!(resource, "leases" | "rings"))
    }

    fn writes(&self, of: impl Fn(&str) -> bool) -> f64 {
        self.sum(REQUESTS, |labels| is_write(labels) && labels.get("resource").is_some_and(|it| of(it)))
    }

    /// How many more writes there are here than in `before`, by verb and kind.
    pub(crate) fn writes_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let (before, mut since) = (before.writes_by_kind(), self.writes_by_kind());
        for (what, count) in &mut since {
            *count -= before.get(what).copied().unwrap_or_default();
        }
        since.retain(|_, count| *count > 0.0);
        since
    }

    fn writes_by_kind(&self) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        let writes = self.0.iter().filter(|(name, labels, _)| name == REQUESTS && is_write(labels));
        for (_, labels, value) in writes {
            let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
            let what = format!("{} {} {}", label("verb"), label("resource"), label("subresource"));
            *all.entry(what.trim_end().to_owned()).or_default() += value;
        }
        all
    }

    /// The sum of all samples of a name with labels that `wanted` accepts.
    pub(crate) fn sum(&self, name: &str, wanted: impl Fn(&BTreeMap<String, String>) -> bool) -> f64 {
        self.0.iter().filter(|(of, labels, _)| of == name && wanted(labels)).map(|(_, _, value)| value).sum()
    }

    /// The buckets of a histogram over all its series: cumulative counts by upper bound.
    fn buckets(&self, name: &str) -> BTreeMap<u64, f64> {
        let of = format!("{name}_bucket");
        let mut buckets = BTreeMap::new();
        for (_, labels, value) in self.0.iter().filter(|(name, ..)| *name == of) {
            let bound = labels.get("le").and_then(|bound| bound.parse::<f64>().ok());
            *buckets.entry(bound.unwrap_or(f64::INFINITY).to_bits()).or_default() += value;
        }
        buckets
    }
}

/// The upper bound of the bucket that holds this part of what several processes counted between two readings. None if
/// they counted nothing.
pub(crate) fn quantile(before: &[Metrics], after: &[Metrics], name: &str, part: f64) -> Option<f64> {
    let mut counts: BTreeMap<u64, f64> = BTreeMap::new();
    for (sign, metrics) in before.iter().map(|it| (-1.0, it)).chain(after.iter().map(|it| (1.0, it))) {
        for (bound, count) in metrics.buckets(name) {
            *counts.entry(bound).or_default() += sign * count;
        }
    }
    let all = counts.values().copied().fold(0.0, f64::max);
    let holds = |(_, count): &(&u64, &f64)| all > 0.0 && **count >= part * all;
    counts.iter().find(holds).map(|(bound, _)| f64::from_bits(*bound))
}

fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = head.split_once('{') else {
        return Some((head.to_owned(), BTreeMap::new(), value));
    };
    let mut parsed = BTreeMap::new();
    let mut rest = labels.strip_suffix('}')?;
    while let Some((key, more)) = rest.split_once("=\"") {
        let end = end_of_value(more)?;
        let value = more.get(..end)?.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\");
        parsed.insert(key.trim_start_matches(',').to_owned(), value);
        rest = more.get(end + 1..)?;
    }
    Some((name.to_owned(), parsed, value))
}

/// The position of the quote that ends a value.
fn end_of_value(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_their_labels() {
        let text = "# HELP a b\na{x=\"1\",y=\"q\\\"}, z\"} 2\na{x=\"2\"} 3.5\nb 1e3\nnonsense\n";
        let metrics = Metrics::read(text);
        let all = |name: &str| metrics.sum(name, |_| true);
        assert_eq!((all("a").to_bits(), all("b").to_bits()), (5.5_f64.to_bits(), 1000_f64.to_bits()));
        let first = metrics.sum("a", |labels| labels.get("y").is_some_and(|y| y == "q\"}, z"));
        assert_eq!(first.to_bits(), 2_f64.to_bits());
    }

    #[test]
    fn a_quantile_is_of_what_came_between_two_readings() {
        let of = |fast: u32, slow: u32| {
            let (all, slow) = (fast + slow, fast);
            Metrics::read(&format!("h_bucket{{le=\"0.1\"}} {slow}\nh_bucket{{le=\"+Inf\"}} {all}\n"))
        };
        let (before, after) = ([of(100, 100)], [of(198, 102)]);
        assert_eq!(quantile(&before, &after, "h", 0.98), Some(0.1));
        assert_eq!(quantile(&before, &after, "h", 0.99), Some(f64::INFINITY));
        assert_eq!(quantile(&before, &before, "h", 0.99), None);
    }
}
