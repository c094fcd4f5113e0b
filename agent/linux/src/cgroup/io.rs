//! A pod's part of the disks.
//!
//! | | v2 | v1 |
//! |---|---|---|
//! | weight | `io.weight` | `blkio.weight` or `blkio.bfq.weight`, where the kernel has one |
//! | limits of a device | `io.max` | `blkio.throttle.*_device`: direct and synchronous requests only, not the page cache's |

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use barepod_model::{Io, IoMax};
use nix::sys::stat::{major, minor};

use super::{CgroupError, Controller, Groups, Unenforced, files};

/// One of the figures of a device.
type Figure = fn(&IoMax) -> Option<u64>;

/// Where the kernel shows block devices by number.
const DEVICES: &str = "/sys/dev/block";

/// Puts it in force on a pod's group.
pub(super) fn apply(groups: &Groups, group: &Path, io: &Io) -> Result<Vec<Unenforced>, CgroupError> {
    let controller = Controller::Io;
    let missing = |what| Unenforced { controller, what };
    let hierarchy = groups.hierarchy();
    let Some(mount) = hierarchy.mount_of(controller) else {
        let weight = io.weight.map(|_| missing("io weight"));
        return Ok(weight.into_iter().chain((!io.max.is_empty()).then(|| missing("io"))).collect());
    };
    let dir = mount.join(group);
    if hierarchy.is_set_in_v2(controller) {
        return unified(&dir, io);
    }
    if *io == Io::default() && !dir.exists() {
        return Ok(Vec::new());
    }
    groups.prepare_optional(mount, group)?;
    legacy(&dir, io)
}

fn unified(dir: &Path, io: &Io) -> Result<Vec<Unenforced>, CgroupError> {
    let missing = |what| Unenforced { controller: Controller::Io, what };
    let mut unenforced = Vec::new();
    let weight = dir.join("io.weight");
    if weight.exists() {
        files::write(&weight, &format!("default {}", io.weight.unwrap_or(100)))?;
    } else if io.weight.is_some() {
        // Neither BFQ nor the cost model is there to weigh with.
        unenforced.push(missing("io weight"));
    }
    let max = dir.join("io.max");
    if !max.exists() {
        unenforced.extend((!io.max.is_empty()).then(|| missing("io")));
        return Ok(unenforced);
    }
    let wanted = by_number(io)?;
    for line in files::read(&max)?.lines() {
        let device = line.split(' ').next().unwrap_or_default();
        if !wanted.contains_key(device) {
            files::write(&max, &line_of(device, &IoMax::default()))?;
        }
    }
    wanted.iter().try_for_each(|(device, limits)| files::write(&max, &line_of(device, limits)))?;
    Ok(unenforced)
}

/// As `io.max` takes it; every figure is said, so that an old one does not stay.
fn line_of(device: &str, max: &IoMax) -> String {
    let figure = |value: Option<u64>| value.map_or("max".to_owned(), |value| value.to_string());
    let [rbps, wbps, riops, wiops] = [max.rbps, max.wbps, max.riops, max.wiops].map(figure);
    format!("{device} rbps={rbps} wbps={wbps} riops={riops} wiops={wiops}")
}

fn legacy(dir: &Path, io: &Io) -> Result<Vec<Unenforced>, CgroupError> {
    let mut unenforced = Vec::new();
    let weights = [("blkio.weight", 5), ("blkio.bfq.weight", 1)].map(|(file, factor)| (dir.join(file), factor));
    match (weights.iter().find(|(file, _)| file.exists()), io.weight) {
        (None, None) => {}
        (None, Some(_)) => unenforced.push(Unenforced { controller: Controller::Io, what: "io weight" }),
        (Some((file, factor)), weight) => {
            files::write(file, &legacy_weight(weight.unwrap_or(100), *factor).to_string())?;
        }
    }
    let wanted = by_number(io)?;
    let of: [(&str, Figure); 4] = [
        ("blkio.throttle.read_bps_device", |max| max.rbps),
        ("blkio.throttle.write_bps_device", |max| max.wbps),
        ("blkio.throttle.read_iops_device", |max| max.riops),
        ("blkio.throttle.write_iops_device", |max| max.wiops),
    ];
    for (file, of) in of {
        let path = dir.join(file);
        for line in files::read(&path)?.lines() {
            let device = line.split(' ').next().unwrap_or_default();
            if wanted.get(device).and_then(of).is_none() {
                files::write(&path, &format!("{device} 0"))?;
            }
        }
        for (device, max) in &wanted {
            if let Some(value) = of(max) {
                files::write(&path, &format!("{device} {value}"))?;
            }
        }
    }
    Ok(unenforced)
}

/// v2 weighs from 1 to 10000 around 100; v1 from 10 to 1000 around 500, five times that, and its BFQ around 100.
fn legacy_weight(weight: u16, factor: u64) -> u64 {
    (u64::from(weight) * factor).clamp(10, 1000)
}

/// The wanted limits by `major:minor`. Two names of one device are one; what is said last counts.
fn by_number(io: &Io) -> Result<BTreeMap<String, IoMax>, CgroupError> {
    let mut found = BTreeMap::new();
    for max in &io.max {
        found.insert(number_of(Path::new(DEVICES), &max.device)?, max.clone());
    }
    Ok(found)
}

/// The number of the disk that `device` is, or lies on. A partition cannot be limited: its disk is.
fn number_of(devices: &Path, device: &str) -> Result<String, CgroupError> {
    let number = if device.starts_with('/') {
        let failed = |source| CgroupError::Read { path: device.into(), source };
        let found = fs::metadata(device).map_err(failed)?;
        let id = if found.file_type().is_block_device() { found.rdev() } else { found.dev() };
        format!("{}:{}", major(id), minor(id))
    } else {
        device.to_owned()
    };
    let entry = devices.join(&number);
    if !entry.join("partition").exists() {
        return Ok(number);
    }
    // The kernel's entry of a partition is a link into the directory of its disk.
    let failed = |source| CgroupError::Read { path: entry.clone(), source };
    let real = fs::canonicalize(&entry).map_err(failed)?;
    files::read(&real.parent().unwrap_or(&real).join("dev"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_limited_through_its_disk() {
        let root = tempfile::tempdir().unwrap();
        let disk = root.path().join("block/vda");
        fs::create_dir_all(disk.join("vda1")).unwrap();
        fs::write(disk.join("dev"), "254:0\n").unwrap();
        fs::write(disk.join("vda1/partition"), "1\n").unwrap();
        let devices = root.path().join("dev");
        fs::create_dir(&devices).unwrap();
        std::os::unix::fs::symlink("../block/vda/vda1", devices.join("254:1")).unwrap();
        std::os::unix::fs::symlink("../block/vda", devices.join("254:0")).unwrap();
        assert_eq!(number_of(&devices, "254:1").unwrap(), "254:0");
        assert_eq!(number_of(&devices, "254:0").unwrap(), "254:0");
        assert_eq!(number_of(&devices, "7:3").unwrap(), "7:3", "what the kernel does not show is taken as it is");
        assert!(matches!(number_of(&devices, "/no/such/place"), Err(CgroupError::Read { .. })));
    }

    #[test]
    fn on_v2_every_figure_is_written_and_a_device_that_is_wanted_no_more_is_freed() {
        let root = tempfile::tempdir().unwrap();
        let max = root.path().join("io.max");
        fs::write(&max, "9:9 rbps=1 wbps=max riops=max wiops=max\n").unwrap();
        fs::write(root.path().join("io.weight"), "").unwrap();
        let io = Io { weight: Some(700), max: Vec::new() };
        assert_eq!(unified(root.path(), &io).unwrap(), []);
        assert_eq!(fs::read_to_string(root.path().join("io.weight")).unwrap(), "default 700");
        // A file, unlike the kernel, keeps only what was written last, over what was there.
        assert_eq!(fs::read_to_string(&max).unwrap(), "9:9 rbps=max wbps=max riops=max wiops=max");
        fs::write(&max, "").unwrap();
        let one = IoMax { device: "7:3".to_owned(), wbps: Some(1 << 20), ..IoMax::default() };
        unified(root.path(), &Io { weight: None, max: vec![one] }).unwrap();
        assert_eq!(fs::read_to_string(&max).unwrap(), "7:3 rbps=max wbps=1048576 riops=max wiops=max");
        assert_eq!(fs::read_to_string(root.path().join("io.weight")).unwrap(), "default 100");
    }

    #[test]
    fn weights_of_v1_stay_within_its_bounds() {
        assert_eq!([1, 100, 200, 10_000].map(|weight| legacy_weight(weight, 5)), [10, 500, 1000, 1000]);
        assert_eq!(legacy_weight(250, 1), 250);
    }
}
