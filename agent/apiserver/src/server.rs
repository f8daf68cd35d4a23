//! The server: what all requests share. Holds no logic of a request.

use crate::auth::certificates::Authority;
use crate::auth::service_accounts::Signer;
use crate::auth::{Snapshot, User, bootstrap};
use crate::verbs::store_failed;
use holm_api::resource::Registry;
use holm_api::{Resource, Status, Value};
use holm_store::{LeaseId, Store, StoreError};
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long events stay.
const EVENT_TTL: Duration = Duration::from_secs(3600);
/// Events of so long share a lease, so that a burst of them does not make a thousand.
const EVENT_LEASE_AGE: Duration = Duration::from_secs(300);

/// What a server is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the authority and the keys are kept.
    pub keys: PathBuf,
    /// Names and addresses of this machine that its certificate has, beside the usual ones.
    pub names: Vec<String>,
    /// Tokens that are always good, and for whom.
    pub tokens: HashMap<String, User>,
}

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Something with the authority.
    #[error("cannot open the certificate authority")]
    Authority(#[from] crate::auth::certificates::CertificateError),
    /// Something with the key for tokens.
    #[error("cannot open the key for service accounts in {}", .path.display())]
    TokenKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed.
    #[error("cannot prepare the store")]
    Store(#[from] StoreError),
    /// What every cluster has could not be written.
    #[error("cannot write what every cluster has")]
    Bootstrap(#[source] Status),
}

/// The API server, apart from its connections.
pub struct Server {
    pub(crate) store: Arc<dyn Store>,
    registry: RwLock<Arc<Registry>>,
    pub(crate) rules: Snapshot,
    pub(crate) authority: Authority,
    pub(crate) signer: Signer,
    pub(crate) settings: Settings,
    pub(crate) counters: crate::health::Counters,
    random: SystemRandom,
    event_lease: Mutex<Option<(LeaseId, Instant)>>,
    pub(crate) started: Instant,
}

impl Server {
    /// Opens a server over a store: makes keys on first start, and what every cluster has.
    ///
    /// # Errors
    /// When keys or the store cannot be used.
    pub async fn start(store: Arc<dyn Store>, settings: Settings) -> Result<Arc<Self>, StartError> {
        let authority = Authority::open(&settings.keys, Timestamp::now())?;
        let path = settings.keys.join("service-accounts.key");
        let signer = Signer::open(&path).map_err(|source| StartError::TokenKey { path, source })?;
        let server = Arc::new(Self {
            registry: RwLock::new(Arc::new(Registry::built_in())),
            rules: Snapshot::default(),
            authority,
            signer,
            settings,
            counters: crate::health::Counters::default(),
            random: SystemRandom::new(),
            event_lease: Mutex::new(None),
            started: Instant::now(),
            store,
        });
        bootstrap::write(&server).await.map_err(StartError::Bootstrap)?;
        let revision = server.rules.fill(&*server.store).await?;
        tokio::spawn(server.rules.clone().follow(server.store.clone(), revision));
        Ok(server)
    }

    /// The resources that are served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], Status> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(|_| Status::internal("no randomness"))?;
        Ok(bytes)
    }

    /// Brings an object into its kept form and checks it, as its kind's rules say.
    pub(crate) fn check(
        &self,
        _resource: &Resource,
        _object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// The lease that an object of this kind ends with.
    pub(crate) async fn lease_for(&self, resource: &Resource) -> Result<Option<LeaseId>, Status> {
        if resource.storage.kind != "Event" || resource.custom.is_some() {
            return Ok(None);
        }
        let current = *self.event_lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((lease, since)) = current
            && since.elapsed() < EVENT_LEASE_AGE
        {
            return Ok(Some(lease));
        }
        let ttl = EVENT_TTL + EVENT_LEASE_AGE;
        let lease = self.store.grant_lease(ttl).await.map_err(|it| store_failed(&it))?;
        let mut shared = self.event_lease.lock().unwrap_or_else(PoisonError::into_inner);
        *shared = Some((lease, Instant::now()));
        Ok(Some(lease))
    }
}
