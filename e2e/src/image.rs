//! Images of static programs. They are built as by `make image`, but with the profile of this program, because its
//! libraries are built already.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{
    failure::Failure,
    host::{output, root},
};

/// A program, and the image that holds only this program.
pub(crate) struct Image {
    program: &'static str,
    name: &'static str,
}

impl Image {
    pub(crate) fn tagged(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name)
    }
}

/// The tag that the overlay asks for.
pub(crate) const TAG: &str = "0.1.0";

/// The images that the overlay `simulator` uses.
pub(crate) const INSTALLED: [Image; 2] = [
    Image { program: "booking-operator", name: "docker.io/library/booking-operator" },
    Image { program: "ec2-simulator", name: "docker.io/library/booking-cloud-simulator" },
];
/// The program of a Pod's sandbox, on our own node.
pub(crate) const PAUSE: Image = Image { program: "pause", name: "localhost/booking-e2e-pause" };

/// Builds the programs. With `builder` (docker, buildah) it also builds an image of each. buildah keeps them in
/// `directory`.
pub(crate) async fn build(
    images: &[&Image],
    builder: &str,
    tag: &str,
    directory: Option<&Path>,
) -> Result<(), Failure> {
    let programs = programs()?;
    println!("static programs ...");
    let profile = if programs.ends_with("debug") { "dev" } else { "sim" };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--locked", "--profile", profile]);
    for image in images {
        cargo.args(["--bin", image.program]);
    }
    // Builds go to the same target directory, wherever this program was started.
    cargo.env("CARGO_TARGET_DIR", programs.parent().ok_or("no target directory")?);
    cargo.env("RUSTC_WORKSPACE_WRAPPER", root().join("e2e/static-rustc.sh")).current_dir(root());
    output(cargo).await?;
    for image in images {
        let (program, name) = (image.program, image.tagged(tag));
        let mut build = Command::new("deploy/image/build.sh");
        build.args([program, &name]).current_dir(root());
        build.env("PREBUILT", programs.join(program)).env("BUILDER", builder);
        build.envs(directory.map(storage).transpose()?);
        println!("  {name}: {}", output(build).await?.lines().last().unwrap_or_default());
    }
    Ok(())
}

/// An image as an archive that containerd can import.
pub(crate) async fn archive(image: &Image, tag: &str, directory: &Path) -> Result<PathBuf, Failure> {
    let archive = directory.join(format!("{}.tar", image.program));
    let name = image.tagged(tag);
    let target = format!("docker-archive:{}:{name}", archive.display());
    let mut push = Command::new("buildah");
    push.args(["--storage-driver", "vfs", "push", &name, &target]).envs([storage(directory)?]);
    output(push).await?;
    Ok(archive)
}

/// The setting that makes buildah keep its images in a directory, not in the system's.
fn storage(directory: &Path) -> Result<(&'static str, PathBuf), Failure> {
    let (file, at) = (directory.join("storage.conf"), directory.display());
    let text =
        format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{at}/images\"\nrunroot = \"{at}/images-run\"\n");
    std::fs::write(&file, text)?;
    Ok(("CONTAINERS_STORAGE_CONF", file))
}

/// The folder of the programs of this build, this one included.
fn programs() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    Ok(own.parent().ok_or("no directory")?.to_owned())
}
