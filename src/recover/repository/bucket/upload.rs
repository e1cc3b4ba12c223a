//! Objects on their way into a bucket: in one request when they are small, else in parts, a few of them at a
//! time, so that memory stays bounded.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use object_store::{
    MultipartId, ObjectStore as _, PutMode, PutOptions, PutPayload, PutResult,
    aws::AmazonS3,
    multipart::{MultipartStore as _, PartId},
    path::Path,
};
use tokio::{task::JoinSet, time::timeout};

use super::Inner;
use crate::recover::{
    Fault, Kind, Result,
    repository::storage::{Overwrite, Upload},
};

/// The first parts' size. The server takes 10,000 parts of at least 5 MiB (Amazon S3 User Guide, "multipart
/// upload limits").
const PART: usize = 8 << 20;
/// After so many parts, their size doubles: 10,000 of them would hold the 5 TiB that an object may have.
const GROWTH: usize = 1000;
/// Parts on their way at once, beside the one that is being filled.
const AT_ONCE: usize = 3;
/// How long giving up may take: whoever drops an upload is on the way out.
const GIVE_UP: Duration = Duration::from_secs(10);

/// An object that is being written.
pub(super) struct Parts {
    inner: Arc<Inner>,
    name: String,
    path: Path,
    overwrite: Overwrite,
    buffer: BytesMut,
    taken: u64,
    /// None while everything fits into one request.
    multipart: Option<Multipart>,
}

struct Multipart {
    client: Arc<AmazonS3>,
    id: MultipartId,
    running: JoinSet<object_store::Result<(usize, PartId)>>,
    done: Vec<(usize, PartId)>,
    begun: usize,
}

/// The fault of a name that is taken.
pub(super) fn exists(name: &str) -> Fault {
    Fault::new(Kind::Refused, format!("'{name}' exists already"))
}

fn part_size(index: usize) -> usize {
    PART << (index / GROWTH)
}

impl Parts {
    pub(super) fn new(inner: Arc<Inner>, name: String, path: Path, overwrite: Overwrite) -> Self {
        let (buffer, taken, multipart) = (BytesMut::new(), 0, None);
        Self { inner, name, path, overwrite, buffer, taken, multipart }
    }

    fn what(&self) -> String {
        format!("cannot write '{}'", self.name)
    }

    fn next_size(&self) -> usize {
        part_size(self.multipart.as_ref().map_or(0, |multipart| multipart.begun))
    }

    /// Sends what is in the buffer as the next part, and waits while too many are on their way.
    fn send_part(&mut self) -> Result<()> {
        let what = self.what();
        if self.multipart.is_none() {
            let client = match self.overwrite {
                Overwrite::Never => Arc::clone(&self.inner.client),
                Overwrite::Replace => {
                    let Inner { place, credentials, .. } = &*self.inner;
                    Arc::new(super::client(place, credentials, self.overwrite)?)
                }
            };
            let id = self.inner.wait(&what, client.create_multipart(&self.path))?;
            let (running, done) = (JoinSet::new(), Vec::new());
            self.multipart = Some(Multipart { client, id, running, done, begun: 0 });
        }
        let Some(multipart) = &mut self.multipart else { return Ok(()) };
        let runtime = self.inner.runtime()?;
        let payload = PutPayload::from(mem::take(&mut self.buffer).freeze());
        let (client, path) = (Arc::clone(&multipart.client), self.path.clone());
        let (id, index) = (multipart.id.clone(), multipart.begun);
        multipart.running.spawn_on(
            async move { Ok((index, client.put_part(&path, &id, index, payload).await?)) },
            runtime.handle(),
        );
        multipart.begun += 1;
        while multipart.running.len() > AT_ONCE {
            multipart.join_one(&self.inner, &what)?;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<PutResult> {
        let what = self.what();
        if self.multipart.is_none() {
            return self.publish_small(&what);
        }
        if !self.buffer.is_empty() {
            self.send_part()?;
        }
        let Some(multipart) = &mut self.multipart else {
            return Err(Fault::new(Kind::Failed, format!("{what}: its upload is gone")));
        };
        while !multipart.running.is_empty() {
            multipart.join_one(&self.inner, &what)?;
        }
        if self.overwrite == Overwrite::Never && self.inner.head(&what, &self.path)?.is_some() {
            return Err(exists(&self.name));
        }
        multipart.done.sort_by_key(|(index, _)| *index);
        let parts = multipart.done.iter().map(|(_, part)| part.clone()).collect();
        let completed = multipart.client.complete_multipart(&self.path, &multipart.id, parts);
        match self.inner.runtime()?.block_on(completed) {
            Ok(result) => {
                self.multipart = None;
                Ok(result)
            }
            // The client does not tell this refusal from others.
            Err(error) if error.to_string().contains("PreconditionFailed") => {
                Err(exists(&self.name))
            }
            Err(error) => Err(self.inner.fault(&what, &error)),
        }
    }

    fn publish_small(&mut self, what: &str) -> Result<PutResult> {
        let bytes: Bytes = mem::take(&mut self.buffer).freeze();
        let mode = match self.overwrite {
            Overwrite::Never => PutMode::Create,
            Overwrite::Replace => PutMode::Overwrite,
        };
        let options = PutOptions::from(mode);
        let put = self.inner.client.put_opts(&self.path, bytes.into(), options);
        match self.inner.runtime()?.block_on(put) {
            Err(object_store::Error::AlreadyExists { .. }) => Err(exists(&self.name)),
            result => result.map_err(|error| self.inner.fault(what, &error)),
        }
    }

    /// What stands there must be ours, and whole.
    fn look_again(&self, result: &PutResult) -> Result<()> {
        let what = format!("cannot look at '{}' after writing it", self.name);
        let wrong = |why: String| Err(Fault::new(Kind::Failed, format!("'{}' {why}", self.name)));
        let Some(meta) = self.inner.head(&what, &self.path)? else {
            return wrong("was written and is not there".to_owned());
        };
        if meta.size != self.taken {
            return wrong(format!("has {} bytes instead of {}", meta.size, self.taken));
        }
        if let (Some(ours), Some(there)) = (&result.e_tag, &meta.e_tag)
            && ours != there
        {
            return wrong("was replaced by another writer in the same moment".to_owned());
        }
        Ok(())
    }
}

impl Multipart {
    fn join_one(&mut self, inner: &Inner, what: &str) -> Result<()> {
        match inner.runtime()?.block_on(self.running.join_next()) {
            Some(Ok(Ok(done))) => self.done.push(done),
            Some(Ok(Err(error))) => return Err(inner.fault(what, &error)),
            Some(Err(error)) => return Err(Fault::new(Kind::Failed, format!("{what}: {error}"))),
            None => {}
        }
        Ok(())
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.next_size() - self.buffer.len();
            // A full part is sent only when more comes: what fits into one request goes in one.
            if room == 0 {
                self.send_part().map_err(Fault::into_io)?;
                continue;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.buffer.extend_from_slice(now);
            self.taken += now.len() as u64;
            rest = later;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for Parts {
    fn finish(mut self: Box<Self>) -> Result<()> {
        let result = self.publish()?;
        self.look_again(&result)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let (Some(mut multipart), Ok(runtime)) = (self.multipart.take(), self.inner.runtime())
        else {
            return;
        };
        // A part that arrives after the end of its upload would stay: first they stop, then it ends. What
        // cannot be ended now is what the bucket's lifecycle rule is for.
        let _ = runtime.block_on(async {
            timeout(GIVE_UP, async {
                multipart.running.shutdown().await;
                multipart.client.abort_multipart(&self.path, &multipart.id).await
            })
            .await
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_that_a_server_takes_hold_the_largest_object() {
        let all: u128 = (0..10_000).map(|index| part_size(index) as u128).sum();
        assert!(all >= 5 << 40, "{all}");
        // The largest is not larger than the server's limit of 5 GiB.
        assert!(part_size(9_999) <= 5 << 30);
    }
}
