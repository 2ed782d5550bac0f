//! gRPC, as much as the server of a simulation needs: messages in HTTP/2 streams, and the status at the end.

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;

use super::model::Refusal;

/// The bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The next message of a request; `None` at its end.
pub async fn receive<M: Message + Default>(body: &mut RecvStream) -> Option<M> {
    let mut received = BytesMut::new();
    loop {
        if let Some(prefix) = received.first_chunk::<PREFIX>() {
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
            let end = PREFIX + usize::try_from(length).ok()?;
            if received.len() >= end {
                return M::decode(&received[PREFIX..end]).ok();
            }
        }
        let data = body.data().await?.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        received.extend_from_slice(&data);
    }
}

fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.encoded_len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).expect("small messages"));
    message.encode(&mut bytes).expect("there is room");
    bytes.freeze()
}

fn headers() -> Response<()> {
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(()).expect("valid headers")
}

fn status(headers: &mut HeaderMap, code: u8, message: &'static str) {
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    headers.insert("grpc-message", HeaderValue::from_static(message));
}

/// The caller is gone.
pub struct Gone;

impl From<h2::Error> for Gone {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// Begins an answer of several messages.
pub fn begin(respond: &mut SendResponse<Bytes>) -> Result<SendStream<Bytes>, Gone> {
    Ok(respond.send_response(headers(), false)?)
}

/// Sends a message of such an answer.
pub fn send(stream: &mut SendStream<Bytes>, message: &impl Message) -> Result<(), Gone> {
    Ok(stream.send_data(framed(message), false)?)
}

/// Ends such an answer.
pub fn end(stream: &mut SendStream<Bytes>, refusal: Option<Refusal>) -> Result<(), Gone> {
    let mut trailers = HeaderMap::new();
    let refusal = refusal.unwrap_or(Refusal { code: 0, message: "" });
    status(&mut trailers, refusal.code, refusal.message);
    Ok(stream.send_trailers(trailers)?)
}

/// The whole answer.
pub fn answer(respond: &mut SendResponse<Bytes>, message: &impl Message) -> Result<(), Gone> {
    let mut stream = begin(respond)?;
    send(&mut stream, message)?;
    end(&mut stream, None)
}

/// The answer that something was refused.
pub fn refuse(respond: &mut SendResponse<Bytes>, refusal: Refusal) -> Result<(), Gone> {
    let mut response = headers();
    status(response.headers_mut(), refusal.code, refusal.message);
    respond.send_response(response, true)?;
    Ok(())
}
