//! Static programs in images: as `make image` makes them, but of the profile that this program was built in, whose libraries are
//! there already.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{
    Failure,
    host::{output, root},
};

/// A program, and the image that holds it alone.
pub(crate) struct Image {
    pub(crate) program: &'static str,
    pub(crate) name: &'static str,
}

/// What the overlay `simulator` runs.
pub(crate) const INSTALLED: [Image; 2] = [
    Image { program: "booking-operator", name: "docker.io/library/booking-operator:0.1.0" },
    Image { program: "ec2-simulator", name: "docker.io/library/booking-cloud-simulator:0.1.0" },
];
/// What a Pod's sandbox runs, on a node of our own.
pub(crate) const PAUSE: Image = Image { program: "pause", name: "localhost/pause:e2e" };

/// Builds the programs, and with `builder` (docker, buildah) an image of each; buildah keeps them in `directory`.
pub(crate) async fn build(images: &[&Image], builder: &str, directory: Option<&Path>) -> Result<(), Failure> {
    let programs = programs()?;
    println!("static programs ...");
    let profile = if programs.ends_with("debug") { "dev" } else { "sim" };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--locked", "--profile", profile]);
    for image in images {
        cargo.args(["--bin", image.program]);
    }
    // The same directory of what is built, wherever this was started.
    cargo.env("CARGO_TARGET_DIR", programs.parent().ok_or("no target directory")?);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", root().join("e2e/static-rustc.sh")).current_dir(root());
    let built = cargo.output().await?;
    if !built.status.success() {
        return Err(format!("cargo build: {}", String::from_utf8_lossy(&built.stderr)).into());
    }
    for Image { program, name } in images {
        let built = Command::new("deploy/image/build.sh")
            .args([program, *name])
            .env("PREBUILT", programs.join(program))
            .env("BUILDER", builder)
            .envs(directory.map(storage).transpose()?)
            .current_dir(root())
            .output()
            .await?;
        if !built.status.success() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&built.stderr)).into());
        }
        println!("  {name}: {}", String::from_utf8_lossy(&built.stdout).lines().last().unwrap_or_default());
    }
    Ok(())
}

/// An image as an archive that containerd imports.
pub(crate) async fn archive(image: &Image, directory: &Path) -> Result<PathBuf, Failure> {
    let archive = directory.join(format!("{}.tar", image.program));
    let target = format!("docker-archive:{}:{}", archive.display(), image.name);
    let mut push = Command::new("buildah");
    push.args(["--storage-driver", "vfs", "push", image.name, &target]).envs([storage(directory)?]);
    output(push).await?;
    Ok(archive)
}

/// What has buildah keep its images in a directory, not in the system's.
fn storage(directory: &Path) -> Result<(&'static str, PathBuf), Failure> {
    let (file, at) = (directory.join("storage.conf"), directory.display());
    let text =
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{at}/images\"\nrunroot = \"{at}/images-run\"\n");
    std::fs::write(&file, text)?;
    Ok(("CONTAINERS_STORAGE_CONF", file))
}

/// Where the programs of this build lie, this one among them.
fn programs() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    Ok(own.parent().ok_or("no directory")?.to_owned())
}
