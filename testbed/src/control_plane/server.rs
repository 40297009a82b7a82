//! Starts etcd and kube-apiserver as guarded processes, waits until they are ready, and stops them.

use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::binaries::Binaries;
use super::certs::Credentials;
use super::error::ControlPlaneError;
use super::kubeconfig::read_kubeconfig;
use crate::guard::{Guarded, GuardedCommand, log_tail};
use crate::patience::patient;
use crate::ports::free_port;
use crate::tls::write_private;

/// The start takes about 5 s on two idle cores. A machine that also compiles is many times slower.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How often the server is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(20);

/// A kill of either program loses nothing, because etcd's data are thrown away and kube-apiserver has none. So the wait
/// between TERM and KILL is short: with open watches kube-apiserver would take its time.
const GRACE: Duration = Duration::from_secs(1);
/// The name of the audit log.
const AUDIT: &str = "audit";
/// An audit policy: the requests of service accounts, without the objects.
pub const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: [\"system:serviceaccounts\"]
- level: None
";

const ETCD: &str = "etcd";
const API_SERVER: &str = "kube-apiserver";

/// The number of lines of a log in an error.
const TAIL: usize = 20;

/// The process ids of a control plane.
#[derive(Clone, Copy, Debug)]
pub struct Pids {
    /// The id of etcd.
    pub etcd: i32,
    /// The id of kube-apiserver. None while it is stopped.
    pub kube_apiserver: Option<i32>,
}

/// The running programs, and the directory with all their files.
#[derive(Debug)]
pub(super) struct Server {
    /// This field is first, so that kube-apiserver ends before its etcd.
    api: Option<Guarded>,
    /// Its guard also removes the directory, so the guard stays when its child is gone.
    etcd: Guarded,
    /// The processes that replaced it. The last one runs.
    restored: Vec<Guarded>,
    directory: PathBuf,
    etcd_program: PathBuf,
    etcd_port: u16,
    api_program: PathBuf,
    api_arguments: Vec<String>,
}

impl Server {
    /// Starts both programs and waits until kube-apiserver is ready.
    pub(super) async fn start(binaries: &Binaries, audited: bool) -> Result<Self, ControlPlaneError> {
        // The keys in it must be secret, even from other users of this machine.
        let temporary = tempfile::Builder::new()
            .prefix("booking-testbed-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(ControlPlaneError::file(std::env::temp_dir()))?;
        let ports = || free_port().map_err(ControlPlaneError::Port);
        let (etcd_port, port) = (ports()?, ports()?);
        let url = format!("https://{}:{port}", Ipv4Addr::LOCALHOST);
        write_files(temporary.path(), &url)?;
        let (etcd, directory) = start_etcd(&binaries.etcd, temporary, etcd_port)?;
        let mut api_arguments = api_server_arguments(&directory, etcd_port, port);
        if audited {
            api_arguments.extend(audit_arguments(&directory)?);
        }
        let mut server = Self {
            api: None,
            etcd,
            restored: Vec::new(),
            etcd_program: binaries.etcd.clone(),
            etcd_port,
            api_program: binaries.kube_apiserver.clone(),
            api_arguments,
            directory,
        };
        // If kube-apiserver starts too early, it finds no etcd and tries again only after a second.
        server
            .wait_until(ETCD, || async { listens(etcd_port).await.map_err(|error| error.to_string()) })
            .await?;
        server.start_api_server().await?;
        Ok(server)
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// The log of an audited server.
    pub(super) fn audit_log(&self) -> PathBuf {
        log_file(&self.directory, AUDIT)
    }

    pub(super) fn etcd_port(&self) -> u16 {
        self.etcd_port
    }

    pub(super) fn pids(&self) -> Pids {
        Pids { etcd: self.etcd().pid(), kube_apiserver: self.api.as_ref().map(Guarded::pid) }
    }

    pub(super) async fn start_api_server(&mut self) -> Result<(), ControlPlaneError> {
        let ended = |api: &Guarded| api.try_wait().is_some();
        if self.api.as_ref().is_none_or(ended) {
            let api_server = GuardedCommand::new(&self.api_program, log_file(&self.directory, API_SERVER))
                .args(&self.api_arguments)
                // There are few processors and much memory here. With Go's default of 100, garbage collection takes
                // much of the time: 40 % with a hundred thousand objects.
                .env("GOGC", "400")
                // Freed memory is kept. In a virtual machine, a page that is given back and touched again can cost a
                // fault of the host. In some runs that took half of a list's time, in others none.
                .env("GODEBUG", "madvdontneed=0")
                .grace(GRACE)
                .spawn()?;
            self.api = Some(api_server);
        }
        let client = Client::try_from(read_kubeconfig(&self.kubeconfig()).await?)?;
        self.wait_until(API_SERVER, || async { serves(&client).await.map_err(|error| error.to_string()) })
            .await
    }

    pub(super) async fn stop_api_server(&mut self) {
        if let Some(api_server) = self.api.take() {
            api_server.stop().await;
        }
    }

    pub(super) async fn kill_api_server(&mut self) -> Result<(), ControlPlaneError> {
        if let Some(api_server) = self.api.take() {
            api_server.kill()?;
            api_server.stop().await;
        }
        Ok(())
    }

    /// Copies etcd's data while etcd stands still. A crash at this moment would leave the same data.
    pub(super) fn snapshot_etcd(&self) -> Result<TempDir, ControlPlaneError> {
        let copy = tempfile::tempdir().map_err(ControlPlaneError::file(std::env::temp_dir()))?;
        self.etcd().pause()?;
        let copied = copy_tree(&self.etcd_data(), copy.path());
        self.etcd().resume()?;
        copied.map_err(ControlPlaneError::file(copy.path())).map(|()| copy)
    }

    /// Kills etcd and replaces its data by a snapshot.
    pub(super) async fn put_back_etcd(&mut self, snapshot: &Path) -> Result<(), ControlPlaneError> {
        self.etcd().kill()?;
        self.etcd().wait().await;
        let data = self.etcd_data();
        std::fs::remove_dir_all(&data)
            .and_then(|()| copy_tree(snapshot, &data))
            .map_err(ControlPlaneError::file(&data))
    }

    /// Starts etcd again, on the same port.
    pub(super) async fn start_etcd(&mut self) -> Result<(), ControlPlaneError> {
        let etcd = etcd_command(&self.etcd_program, &self.directory, self.etcd_port).spawn()?;
        self.restored.push(etcd);
        let port = self.etcd_port;
        self.wait_until(ETCD, || async move { listens(port).await.map_err(|error| error.to_string()) }).await
    }

    fn etcd(&self) -> &Guarded {
        self.restored.last().unwrap_or(&self.etcd)
    }

    fn etcd_data(&self) -> PathBuf {
        self.directory.join(ETCD)
    }

    pub(super) async fn stop(mut self) {
        self.release();
        self.stop_api_server().await;
        // etcd follows in `drop`, which waits only a short time then.
    }

    /// Releases both at the same time, so that their ends do not add up.
    fn release(&mut self) {
        self.api.as_mut().map(Guarded::release);
        self.etcd.release();
        self.restored.iter_mut().for_each(Guarded::release);
    }

    /// Asks `program` again and again, for a limited time, until it says that it is ready or has ended.
    async fn wait_until<F>(
        &self,
        program: &'static str,
        ready: impl Fn() -> F,
    ) -> Result<(), ControlPlaneError>
    where
        F: Future<Output = Result<(), String>>,
    {
        let limit = patient(READY_LIMIT);
        let deadline = Instant::now() + limit;
        loop {
            // Each question has a limit of its own, because an accepted connection may never be answered.
            let answer = tokio::time::timeout_at(deadline, ready()).await;
            let last = match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => "no answer".to_owned(),
            };
            self.still_running()?;
            if Instant::now() >= deadline {
                let log = log_tail(&log_file(&self.directory, program), TAIL);
                return Err(ControlPlaneError::NotReady { program, limit, last, log });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    fn still_running(&self) -> Result<(), ControlPlaneError> {
        let programs = [(ETCD, Some(self.etcd())), (API_SERVER, self.api.as_ref())];
        for (program, process) in programs {
            if let Some((code, process)) = process.and_then(|process| Some((process.try_wait()?, process))) {
                return Err(ControlPlaneError::Ended { program, code, log: process.log_tail(TAIL) });
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
    }
}

/// Whether a start failed because another process took a port after we had found it free.
pub(super) fn lost_its_port(error: &ControlPlaneError) -> bool {
    matches!(error, ControlPlaneError::Ended { log, .. } if log.contains("address already in use"))
}

/// Whether the server is ready and has done its first writes. Tests use the default namespace, which exists a moment
/// after /readyz succeeds.
async fn serves(client: &Client) -> Result<(), kube::Error> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request_text(request).await?;
    Api::<Namespace>::all(client.clone()).get("default").await.map(drop)
}

async fn listens(port: u16) -> std::io::Result<()> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map(drop)
}

fn log_file(directory: &Path, program: &str) -> PathBuf {
    directory.join(format!("{program}.log"))
}

fn write_files(directory: &Path, url: &str) -> Result<(), ControlPlaneError> {
    let credentials = Credentials::generate()?;
    credentials.write_server_files(directory).map_err(ControlPlaneError::file(directory))?;
    let kubeconfig = directory.join("kubeconfig");
    write_private(&kubeconfig, &credentials.kubeconfig(url)).map_err(ControlPlaneError::file(&kubeconfig))
}

/// Hands the directory over to etcd's guard. From then on it is removed even if this process is killed.
fn start_etcd(
    program: &Path,
    directory: TempDir,
    port: u16,
) -> Result<(Guarded, PathBuf), ControlPlaneError> {
    let etcd = etcd_command(program, directory.path(), port).spawn()?;
    Ok((etcd, directory.keep()))
}

fn etcd_command(program: &Path, at: &Path, port: u16) -> GuardedCommand {
    let url = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
    GuardedCommand::new(program, log_file(at, ETCD))
        .arg("--data-dir")
        .arg(at.join(ETCD))
        .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
        // A single member has no peers. So the kernel may choose that port, and nobody needs to know it.
        .args(["--listen-peer-urls", "http://127.0.0.1:0"])
        // The data need not survive a power cut, and fsync takes most of etcd's time.
        .args(["--unsafe-no-fsync", "--log-level", "warn"])
        .grace(GRACE)
        .remove_at_end(at)
}

/// Copies the files below `from` to below `to`.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn api_server_arguments(directory: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    [
        ("etcd-servers", format!("http://{}:{etcd_port}", Ipv4Addr::LOCALHOST)),
        ("bind-address", Ipv4Addr::LOCALHOST.to_string()),
        ("secure-port", port.to_string()),
        ("tls-cert-file", file("server.crt")),
        ("tls-private-key-file", file("server.key")),
        ("client-ca-file", file("ca.crt")),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", file("service-account.pub")),
        ("service-account-signing-key-file", file("service-account.key")),
        ("service-cluster-ip-range", "10.96.0.0/24".to_owned()),
        ("authorization-mode", "RBAC,Node".to_owned()),
        // Without a controller manager no namespace has a default service account, and no Pod could be created.
        ("disable-admission-plugins", "ServiceAccount".to_owned()),
        // The endpoint of the Service `kubernetes` cannot be a loopback address. The server would try for ever.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("allow-privileged", "true".to_owned()),
        ("profiling", "false".to_owned()),
    ]
    .map(|(name, value)| format!("--{name}={value}"))
    .to_vec()
}

/// The arguments that log the requests of service accounts: a line of JSON for each, when it is answered.
fn audit_arguments(directory: &Path) -> Result<[String; 2], ControlPlaneError> {
    let policy = directory.join("audit-policy.yaml");
    std::fs::write(&policy, AUDIT_POLICY).map_err(ControlPlaneError::file(&policy))?;
    let log = log_file(directory, AUDIT);
    Ok([format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", log.display())])
}
