//! Reports what cannot happen.
//!
//! If the program cannot read a value that it made itself, that is a bug. The program goes on with the safest answer,
//! because one bad object must not stop the others. It never goes on silently: the metric
//! `booking_operator_impossible_total{where}` counts each case, and the log reports it.

/// Reports what cannot happen. `place` names the code, for example `"store.unpack"`. It becomes a metric label, so it
/// must not contain data.
///
/// # Panics
/// In debug builds, so that a test that reaches it fails.
pub fn impossible(place: &'static str) {
    metrics::counter!("booking_operator_impossible_total", "where" => place).increment(1);
    tracing::error!(place, "something impossible has happened: please report this as a bug");
    debug_assert!(false, "impossible: {place}");
}
