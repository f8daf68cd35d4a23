//! A watch: history until it has caught up, then what the hub sends. A watcher that the hub let go
//! because it was slow reads on from history, as long as that is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::shared::Shared;
use crate::event::Event;
use crate::index::last_row_of;
use crate::key_range::KeyRange;
use crate::store::{Revision, StoreError, WatchStream};

/// Changes that are read from history at once: bounds memory and the time that a poll takes.
const CHUNK: usize = 32;

pub(super) struct SqliteWatch {
    shared: Arc<Shared>,
    range: KeyRange,
    live: mpsc::Receiver<Arc<Event>>,
    /// Changes of history that wait to be taken.
    past: VecDeque<Arc<Event>>,
    /// Where it began: everything up to there counts as seen.
    began: Revision,
    /// Row up to which everything was taken or waits in `past`.
    read: u64,
    /// Row up to which history has to be read; what comes later is in `live`.
    history: u64,
}

impl SqliteWatch {
    pub(super) fn begin(
        shared: Arc<Shared>,
        range: KeyRange,
        after: Revision,
    ) -> Result<Self, StoreError> {
        shared.check_watch(&range, after)?;
        let (live, dispatched) = shared.hub.register(&range).ok_or(StoreError::Closed)?;
        let (read, history) = (last_row_of(after), last_row_of(dispatched));
        Ok(Self { shared, range, live, past: VecDeque::new(), began: after, read, history })
    }
}

impl SqliteWatch {
    /// Takes the next few changes from history.
    fn read_history(&mut self) -> Result<(), StoreError> {
        let (events, upto) = self.shared.history(&self.range, self.read, self.history, CHUNK)?;
        self.past.extend(events.into_iter().map(Arc::new));
        self.read = upto;
        Ok(())
    }
}

impl WatchStream for SqliteWatch {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<Event>, StoreError>> {
        loop {
            if let Some(event) = self.past.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if self.read < self.history {
                self.read_history()?;
                continue;
            }
            match self.live.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(event)) => {
                    // The index shows changes a moment before the hub hands them out, so one may
                    // have begun after what is still on its way.
                    if event.row > self.read {
                        self.read = event.row;
                        return Poll::Ready(Ok(event));
                    }
                }
                Poll::Ready(None) => {
                    let (live, dispatched) =
                        self.shared.hub.register(&self.range).ok_or(StoreError::Closed)?;
                    self.live = live;
                    self.history = last_row_of(dispatched);
                }
            }
        }
    }

    fn progress(&mut self) -> Option<Revision> {
        let dispatched = self.shared.hub.dispatched();
        while self.past.is_empty() && self.read < self.history {
            // Whoever takes the next change is told of the error.
            self.read_history().ok()?;
        }
        let caught_up = self.past.is_empty()
            && self.read >= self.history
            && self.live.is_empty()
            && !self.live.is_closed();
        // A watch may have begun at a revision whose changes are still being handed out.
        caught_up.then(|| dispatched.max(self.began))
    }
}
