//! The main job on real hosts with Debian 11, 12 and 13. The hosts are booted once for all of these tests.

mod accounts;
mod bare_root;
mod checks;
mod commands;
mod connections;
mod cut_short;
mod example;
mod faults_agent;
mod faults_links;
mod faults_packages;
mod faults_power;
mod files;
mod large;
mod no_agent;
mod packages;
mod run_options;
mod secrets;
mod services;
mod silence;
mod terminal;
mod unreachable;
mod values;
