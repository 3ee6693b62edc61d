//! Reading a body: no more than the endpoint takes, no longer than a body may take, and without a copy where it
//! arrives in one piece.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::refusal::Refusal;
use crate::room::Share;

/// How much more, in bytes, a refused sender may send before it is cut.
const DISCARD_MOST: u64 = 64 << 20;
/// How much longer a refused sender may send before it is cut.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// Reads `body` to its end, at most `most` bytes and no longer than `time`.
pub(crate) async fn read(
    mut body: Body,
    most: u64,
    time: Duration,
    share: &mut Share,
) -> Result<Bytes, Refusal> {
    match timeout(time, collect(&mut body, most, share)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(refusal)) => {
            discard(body);
            Err(refusal)
        }
        Err(_elapsed) => Err(Refusal::TooSlow),
    }
}

async fn collect(body: &mut Body, most: u64, share: &mut Share) -> Result<Bytes, Refusal> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        // Trailers are no part of the body.
        let Ok(data) = frame.map_err(|_| Refusal::BrokenOff)?.into_data() else { continue };
        length += data.len() as u64;
        if length > most {
            return Err(Refusal::TooLarge { most });
        }
        if !share.grow(data.len() as u64) {
            return Err(Refusal::Crowded);
        }
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Reads on for a while what a refused sender is still sending, and throws it away. A socket that is closed with
/// bytes unread is reset, and a reset can destroy the answer before its reader has seen it.
pub(crate) fn discard(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DISCARD_TIME, async move {
        let mut left = DISCARD_MOST;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => break,
            }
        }
    }));
}

/// As [`discard`], for a request of whose body nothing was read. A sender that waits to be told to go on is not:
/// reading would tell it.
pub(crate) fn discard_unread(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(EXPECT) {
        discard(body);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::room::Room;

    const LONG: Duration = Duration::from_secs(20);

    fn pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes()))).collect();
        Body::from_stream(stream::iter(pieces))
    }

    async fn read_with(body: Body, most: u64, room: u64) -> Result<Bytes, Refusal> {
        read(body, most, LONG, &mut Room::new(room).share()).await
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        assert_eq!(read_with(pieces(&[]), 9, 9).await.unwrap(), "");
        assert_eq!(read_with(pieces(&["", "one", "", "two", "three"]), 11, 11).await.unwrap(), "onetwothree");
    }

    #[tokio::test]
    async fn one_piece_is_not_copied() {
        let piece = Bytes::from(vec![7; 100]);
        let read = read_with(Body::from(piece.clone()), 100, 100).await.unwrap();
        assert_eq!(read.as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_large() {
        assert_eq!(read_with(pieces(&["12345"]), 5, 9).await.unwrap(), "12345");
        assert_eq!(read_with(pieces(&["123", "456"]), 5, 9).await, Err(Refusal::TooLarge { most: 5 }));
    }

    #[tokio::test]
    async fn without_room_it_is_turned_away() {
        assert_eq!(read_with(pieces(&["123", "456"]), 9, 5).await, Err(Refusal::Crowded));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_too_slow() {
        let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(begun.chain(stream::pending()));
        let read = read(body, 9, Duration::from_secs(10), &mut Room::new(9).share()).await;
        assert_eq!(read, Err(Refusal::TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_so() {
        let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err("gone")]);
        assert_eq!(read_with(Body::from_stream(broken), 9, 9).await, Err(Refusal::BrokenOff));
    }
}
