//! The main job on real hosts with Debian 11, 12 and 13. The hosts are booted once for all of these tests.

mod files;
mod packages;
