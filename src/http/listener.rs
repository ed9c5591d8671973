//! Connections: how many at once, and how long one may keep us waiting.
//!
//! Two rules per connection, whatever the HTTP on it: who neither sends nor takes a byte for [`IDLE`] is closed; and a
//! request that has begun must have some answer within the request's time, also when it comes a byte at a time.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// A silent connection is closed after this. Longer than the live feed's heartbeat.
const IDLE: Duration = Duration::from_secs(75);

/// A listener with a bound on its connections.
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    request: Duration,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, max_connections: usize, request: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(max_connections)), request }
    }
}

impl Listener for Bounded {
    type Io = Timed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed, SocketAddr) {
        // Never closed, so the error can't happen; without a place the connection would just not be counted.
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        // Cards are small; waiting to fill a packet would cost 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        (Timed::new(stream, place, self.request), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that ends when the other side makes us wait too long.
pub(super) struct Timed {
    stream: TcpStream,
    /// Gives the place back when the connection is dropped.
    _place: Option<OwnedSemaphorePermit>,
    request: Duration,
    /// Set by the first byte read after an answer: by then the next answer must have begun.
    answer_by: Option<Instant>,
    deadline: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>, request: Duration) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + IDLE));
        Self { stream, _place: place, request, answer_by: None, deadline }
    }

    fn moved(&mut self) {
        let idle = Instant::now() + IDLE;
        let until = self.answer_by.map_or(idle, |by| by.min(idle));
        self.deadline.as_mut().reset(until);
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if buf.filled().len() > before {
                    let by = Instant::now() + self.request;
                    self.answer_by.get_or_insert(by);
                    self.moved();
                }
                Poll::Ready(result)
            }
            Poll::Pending => match self.deadline.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(_)) = result {
            self.answer_by = None;
            self.moved();
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(_)) = result {
            self.answer_by = None;
            self.moved();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
