//! How many requests are served at once, and whose turn it is. Each user has a share of the places,
//! and waits in a queue of their own when it is used up: one client cannot starve the others, and
//! least of all the node agent, whose requests have places of their own.

use crate::auth::{MASTERS, User};
use holm_api::Status;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that are served at once, of those who run the cluster and of everyone else.
const SYSTEM_PLACES: usize = 128;
const PLACES: usize = 256;
/// Of the latter, those that one user may have.
const PLACES_OF_ONE: usize = 96;
/// Requests of one user that may wait.
const MAX_WAITING: usize = 512;
/// How long they may.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Users whose queues are kept while nobody waits in them.
const MAX_QUEUES: usize = 256;

struct Queue {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// All queues.
pub(crate) struct Flow {
    system: Arc<Semaphore>,
    all: Arc<Semaphore>,
    queues: Mutex<HashMap<String, Queue>>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            system: Arc::new(Semaphore::new(SYSTEM_PLACES)),
            all: Arc::new(Semaphore::new(PLACES)),
            queues: Mutex::default(),
        }
    }
}

/// A place, as long as it is held.
pub(crate) struct Place {
    _held: [Option<OwnedSemaphorePermit>; 2],
}

fn runs_the_cluster(user: &User) -> bool {
    user.is_in("system:nodes") || user.is_in(MASTERS) || user.name.starts_with("system:kube-")
}

impl Flow {
    /// Waits for a place.
    ///
    /// # Errors
    /// 429 when too many of the user's requests wait, or it takes too long.
    pub(crate) async fn enter(&self, user: &User) -> Result<Place, Status> {
        let busy = || Status::too_many_requests("too many requests, please try again later", 1);
        if runs_the_cluster(user) {
            let place = self.system.clone().acquire_owned().await.ok();
            return Ok(Place { _held: [place, None] });
        }
        let (places, waiting) = self.queue(&user.name);
        let _waits = waiting.try_acquire_owned().map_err(|_| busy())?;
        let take = async {
            let own = places.acquire_owned().await.ok();
            [own, self.all.clone().acquire_owned().await.ok()]
        };
        match tokio::time::timeout(MAX_WAIT, take).await {
            Ok(held) => Ok(Place { _held: held }),
            Err(_) => Err(busy()),
        }
    }

    fn queue(&self, user: &str) -> (Arc<Semaphore>, Arc<Semaphore>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() >= MAX_QUEUES && !queues.contains_key(user) {
            queues.retain(|_, it| it.places.available_permits() < PLACES_OF_ONE);
        }
        let queue = queues.entry(user.to_owned()).or_insert_with(|| Queue {
            places: Arc::new(Semaphore::new(PLACES_OF_ONE)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        });
        (queue.places.clone(), queue.waiting.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_user_takes_no_more_than_their_share() {
        let flow = Flow::default();
        let (greedy, other) = (User::new("greedy", &[]), User::new("other", &[]));
        let mut held = Vec::new();
        for _ in 0..PLACES_OF_ONE {
            held.push(flow.enter(&greedy).await.unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), flow.enter(&greedy)).await;
        assert!(more.is_err(), "it waits");
        assert!(flow.enter(&other).await.is_ok());
        let node = User::new("system:node:a", &["system:nodes"]);
        assert!(flow.enter(&node).await.is_ok());
        held.pop();
        assert!(flow.enter(&greedy).await.is_ok());
    }

    #[tokio::test]
    async fn a_queue_that_is_full_says_so() {
        let flow = Arc::new(Flow::default());
        let user = User::new("greedy", &[]);
        let mut held = Vec::new();
        for _ in 0..PLACES_OF_ONE {
            held.push(flow.enter(&user).await.unwrap());
        }
        let mut waiting = Vec::new();
        for _ in 0..MAX_WAITING {
            let (flow, user) = (flow.clone(), user.clone());
            waiting.push(tokio::spawn(async move { flow.enter(&user).await.is_ok() }));
        }
        // Each has to be in the queue before it is full.
        while flow.queue("greedy").1.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(flow.enter(&user).await.err().map(|it| it.code), Some(429));
        drop(held);
        for one in waiting {
            assert!(one.await.unwrap());
        }
    }

    #[tokio::test]
    async fn queues_of_users_who_left_are_forgotten() {
        let flow = Flow::default();
        for n in 0..2000 {
            drop(flow.enter(&User::new(&format!("u{n}"), &[])).await.unwrap());
        }
        assert!(flow.queues.lock().unwrap().len() <= MAX_QUEUES);
    }
}
