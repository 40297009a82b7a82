//! Structured logs to standard error.

use tracing_subscriber::EnvFilter;

use crate::args::{LogConfig, LogFormat};

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is invalid.
    #[error("--log-level {filter:?}: {source}; write a level (error, warn, info, debug, trace) or a filter")]
    Filter {
        /// The given text.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging is already set up.
    #[error("logging is set up already: {0}")]
    Twice(String),
}

/// Sets up logging for the process.
///
/// # Errors
/// [`LogError`] if the filter is invalid or logging is already set up.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(whole(&config.filter))
        .map_err(|source| LogError::Filter { filter: config.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| LogError::Twice(error.to_string()))
}

/// The whole filter. A level alone refers to this program. The Kubernetes client is silenced because it logs each
/// failed request as an error, and the code that sent the request reports it anyway.
fn whole(filter: &str) -> String {
    if filter.contains(['=', ',']) { filter.to_owned() } else { format!("{filter},kube_client=off") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_silences_the_client_and_a_filter_stays_as_it_is() {
        assert_eq!(whole("info"), "info,kube_client=off");
        for filter in ["info,booking_operator=debug", "kube_client=debug"] {
            assert_eq!(whole(filter), filter);
        }
    }
}
