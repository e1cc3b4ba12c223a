//! A bucket that speaks S3, as storage.
//!
//! What it promises, and how:
//! * **whole or not at all**: a bucket shows an object only when all of it has arrived; every request carries
//!   the SHA-256 of its body in its signature, and after an upload the size is asked for and compared.
//! * **never overwritten**: an object is created under the condition that there is none (`If-None-Match`), in
//!   one request or when its parts are put together, so one of two writers wins. A server that does not know
//!   the condition, as before late 2024, lets the second one win: before that it is looked whether the name
//!   is free, and afterwards whether what stands there is ours.
//! * **interrupted uploads** are given up when their writer is dropped. Those of a killed writer are not
//!   visible, cannot be listed by the client, and cost money: give the bucket a lifecycle rule
//!   (`AbortIncompleteMultipartUpload`, such as after 2 days).
//!
//! | file | its duty |
//! |---|---|
//! | `credentials` | who we are |
//! | `upload` | objects on their way in |
//! | `condition` | which of two writers wins |
//! | `trouble` | what its errors mean |

mod condition;
mod credentials;
mod trouble;
mod upload;

pub use credentials::Credentials;

use std::{
    io::{self, Read},
    ops::Range,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::{
    BackoffConfig, Certificate, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore as _,
    ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    path::Path,
};
use tokio::runtime::{Builder, Runtime};

use super::{
    address::Place,
    key::Key,
    storage::{Leftover, Object, Overwrite, Space, Storage, Upload},
};
use crate::{
    base::{clock::Timestamp, text::Text},
    recover::{Fault, Kind, Result},
};

/// How long connecting may take, at most; less where one answer may take less.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a failed request is repeated, where that is safe.
const RETRIES: usize = 3;

/// A bucket that speaks S3. Its requests run on a thread of its own; every call waits.
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    credentials: Credentials,
    client: Arc<AmazonS3>,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Bucket {
    /// A bucket, with credentials from the environment or a profile. Nothing is asked of the server yet.
    pub fn new(place: Place) -> Result<Self> {
        let credentials = Credentials::find(&place)?;
        Self::with(place, credentials)
    }

    /// The same with these credentials.
    pub fn with(place: Place, credentials: Credentials) -> Result<Self> {
        // The client's TLS takes the process's own provider; one that is there stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("bucket")
            .enable_all()
            .build()
            .map_err(Fault::io("no thread for the bucket"))?;
        let client = Arc::new(client(&place, &credentials, Overwrite::Never)?);
        let inner = Inner { place, credentials, client, runtime: Some(runtime) };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn path(&self, key: &Key) -> Result<Path> {
        self.inner.path(key.as_str())
    }

    /// The key of a name in the bucket, if it is one of ours.
    fn key_of(&self, path: &Path) -> Option<Key> {
        let name = path.as_ref();
        let inside = match self.inner.place.prefix.as_str() {
            "" => name,
            prefix => name.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        Key::new(inside).ok()
    }

    fn object(&self, meta: &ObjectMeta) -> Option<Object> {
        let modified = Timestamp::from_second(meta.last_modified.timestamp()).unwrap_or_default();
        Some(Object { key: self.key_of(&meta.location)?, size: meta.size, modified })
    }

    fn read(&self, key: &Key, range: Option<Range<u64>>) -> Result<Box<dyn Read + Send>> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Ok(Box::new(io::empty()));
        }
        let what = format!("cannot read '{}'", self.inner.name(key));
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let path = self.path(key)?;
        let got = self.inner.wait(&what, self.inner.client.get_opts(&path, options))?;
        Ok(Box::new(Download {
            inner: Arc::clone(&self.inner),
            what,
            stream: Box::pin(got.into_stream()),
            rest: Bytes::new(),
        }))
    }
}

/// A client whose uploads in parts replace what is there, or do not.
fn client(place: &Place, credentials: &Credentials, overwrite: Overwrite) -> Result<AmazonS3> {
    let mut options = ClientOptions::new()
        // A large object may take hours; what may not take long is the next piece of it.
        .with_timeout_disabled()
        .with_read_timeout(place.timeout)
        .with_connect_timeout(CONNECT.min(place.timeout))
        .with_allow_http(true);
    if let Some(file) = &place.ca_file {
        options = options.with_no_system_certificates(true);
        for authority in authorities(file)? {
            options = options.with_root_certificate(authority);
        }
    }
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES,
        retry_timeout: place.timeout,
    };
    let mut builder = credentials
        .tell(AmazonS3Builder::from_env())
        .with_bucket_name(&place.bucket)
        .with_virtual_hosted_style_request(!place.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(options)
        .with_retry(retry);
    if overwrite == Overwrite::Never {
        builder = builder.with_http_connector(condition::Creating);
    }
    if let Some(region) = &place.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &place.endpoint {
        // With the bucket in the host's name, the client wants it in the endpoint, too.
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if !place.path_style => {
                format!("{scheme}://{}.{host}", place.bucket)
            }
            _ => endpoint.clone(),
        };
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|error| {
        Fault::new(Kind::Config, format!("the bucket '{}': {error}", place.bucket))
            .remedy("mend recover.repository")
    })
}

/// The certificates of a file, of which there is at least one.
fn authorities(file: &std::path::Path) -> Result<Vec<Certificate>> {
    let bad = |why: &dyn std::fmt::Display| {
        let what = format!("the certificate authorities in '{}': {why}", file.display());
        Fault::new(Kind::Config, what)
            .remedy("ca_file= in the bucket's URL names a PEM file with at least one certificate")
    };
    let pem = std::fs::read(file).map_err(|error| bad(&error))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(bad(&"there is none")),
        found => found.map_err(|error| bad(&error)),
    }
}

impl Inner {
    fn path(&self, name: &str) -> Result<Path> {
        let whole = match self.place.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        Path::parse(&whole).map_err(|error| {
            Fault::new(Kind::Usage, format!("'{whole}' cannot be a name in a bucket: {error}"))
        })
    }

    /// An object's name for messages.
    fn name(&self, key: &Key) -> String {
        format!("{}/{key}", self.describe())
    }

    fn describe(&self) -> String {
        let Place { bucket, prefix, .. } = &self.place;
        if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") }
    }

    fn runtime(&self) -> Result<&Runtime> {
        self.runtime.as_ref().ok_or_else(|| Fault::new(Kind::Failed, "the bucket is closed"))
    }

    /// Waits for what the client does.
    fn wait<T>(
        &self,
        what: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        self.runtime()?.block_on(work).map_err(|error| self.fault(what, &error))
    }

    fn fault(&self, what: &str, error: &object_store::Error) -> Fault {
        trouble::fault(what, &self.place, error)
    }

    /// What is known of a name; none when there is nothing.
    fn head(&self, what: &str, path: &Path) -> Result<Option<ObjectMeta>> {
        use object_store::Error::{NotFound, PermissionDenied};
        match self.runtime()?.block_on(self.client.head(path)) {
            Ok(meta) => Ok(Some(meta)),
            // A HEAD has no body, so a missing bucket looks like a missing object; what follows, a listing
            // or an upload, tells them apart.
            Err(NotFound { .. }) => Ok(None),
            // For the same reason it does not say what is wrong with our credentials. A listing does.
            Err(error @ PermissionDenied { .. }) => {
                let listed = self.client.list_with_delimiter(Some(path));
                self.wait(what, listed).and_then(|_| Err(self.fault(what, &error)))
            }
            Err(error) => Err(self.fault(what, &error)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Waiting for it is not allowed on a thread of another runtime, and nothing is left to wait for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Storage for Bucket {
    fn describe(&self) -> Text {
        self.inner.describe().into()
    }

    fn create(&self, key: &Key, overwrite: Overwrite) -> Result<Box<dyn Upload>> {
        if overwrite == Overwrite::Never && self.stat(key)?.is_some() {
            return Err(upload::exists(&self.inner.name(key)));
        }
        let path = self.path(key)?;
        Ok(Box::new(upload::Parts::new(
            Arc::clone(&self.inner),
            self.inner.name(key),
            path,
            overwrite,
        )))
    }

    fn open(&self, key: &Key) -> Result<Box<dyn Read + Send>> {
        self.read(key, None)
    }

    fn open_range(&self, key: &Key, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        self.read(key, Some(range))
    }

    fn list(&self, below: &Key) -> Result<Vec<Object>> {
        let what = format!("cannot list '{}'", self.inner.name(below));
        let path = self.path(below)?;
        let found: Vec<ObjectMeta> =
            self.inner.wait(&what, self.inner.client.list(Some(&path)).try_collect())?;
        let mut objects: Vec<Object> = found.iter().filter_map(|meta| self.object(meta)).collect();
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    fn children(&self, below: Option<&Key>) -> Result<Vec<String>> {
        let path = match below {
            Some(key) => self.path(key)?,
            None => self.inner.path("")?,
        };
        let what = format!("cannot list '{}'", self.inner.describe());
        let found = self.inner.wait(&what, self.inner.client.list_with_delimiter(Some(&path)))?;
        let objects = found.objects.iter().map(|meta| &meta.location);
        let mut names: Vec<String> = found
            .common_prefixes
            .iter()
            .chain(objects)
            .filter_map(|path| Some(path.filename()?.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let what = format!("cannot look at '{}'", self.inner.name(key));
        let found = self.inner.head(&what, &self.path(key)?)?;
        Ok(found.and_then(|meta| self.object(&meta)))
    }

    fn remove(&self, key: &Key) -> Result<()> {
        let what = format!("cannot remove '{}'", self.inner.name(key));
        let path = self.path(key)?;
        match self.inner.runtime()?.block_on(self.inner.client.delete(&path)) {
            Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => {
                Err(self.inner.fault(&what, &error))
            }
            _ => Ok(()),
        }
    }

    fn leftovers(&self, _below: &Key) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn knows_leftovers(&self) -> bool {
        false
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        let what = format!("a bucket cannot name what '{}' left behind", leftover.key);
        Err(Fault::new(Kind::Failed, what))
    }

    fn space(&self) -> Result<Option<Space>> {
        Ok(None)
    }

    fn path(&self, _key: &Key) -> Option<PathBuf> {
        None
    }
}

/// An object on its way out.
struct Download {
    inner: Arc<Inner>,
    what: String,
    stream: Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>,
    rest: Bytes,
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !buffer.is_empty() {
            let runtime = self.inner.runtime().map_err(Fault::into_io)?;
            match runtime.block_on(self.stream.next()) {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(error)) => return Err(self.inner.fault(&self.what, &error).into_io()),
                None => return Ok(0),
            }
        }
        let taken = self.rest.split_to(buffer.len().min(self.rest.len()));
        if let Some(place) = buffer.get_mut(..taken.len()) {
            place.copy_from_slice(&taken);
        }
        Ok(taken.len())
    }
}
