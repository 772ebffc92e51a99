//! Rolling upgrades of a real service behind a real load balancer: no request is lost, whatever happens to the rollout.

mod client;
mod site;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use cm_tests::{Hosts, eventually, rolling_hosts};
use serde_json::Value;

use client::Client;
use site::Site;

/// So many servers may be out at once, by the role.
const MAX_UNAVAILABLE: usize = 4;
/// The server that a person has taken out before.
const DRAINED: &str = "w05";
const LIMIT: Duration = Duration::from_secs(240);

/// Looks at the load balancer all the time while something is done, and tells how many were out at most.
fn most_out(site: &Site, done: impl FnOnce()) -> usize {
    let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let out = site.out().into_iter().filter(|name| name != DRAINED).count();
                most.fetch_max(out, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(200));
            }
        });
        let stopped = StopOnDrop(stop.clone());
        done();
        drop(stopped);
    });
    most.load(Ordering::Relaxed)
}

/// Ends the look also when a test fails on the way.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn status(site: &Site) -> Value {
    let ran = site.repository.cm("rollout status --json").exits(0);
    ran.events().remove(0)
}

fn counted(site: &Site, what: &str) -> u64 {
    status(site)["nodes"][what].as_u64().unwrap_or_default()
}

/// Twelve times the same.
fn all(version: &str) -> Vec<String> {
    vec![format!("{version} {version}"); Hosts::ROLLING.len()]
}

#[test]
fn a_service_behind_a_load_balancer_is_upgraded_without_losing_a_request() {
    let Some(hosts) = rolling_hosts() else { return };
    let site = Site::new(hosts);
    eventually("all servers are up", LIMIT, || site.out().is_empty().then_some(()));
    hosts.sh(
        "lb",
        &format!("echo 'set server site/{DRAINED} state drain' | socat stdio /run/haproxy/admin.sock"),
    );
    let client = Client::of(&hosts.address("lb"));

    upgrades(&site, &client);
    stops_what_is_sick(&site, &client);
    survives_its_controller(&site, &client);
    is_given_up_and_taken_back(&site, &client);
}

fn is_in_service(site: &Site) {
    eventually("all servers are up", LIMIT, || (site.out() == [DRAINED]).then_some(()));
}

fn upgrades(site: &Site, client: &Client) {
    site.wants("2");
    let planned = site.repository.cm("rollout plan on web").exits(2);
    let _ = planned.says(&["batch 1: w01", "package:cm-site"]);
    let most = most_out(site, || drop(site.repository.cm("rollout on web").exits(0)));
    assert!((1..=MAX_UNAVAILABLE).contains(&most), "{most} servers were out at once");
    assert_eq!(site.versions(), all("2"));
    // It was out before we came.
    assert_eq!(site.out(), [DRAINED]);
    let heard = client.heard();
    assert!(heard["1"] > 0 && heard["2"] > 0, "{heard:?}");
}

fn stops_what_is_sick(site: &Site, client: &Client) {
    site.wants("3");
    let most = most_out(site, || {
        let _ = site.repository.cm("rollout on web --on-failure rollback").exits(3);
    });
    assert_eq!(most, 1, "only the canary was touched");
    assert_eq!(site.versions(), all("2"));
    is_in_service(site);
    assert!(!client.heard().contains_key("3"), "what is sick was never in service");
    // What was rolled back is not tried again by itself.
    let _ = site.repository.cm("rollout on web").exits(1).says(&["--again"]);
}

fn survives_its_controller(site: &Site, client: &Client) {
    site.wants("4");
    let most = most_out(site, || {
        let mut driver = site.repository.start("rollout on web");
        for done in [0, 1, 3] {
            // Whatever is under way then: it is another thing every time.
            eventually("something is in work", LIMIT, || {
                let nodes = status(site)["nodes"].clone();
                let enough = nodes["done"].as_u64().is_some_and(|number| number >= done);
                (enough && nodes["in_work"] != 0).then_some(())
            });
            driver.signal("KILL");
            let _ = driver.finish();
            driver = site.repository.start("rollout resume");
        }
        eventually("more are done", LIMIT, || (counted(site, "done") >= 5).then_some(()));
        let _ = site.repository.cm("rollout pause").exits(0);
        let _ = driver.finish();
        let paused = status(site);
        assert!(paused["standing"]["Paused"].is_object(), "{paused}");
        assert_eq!(paused["nodes"]["in_work"], 0, "those in work went on to their end: {paused}");
        let _ = site.repository.cm("rollout resume").exits(0);
    });
    assert!((1..=MAX_UNAVAILABLE).contains(&most), "{most} servers were out at once");
    assert_eq!(site.versions(), all("4"));
    is_in_service(site);
    assert!(client.heard()["4"] > 0);
}

fn is_given_up_and_taken_back(site: &Site, client: &Client) {
    site.wants("5");
    let driver = site.repository.start("rollout on web");
    // The one before it has nobody in work.
    eventually("the canary is done", LIMIT, || {
        let nodes = status(site)["nodes"].clone();
        (nodes["done"] != 0 && nodes["in_work"] != 0).then_some(())
    });
    let _ = site.repository.cm("rollout abort");
    let _ = driver.finish();
    let aborted = status(site);
    assert_eq!(aborted["standing"]["Ended"], "Aborted", "{aborted}");
    let ran = site.repository.cm("rollout rollback");
    let back = status(site);
    assert_eq!(back["standing"]["Ended"], "RolledBack", "{}{}", ran.said(), back["standing"]);
    assert_eq!(site.versions(), all("4"));
    is_in_service(site);
    let drawing = site.repository.folder().join("rollout.svg");
    let _ = site.repository.cm(&format!("rollout show --svg {}", drawing.display())).exits(0);
    assert!(
        std::fs::read_to_string(drawing).unwrap().contains("w12: rolled back")
            || counted(site, "pending") > 0
    );
    let _ = client.heard();
}
