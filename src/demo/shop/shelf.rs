//! A listener that holds at most so many connections, as a database does; one more is told so and closed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How many connections are open, and how many may be.
#[derive(Debug, Clone)]
pub struct Seats {
    open: Arc<AtomicUsize>,
    most: usize,
}

impl Seats {
    /// For at most `most` connections.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    /// Open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// May be open.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }

    fn take(&self) -> Option<Seat> {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < self.most).then_some(open + 1))
            .ok()
            .map(|_| Seat(Arc::clone(&self.open)))
    }
}

#[derive(Debug)]
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Accepts while there are seats.
#[derive(Debug)]
pub struct Shelf {
    /// Where it listens.
    pub listener: TcpListener,
    /// How many it takes.
    pub seats: Seats,
}

/// A connection with its seat.
#[derive(Debug)]
pub struct Seated {
    stream: TcpStream,
    _seat: Seat,
}

impl axum::serve::Listener for Shelf {
    type Io = Seated;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Seated, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((mut stream, peer)) => match self.seats.take() {
                    Some(seat) => return (Seated { stream, _seat: seat }, peer),
                    None => {
                        tokio::spawn(async move {
                            let says = "too many connections\n";
                            let head = format!(
                                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{says}",
                                says.len()
                            );
                            let _ =
                                tokio::time::timeout(Duration::from_secs(1), stream.write_all(head.as_bytes())).await;
                        });
                    }
                },
                // Out of file descriptors, usually: trying at once again would only spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Seated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Seated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_given_until_none_is_left_and_come_back() {
        let seats = Seats::new(2);
        let first = seats.take().unwrap();
        let _second = seats.take().unwrap();
        assert!(seats.take().is_none());
        drop(first);
        assert!(seats.take().is_some());
        assert_eq!(seats.open(), 1);
    }
}
