//! How far a stream has come: whoever remembers an older mark can tell whether the server has lost what it had.

use async_nats::jetstream::response::Response;
use async_nats::jetstream::{ErrorCode, stream};
use jiff::Timestamp;

use crate::connect::Bus;
use crate::publisher::missing;
use crate::read::ReadError;
use crate::topology::StreamName;

/// How far a stream has come, and on how many servers it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// A stream that was made anew has another one.
    pub created: Timestamp,
    /// Sequence of the newest message. It only grows, unless the server lost messages.
    pub last_sequence: u64,
    pub replicas: usize,
}

/// How far the stream has come now.
///
/// # Errors
/// The stream can't be asked.
pub async fn mark(bus: &Bus, stream: StreamName) -> Result<Mark, ReadError> {
    let name = stream.name();
    let failed = |error: &dyn std::fmt::Display| {
        ReadError(bus.request_failed(&format!("stream {name} can't be looked at"), error))
    };
    let answer: Result<Response<stream::Info>, _> = bus.ask(format!("STREAM.INFO.{name}")).await;
    match answer {
        Ok(Response::Ok(info)) => Ok(Mark {
            created: Timestamp::from_nanosecond(info.created.unix_timestamp_nanos())
                .unwrap_or(Timestamp::UNIX_EPOCH),
            last_sequence: info.state.last_sequence,
            replicas: info.config.num_replicas,
        }),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Err(ReadError(missing(name)))
        }
        Ok(Response::Err { error }) => Err(failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}
