//! The condition that the client has no word for: an upload in parts becomes an object only where none is
//! (`If-None-Match: *` on `CompleteMultipartUpload`; Amazon S3 User Guide, "conditional writes").

use std::pin::Pin;

use object_store::{
    ClientOptions, HeaderValue,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};

/// Makes connections that complete uploads under that condition.
#[derive(Debug)]
pub(super) struct Creating;

impl HttpConnector for Creating {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Conditional(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Conditional(HttpClient);

/// What a request becomes, as the client's trait writes it out.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Conditional {
    fn call<'a, 'b>(&'a self, mut request: HttpRequest) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let query = request.uri().query().unwrap_or_default();
        // Of all that is sent by POST, only the completion of an upload names one.
        if request.method().as_str() == "POST" && query.contains("uploadId=") {
            request.headers_mut().insert("if-none-match", HeaderValue::from_static("*"));
        }
        Box::pin(self.0.execute(request))
    }
}
