//! Static programs in images, as `make image` makes them, for containerd to import.

use std::path::PathBuf;

use tokio::process::Command;

use crate::{Failure, host::run};

/// What runs in the cluster: the program, and the name of its image.
const IMAGES: [(&str, &str); 3] = [
    ("booking-operator", "docker.io/library/booking-operator:0.1.0"),
    ("ec2-simulator", "docker.io/library/booking-cloud-simulator:0.1.0"),
    ("pause", PAUSE),
];
/// What a Pod's sandbox runs.
pub(crate) const PAUSE: &str = "localhost/pause:e2e";

/// Builds all images; gives their archives.
pub(crate) async fn build() -> Result<Vec<PathBuf>, Failure> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut archives = Vec::new();
    for (program, image) in IMAGES {
        println!("image {image} ...");
        // Quick to build, not small: `make image` makes what people install.
        let built = Command::new("deploy/image/build.sh")
            .args([program, image, "sim"])
            .current_dir(&root)
            .output()
            .await?;
        if !built.status.success() {
            return Err(format!("{image}: {}", String::from_utf8_lossy(&built.stderr)).into());
        }
        println!("  {}", String::from_utf8_lossy(&built.stdout).lines().last().unwrap_or_default());
        let archive = PathBuf::from(format!("/tmp/booking-e2e-{program}.tar"));
        let _ = std::fs::remove_file(&archive);
        let target = format!("docker-archive:{}:{image}", archive.display());
        run("buildah", &["--storage-driver", "vfs", "push", image, &target]).await?;
        archives.push(archive);
    }
    Ok(archives)
}
