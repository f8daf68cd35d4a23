//! Boot scenarios, one file each; they need the image that `ci/test` builds.

mod agent_crash;
mod agent_hang;
mod agent_restart;
mod bounds;
mod broken_document;
mod changed_manifests;
mod confinement;
mod corrupt_root;
mod dirty_shutdown;
mod first_boot;
mod flash;
mod full_data_disk;
mod hardware_watchdog;
mod image_pull;
mod kernel_panic;
mod no_network;
mod page;
mod pod_traffic;
mod power_cut;
mod power_off;
mod privileged;
mod reboot;
mod second_boot;
mod secure_boot;
mod slow_dhcp;
mod smallest_memory;
