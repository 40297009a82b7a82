//! Direct access to etcd, without the API server. A hundred thousand objects are written in seconds. Through the API
//! server it would take a quarter of an hour, because the server and all watchers take in each object.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

/// The default of etcd's `--max-txn-ops`.
const PUTS_AT_ONCE: usize = 128;

/// Why etcd did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// etcd cannot be reached, or it refuses.
    #[error("etcd: {0}")]
    Http(#[from] reqwest::Error),
    /// There is no such object, or it is not JSON.
    #[error("no object {0} in etcd")]
    NotFound(String),
}

/// Objects of custom kinds, as etcd keeps them.
#[derive(Clone, Debug)]
pub struct Store {
    url: String,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    value: String,
}

impl Store {
    pub(super) fn new(port: u16) -> Self {
        Self {
            url: format!("http://{}:{port}", std::net::Ipv4Addr::LOCALHOST),
            client: reqwest::Client::new(),
        }
    }

    /// An object, by its kind's plural, its namespace and its name.
    ///
    /// # Errors
    /// If there is no such object, or etcd cannot be reached.
    pub async fn get(&self, plural: &str, namespace: &str, name: &str) -> Result<Value, StoreError> {
        let key = key(plural, namespace, name);
        let body = json!({ "key": STANDARD.encode(&key) });
        let answer = self.post("range", &body).await?.json::<Range>().await?;
        let value = answer.kvs.first().and_then(|pair| STANDARD.decode(&pair.value).ok());
        value.and_then(|value| serde_json::from_slice(&value).ok()).ok_or(StoreError::NotFound(key))
    }

    /// Puts objects. Each must have a namespace, a name and a uid.
    ///
    /// # Errors
    /// If etcd cannot be reached, or refuses.
    pub async fn put(&self, plural: &str, objects: &[Value]) -> Result<(), StoreError> {
        for some in objects.chunks(PUTS_AT_ONCE) {
            let put = |object: &Value| {
                let text = |field: &str| {
                    object.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).unwrap_or_default()
                };
                let key = key(plural, text("namespace"), text("name"));
                json!({ "requestPut": { "key": STANDARD.encode(key), "value": STANDARD.encode(object.to_string()) } })
            };
            self.post("txn", &json!({ "success": some.iter().map(put).collect::<Vec<_>>() })).await?;
        }
        Ok(())
    }

    async fn post(&self, what: &str, body: &Value) -> Result<reqwest::Response, StoreError> {
        let request = self.client.post(format!("{}/v3/kv/{what}", self.url)).json(body);
        Ok(request.send().await?.error_for_status()?)
    }
}

/// The key under which kube-apiserver keeps an object of a custom kind.
fn key(plural: &str, namespace: &str, name: &str) -> String {
    format!("/registry/manager.kotaico.de/{plural}/{namespace}/{name}")
}
