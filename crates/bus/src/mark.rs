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
    /// What is stored, in bytes.
    bytes: u64,
    /// Beyond it nothing more is taken; unlimited when none.
    max_bytes: Option<u64>,
}

/// Is there room for more events?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    Enough,
    /// Soon there is none; one sentence.
    Little(String),
    /// Events are refused, or the next larger one is; one sentence.
    None(String),
}

impl Mark {
    /// How much room is left in the stream `HOOKS`, which takes no more than `max_bytes` and keeps what it has.
    #[must_use]
    pub fn room(&self) -> Room {
        // What is left there is not enough for many an event.
        const SCRAP: u64 = 64 << 10;
        let Some(most) = self.max_bytes else { return Room::Enough };
        let left = most.saturating_sub(self.bytes);
        let holds = format!(
            "it holds {} of at most {most} bytes: raise max_bytes in [jetstream] and run `gluehook setup --update`, or shorten max_age",
            self.bytes
        );
        if left < SCRAP.min(most / 5) {
            Room::None(format!("stream HOOKS is full, and takes no more events: {holds}"))
        } else if left < most / 10 {
            Room::Little(format!("stream HOOKS is nearly full: {holds}"))
        } else {
            Room::Enough
        }
    }
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
            bytes: info.state.bytes,
            max_bytes: u64::try_from(info.config.max_bytes).ok().filter(|most| *most > 0),
        }),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Err(ReadError(missing(name)))
        }
        Ok(Response::Err { error }) => Err(failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_full_before_its_last_byte() {
        let room = |bytes, max_bytes| {
            Mark { created: Timestamp::UNIX_EPOCH, last_sequence: 0, replicas: 1, bytes, max_bytes }.room()
        };
        const MIB: u64 = 1 << 20;
        assert_eq!(room(u64::MAX, None), Room::Enough);
        assert_eq!(room(80 * MIB, Some(100 * MIB)), Room::Enough);
        assert!(matches!(room(95 * MIB, Some(100 * MIB)), Room::Little(_)));
        assert!(matches!(room(100 * MIB - 50_000, Some(100 * MIB)), Room::None(_)));
        assert!(matches!(room(28_000, Some(32_768)), Room::None(_)), "one of 5 kB more does not fit");
        assert_eq!(room(20_000, Some(32_768)), Room::Enough);
    }
}
