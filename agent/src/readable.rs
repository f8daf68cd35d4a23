//! Descriptors that the main loop waits for.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use holm_node::pod::watch::Watch;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something that becomes readable when there are news of containers or files.
pub enum Source {
    /// News of containers.
    Containers(OwnedFd),
    /// News of files.
    Files(Watch),
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Containers(fd) => fd.as_fd(),
            Self::Files(watch) => watch.as_fd(),
        }
    }
}

impl Source {
    /// Takes all news. `true` when there were any.
    fn take(&mut self) -> io::Result<bool> {
        let fd = match self {
            Self::Files(watch) => return watch.changed(),
            Self::Containers(fd) => fd,
        };
        // What it says does not matter, only that it said something.
        let mut buffer = [0; 4096];
        let mut news = false;
        loop {
            match rustix::io::read(&*fd, &mut buffer) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(news),
                Ok(_) => news = true,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A source that can be waited for.
pub struct News(AsyncFd<Source>);

impl News {
    /// Registers `source` with the runtime of the calling task.
    pub fn of(source: Source) -> io::Result<Self> {
        // SAFETY: the source owns its descriptor, never replaces it, and is owned by the
        // registration from here on, which ends before it.
        let registered = unsafe { AsyncFd::register_with_interest(source, Interest::READABLE) };
        registered.map(Self).map_err(io::Error::from)
    }

    /// Waits for news and takes them. `false`: there were none after all.
    pub async fn next(&mut self) -> io::Result<bool> {
        let mut ready = self.0.readable_mut().await?;
        // Before reading: what comes meanwhile makes it ready again.
        ready.clear_ready();
        ready.get_inner_mut().take()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn news_of_files_wake_the_loop() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(vec![dir.path().to_owned()]).unwrap();
        runtime.block_on(async {
            let mut news = News::of(Source::Files(watch)).unwrap();
            for round in 0..3 {
                fs::write(dir.path().join("a.yaml"), round.to_string()).unwrap();
                assert!(news.next().await.unwrap());
            }
        });
    }

    #[test]
    fn news_of_containers_are_read_until_there_are_none() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let reader = OwnedFd::from(reader);
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        runtime.block_on(async {
            let mut news = News::of(Source::Containers(reader)).unwrap();
            for _ in 0..2 {
                rustix::io::write(&writer, &[1; 100]).unwrap();
                assert!(news.next().await.unwrap());
            }
        });
    }
}
