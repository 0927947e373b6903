//! The trust root as the functions read it: from the version that the template pins, walked to the newest that is stored.

use std::sync::Arc;

use aws_config::SdkConfig;
use gatekeeper_model::{store_key::RecordKey, telemetry::wall_clock};
use gatekeeper_proof::{
    PublicKeys, SigningError,
    trust::{MAX_BYTES, Pin, Walked, walk},
};
use gatekeeper_store::{ReadStore, StoreError};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::{Buckets, Settings, s3::S3Store};

/// How many versions are asked for at once.
const AT_ONCE: u64 = 8;

/// How long what was read counts: a revocation is known everywhere after that.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// The trust root of an installation that has one.
#[derive(Debug)]
pub struct Trust {
    records: S3Store,
    pin: Pin,
    read: Mutex<Option<(Timestamp, Arc<PublicKeys>)>>,
}

/// Reads every version from the pinned one on, and walks it.
///
/// # Errors
/// [`SigningError`] where it could not look, or where a version doesn't hold: nothing is believed then.
pub async fn read(records: &impl ReadStore, pin: &Pin) -> Result<Walked, SigningError> {
    let error = |source: Box<dyn std::error::Error + Send + Sync>| SigningError::Key {
        key: RecordKey::TrustRoot(pin.version).to_string(),
        operation: "reading the trust root",
        source,
    };
    let mut documents = Vec::new();
    let mut from = pin.version;
    loop {
        let versions = from..from.saturating_add(AT_ONCE);
        let reads = versions.clone().map(|version| async move {
            let body = records.get(&RecordKey::TrustRoot(version).to_string(), None, MAX_BYTES).await?;
            Ok::<_, StoreError>(body.map(|body| (version, body.bytes)))
        });
        let there = futures_util::future::try_join_all(reads).await.map_err(|it| error(Box::new(it)))?;
        let before = documents.len();
        documents.extend(there.into_iter().map_while(|it| it));
        if (documents.len() - before) as u64 != AT_ONCE {
            break;
        }
        from = versions.end;
    }
    walk(pin, documents).map_err(|it| error(Box::new(it)))
}

impl Trust {
    /// The root that a pin leads to.
    #[must_use]
    pub fn new(records: S3Store, pin: Pin) -> Self {
        Self { records, pin, read: Mutex::new(None) }
    }

    /// The root of the installation, where the template pins one.
    ///
    /// # Errors
    /// [`gatekeeper_proof::trust::InvalidPin`] where the setting is none.
    pub fn of(
        config: &SdkConfig,
        settings: &Settings,
    ) -> Result<Option<Arc<Self>>, gatekeeper_proof::trust::InvalidPin> {
        let Some(pin) = settings.trust_root.as_deref().map(str::parse).transpose()? else { return Ok(None) };
        Ok(Some(Arc::new(Self::new(Buckets::new(config, settings).records, pin))))
    }

    /// The keys that the newest version names, read again after five minutes. An older version than was read once is never
    /// taken.
    ///
    /// # Errors
    /// [`SigningError`] as [`read`].
    pub async fn keys(&self) -> Result<Arc<PublicKeys>, SigningError> {
        let mut known = self.read.lock().await;
        let now = wall_clock();
        if let Some((at, keys)) = &*known
            && now.duration_since(*at) < FRESH
        {
            return Ok(Arc::clone(keys));
        }
        // What was walked to is walked on from: nobody goes back behind it.
        let pin = known.as_ref().and_then(|(_, keys)| keys.trust.as_ref()?.last());
        let walked = read(&self.records, pin.as_ref().unwrap_or(&self.pin)).await?;
        let walked = match known.as_ref().and_then(|(_, keys)| keys.trust.as_ref()) {
            Some(before) => {
                let earlier =
                    before.documents.iter().filter(|(version, _)| Some(*version) != pin.as_ref().map(|it| it.version));
                let documents = earlier.cloned().chain(walked.documents).collect();
                Walked { root: walked.root, documents }
            }
            None => walked,
        };
        let keys = PublicKeys::named_by(walked).map_err(|source| SigningError::Key {
            key: RecordKey::TrustRoot(self.pin.version).to_string(),
            operation: "reading the trust root",
            source: Box::new(source),
        })?;
        let keys = Arc::new(keys);
        *known = Some((now, Arc::clone(&keys)));
        Ok(keys)
    }
}
