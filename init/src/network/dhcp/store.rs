//! Leases that outlive the process. In `/run`: the whole lease, so that a restarted service goes on
//! where it was. In `/state`: the address alone, to ask for it again after a reboot; the end of a
//! lease means nothing there, as the clock may be wrong. Must never write what is there already.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lease::Lease;
use crate::network::files;

/// Where the leases of all links are kept.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    running: PathBuf,
    lasting: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Running {
    hardware: [u8; 6],
    lease: Lease,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lasting {
    hardware: [u8; 6],
    address: Ipv4Addr,
    released: bool,
}

impl Store {
    /// A store with one folder that ends with the boot and one that does not.
    pub(crate) fn new(running: &Path, lasting: &Path) -> Self {
        Self { running: running.join("leases"), lasting: lasting.join("leases") }
    }

    /// The lease of an earlier process of this boot, and the address of an earlier boot with
    /// whether it was given back. A file that cannot be read is as good as none.
    pub(crate) fn recall(
        &self,
        link: &str,
        hardware: [u8; 6],
    ) -> (Option<Lease>, Option<(Ipv4Addr, bool)>) {
        let running: Option<Running> = files::read_json(&self.running.join(link));
        let lasting: Option<Lasting> = files::read_json(&self.lasting.join(link));
        (
            running.filter(|r| r.hardware == hardware).map(|r| r.lease),
            lasting.filter(|l| l.hardware == hardware).map(|l| (l.address, l.released)),
        )
    }

    /// Remembers a lease in use.
    pub(crate) fn keep(&self, link: &str, hardware: [u8; 6], lease: &Lease) -> io::Result<()> {
        let running = Running { hardware, lease: lease.clone() };
        files::replace_json(&self.running.join(link), &running)?;
        let lasting = Lasting { hardware, address: lease.address, released: false };
        files::replace_json_durably(&self.lasting.join(link), &lasting)
    }

    /// Forgets a lease; a released address may be asked for again, one in conflict may not.
    pub(crate) fn end(
        &self,
        link: &str,
        hardware: [u8; 6],
        address: Ipv4Addr,
        ask_again: bool,
    ) -> io::Result<()> {
        files::remove(&self.running.join(link))?;
        if ask_again {
            let lasting = Lasting { hardware, address, released: true };
            files::replace_json_durably(&self.lasting.join(link), &lasting)
        } else {
            files::remove(&self.lasting.join(link))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::network::dhcp::lease::Times;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn lease() -> Lease {
        Lease {
            address: Ipv4Addr::new(192, 0, 2, 10),
            prefix: 24,
            server: Ipv4Addr::new(192, 0, 2, 1),
            routes: vec![(Ipv4Addr::UNSPECIFIED, 0, Some(Ipv4Addr::new(192, 0, 2, 1)))],
            dns: vec![],
            search: vec!["example.com".into()],
            ntp: vec![],
            hostname: None,
            provisioning: None,
            mtu: Some(1400),
            times: Some(Times { renew: Moment(1), rebind: Moment(2), expire: Moment(3) }),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("run"), &folder.path().join("state"));
        (folder, store)
    }

    #[test]
    fn lease_is_recalled_after_a_restart_and_its_address_after_a_reboot() {
        let (folder, store) = store();
        store.keep("eth0", MAC, &lease()).unwrap();
        let known = Some((lease().address, false));
        assert_eq!(store.recall("eth0", MAC), (Some(lease()), known));
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
        assert_eq!(store.recall("eth0", MAC), (None, known));
        assert_eq!(store.recall("eth0", [2; 6]), (None, None), "another card's lease");
    }

    #[test]
    fn renewal_does_not_write_to_the_disk() {
        let (folder, store) = store();
        store.keep("eth0", MAC, &lease()).unwrap();
        let file = folder.path().join("state/leases/eth0");
        let inode = || std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&file).unwrap());
        let before = inode();
        store.keep("eth0", MAC, &Lease { times: None, ..lease() }).unwrap();
        assert_eq!(inode(), before);
    }

    #[test]
    fn released_address_is_known_and_one_in_conflict_is_forgotten() {
        let (_folder, store) = store();
        store.keep("eth0", MAC, &lease()).unwrap();
        store.end("eth0", MAC, lease().address, true).unwrap();
        assert_eq!(store.recall("eth0", MAC), (None, Some((lease().address, true))));
        store.end("eth0", MAC, lease().address, false).unwrap();
        assert_eq!(store.recall("eth0", MAC), (None, None));
    }

    #[test]
    fn damaged_file_is_as_good_as_none() {
        let (folder, store) = store();
        std::fs::create_dir_all(folder.path().join("run/leases")).unwrap();
        std::fs::write(folder.path().join("run/leases/eth0"), b"{\"hardw").unwrap();
        assert_eq!(store.recall("eth0", MAC), (None, None));
    }
}
