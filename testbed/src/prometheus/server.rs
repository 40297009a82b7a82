//! A Prometheus that scrapes every second and evaluates rules.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::program;
use crate::guard::{Guarded, GuardedCommand};
use crate::patience::patient;
use crate::ports::free_port;

/// How long it may take until it answers.
const LIMIT: Duration = Duration::from_secs(30);

/// A target to scrape.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host and port. The path is `/metrics`.
    pub address: String,
    /// The labels of all its samples, as a cluster's discovery would set them.
    pub labels: Vec<(&'static str, String)>,
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Guarded,
    url: String,
}

impl Prometheus {
    /// Starts a Prometheus with its data in `directory`. `rules` is a file of rules.
    ///
    /// # Errors
    /// If there is no Prometheus, or it does not answer. The error shows its output.
    pub async fn start(directory: &Path, targets: &[Target], rules: Option<&Path>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let static_configs: Vec<Value> = targets
            .iter()
            .map(|target| {
                let labels = target.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
                json!({ "targets": [target.address], "labels": labels.collect::<serde_json::Map<_, _>>() })
            })
            .collect();
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms" },
            "rule_files": rules.map(|path| path.display().to_string()).into_iter().collect::<Vec<_>>(),
            "scrape_configs": [{ "job_name": "operator", "static_configs": static_configs }],
        });
        // JSON is YAML.
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, config.to_string()).map_err(text)?;
        let address = format!("127.0.0.1:{}", free_port().map_err(text)?);
        let process = GuardedCommand::new(program("prometheus").await?, directory.join("prometheus.log"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .spawn()
            .map_err(|error| error.to_string())?;
        let it = Self { process, url: format!("http://{address}") };
        it.until_ready().await?;
        Ok(it)
    }

    async fn until_ready(&self) -> Result<(), String> {
        let asked = async {
            while !reqwest::get(format!("{}/-/ready", self.url))
                .await
                .is_ok_and(|it| it.status().is_success())
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let answered = tokio::time::timeout(patient(LIMIT), asked).await;
        answered.map_err(|_| format!("Prometheus is not ready: {}", self.process.log_tail(10)))
    }

    /// The series that an expression gives now.
    ///
    /// # Errors
    /// If there is no answer, or Prometheus does not understand the expression.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.get("query", &[("query", expression)]).await?;
        Ok(list(&answer, "result"))
    }

    /// The rules, as Prometheus has evaluated them.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn rules(&self) -> Result<Vec<Value>, String> {
        let answer = self.get("rules", &[]).await?;
        Ok(list(&answer, "groups").iter().flat_map(|group| list(group, "rules")).collect())
    }

    async fn get(&self, what: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let url = format!("{}/api/v1/{what}?{query}", self.url);
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        let is_fine = answer.get("status").is_some_and(|status| status == "success");
        answer.get("data").filter(|_| is_fine).cloned().ok_or_else(|| answer.to_string())
    }

    /// Ends Prometheus.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

fn list(value: &Value, field: &str) -> Vec<Value> {
    value.get(field).and_then(Value::as_array).cloned().unwrap_or_default()
}
