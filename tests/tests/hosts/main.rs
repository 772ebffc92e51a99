//! The main job on real hosts with Debian 11, 12 and 13. The hosts are booted once for all of these tests.

mod accounts;
mod bare_root;
#[path = "../../../modules/tests/harness/case.rs"]
mod case;
#[path = "../../../modules/tests/harness/cases/mod.rs"]
#[allow(dead_code, reason = "what is missing is told by the harness of the modules")]
mod cases;
mod checks;
mod cleanup;
mod commands;
mod connections;
mod custom_modules;
mod cut_short;
mod drift;
mod etcd;
mod example;
mod faults_agent;
mod faults_disks;
mod faults_links;
mod faults_machines;
mod faults_packages;
mod faults_power;
mod faults_random;
mod faults_undone;
mod fetching;
mod files;
mod guard;
mod harness;
mod harness_look;
mod harness_script;
mod harness_whole;
mod inventories;
mod large;
mod no_agent;
mod no_secret_left;
mod packages;
mod plan_file;
mod prune;
mod reboot;
mod repository;
mod rollback;
mod rollout;
mod run_options;
mod secrets;
mod services;
mod silence;
mod system_modules;
mod terminal;
mod text_modules;
mod unchanged;
mod unreachable;
mod values;
mod watching;
