//! A model behind a wire.

use async_trait::async_trait;
use protocol::{ModelFailure, ModelFailureKind, ModelReply};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder};
use url::Url;

use crate::assembly::Assembly;
use crate::failure::{excerpt, failure};
use crate::key::ApiKey;
use crate::limits::Timeouts;
use crate::model::{CallIds, DeltaSink, Model, ModelRequest};
use crate::transport::{Break, EventStream};
use crate::wire::Wire;

pub(crate) struct Remote {
    pub(crate) name: String,
    /// As the provider calls it.
    pub(crate) model: String,
    pub(crate) wire: Box<dyn Wire>,
    pub(crate) endpoint: Url,
    pub(crate) key: Option<ApiKey>,
    pub(crate) client: Client,
    pub(crate) timeouts: Timeouts,
    pub(crate) call_ids: CallIds,
}

#[async_trait]
impl Model for Remote {
    fn name(&self) -> &str {
        &self.name
    }

    async fn reply(&self, request: ModelRequest<'_>, deltas: &mut dyn DeltaSink) -> Result<ModelReply, ModelFailure> {
        self.exchange(request, deltas).await.map_err(|failure| self.presentable(failure))
    }
}

impl Remote {
    async fn exchange(
        &self,
        request: ModelRequest<'_>,
        deltas: &mut dyn DeltaSink,
    ) -> Result<ModelReply, ModelFailure> {
        let stream = EventStream::open(self.request(request), self.timeouts).await?;
        let begun = |failure| ModelFailure { begun: true, ..failure };
        self.assemble(stream, deltas).await.map_err(begun)
    }

    async fn assemble(&self, mut stream: EventStream, deltas: &mut dyn DeltaSink) -> Result<ModelReply, ModelFailure> {
        let mut reply = Assembly::new(deltas);
        while !reply.ended() {
            match stream.next().await {
                Ok(Some(event)) => self.wire.read(&event, &mut reply)?,
                Ok(None) => return self.unterminated(reply, None),
                Err(Break::Cut(cause)) => return self.unterminated(reply, Some(cause)),
                Err(Break::Refused(failure)) => return Err(failure),
            }
        }
        Ok(reply.finish(&*self.call_ids))
    }

    /// Returns what came before the stream broke, if a caller can act on it. A model that said why it stopped had said
    /// everything: only counts and the terminator follow, and some servers leave those out.
    fn unterminated(&self, reply: Assembly<'_>, cause: Option<ModelFailure>) -> Result<ModelReply, ModelFailure> {
        if reply.stopped() {
            return Ok(reply.finish(&*self.call_ids));
        }
        if reply.has_content() {
            return Ok(reply.finish_truncated(&*self.call_ids));
        }
        let truncated = || failure(ModelFailureKind::Truncated, "the stream ended before the reply began");
        Err(cause.unwrap_or_else(truncated))
    }

    fn request(&self, request: ModelRequest<'_>) -> RequestBuilder {
        let body = self.wire.body(&self.model, request).to_string();
        let post = self.client.post(self.endpoint.clone()).body(body);
        let post = post.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let post = post.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.wire.headers(self.key.as_ref()).into_iter().fold(post, |post, (name, value)| post.header(name, value))
    }

    /// Returns the failure as a person may see it: without the key, which an endpoint may echo, and short.
    fn presentable(&self, mut failure: ModelFailure) -> ModelFailure {
        if let Some(key) = &self.key {
            failure.message = key.redact(&failure.message);
        }
        failure.message = excerpt(&failure.message);
        failure
    }
}
