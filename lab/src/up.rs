//! Making a lab.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use crate::apt_access::AptAccess;
use crate::boot::{start, wait_until_ready};
use crate::error::LabError;
use crate::files::make_folder;
use crate::host_root::{HostGifts, prepare};
use crate::image::{self, Image};
use crate::inventory_file::{check_folder, write_files, write_key};
use crate::lab::Lab;
use crate::machine_settings;
use crate::mounts::mount_memory;
use crate::network;
use crate::progress::Progress;
use crate::record::{self, HostRecord, LabRecord, Stage};
use crate::spec::{LabSpec, PackageSource, Release, Storage};
use crate::teardown::remove;

/// Makes a lab and waits until every host's sshd answers. Images that are not there yet are built first.
/// When something fails, what was made is removed again.
///
/// # Errors
/// What is missing on this machine, a lab of this name that is there, a host that does not come up.
pub fn up(spec: &LabSpec, progress: &mut dyn FnMut(Progress)) -> Result<Lab, LabError> {
    crate::requirements().map_err(LabError::Missing)?;
    spec.check()?;
    let _lock = record::lab_lock(&spec.name)?;
    if let Some(record) = LabRecord::load(&spec.name)? {
        // In another stage it was left behind: its maker would hold the lock that is ours now.
        if record.stage == Stage::Up && record.is_of_this_boot() {
            return Err(LabError::Exists { name: spec.name.clone() });
        }
        remove(record)?;
        progress(Progress::RemovedRemains { name: spec.name.clone() });
    }
    check_folder(&spec.dir)?;
    let mut record = reserve(spec)?;
    match make(spec, &mut record, progress) {
        Ok(()) => Ok(Lab { record }),
        Err(error) => {
            // The first error is the one to tell; what cannot be removed stays recorded.
            let _ = remove(record);
            Err(error)
        }
    }
}

/// Takes a number and records it before anything is made.
fn reserve(spec: &LabSpec) -> Result<LabRecord, LabError> {
    let _common = record::common_lock()?;
    let mut taken = Vec::new();
    for name in record::names()? {
        taken.extend(LabRecord::load(&name)?.map(|other| other.number));
    }
    let mut record = LabRecord::new(spec, network::free_number(&taken)?)?;
    record.images = spec.hosts.iter().map(|host| image::root_path(host.release)).collect();
    record.images.sort();
    record.images.dedup();
    record.save()?;
    Ok(record)
}

fn make(spec: &LabSpec, record: &mut LabRecord, progress: &mut dyn FnMut(Progress)) -> Result<(), LabError> {
    let mut images: BTreeMap<Release, Image> = BTreeMap::new();
    for release in spec.hosts.iter().map(|host| host.release).collect::<BTreeSet<_>>() {
        images.insert(release, image::ensure(release, progress)?);
    }
    {
        let _common = record::common_lock()?;
        machine_settings::raise(&record::settings_path())?;
    }
    network::create(record.number())?;
    progress(Progress::NetworkReady { subnet: record.number().subnet() });
    let hosts = record.data().join("hosts");
    make_folder(&hosts, 0o755)?;
    if spec.storage == Storage::Memory {
        mount_memory(&hosts)?;
    }
    let public_key = write_key(record)?;
    let access = (spec.packages == PackageSource::Machine).then(AptAccess::of_this_machine);
    let gifts = HostGifts { public_key: &public_key, access: access.as_ref() };
    let together = if spec.boot_together == 0 { default_together() } else { spec.boot_together };
    let host_keys = boot_all(record, &images, &gifts, together, progress)?;
    write_files(record, &host_keys)?;
    record.stage = Stage::Up;
    record.save()
}

/// Hosts are busy for a moment and then wait for each other's disks and clocks: more than the machine's
/// cores, but not so many that each takes longer than its limit.
fn default_together() -> usize {
    std::thread::available_parallelism().map_or(4, usize::from) * 4
}

type HostKeys = BTreeMap<String, Vec<String>>;

fn boot_all(
    record: &LabRecord,
    images: &BTreeMap<Release, Image>,
    gifts: &HostGifts<'_>,
    together: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<HostKeys, LabError> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, news) = mpsc::channel();
        for _ in 0..together.min(record.hosts.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(host) = record.hosts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let booted = boot_one(record, host, &images[&host.release], gifts, &sender);
                    if booted.is_err() {
                        // No further host is begun.
                        next.store(record.hosts.len(), Ordering::Relaxed);
                    }
                    // The receiver outlives all senders.
                    let _ = sender.send(News::Done(host.name.clone(), booted));
                }
            });
        }
        drop(sender);
        let mut host_keys = HostKeys::new();
        let mut failure = None;
        for news in news {
            match news {
                News::Step(step) => progress(step),
                News::Done(host, Ok(keys)) => drop(host_keys.insert(host, keys)),
                News::Done(_, Err(error)) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(host_keys), Err)
    })
}

enum News {
    Step(Progress),
    Done(String, Result<Vec<String>, LabError>),
}

fn boot_one(
    record: &LabRecord,
    host: &HostRecord,
    image: &Image,
    gifts: &HostGifts<'_>,
    news: &mpsc::Sender<News>,
) -> Result<Vec<String>, LabError> {
    let began = Instant::now();
    let tell = |step| drop(news.send(News::Step(step)));
    tell(Progress::Booting { host: host.name.clone() });
    let keys = prepare(record, host, image, gifts)?;
    start(record, host)?;
    wait_until_ready(record, host, None)?;
    tell(Progress::HostReady {
        host: host.name.clone(),
        address: host.address.to_string(),
        took: began.elapsed(),
    });
    Ok(keys)
}
