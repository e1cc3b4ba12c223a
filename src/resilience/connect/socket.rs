//! The wire below PostgreSQL's protocol: TCP or a unix socket.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use crate::resilience::conninfo::Tcp;

/// An attempt that has heard nothing for so long gets company. TCP repeats its first packet only after a
/// second (RFC 6298, 2.1), then after two more, and so on.
const AGAIN: Duration = Duration::from_millis(200);
/// Attempts on one address that are under way at most. The first one stays, so that an answer that takes
/// longer than all of them together still finds somebody; of the others the oldest makes room.
const AT_ONCE: usize = 5;

/// One address of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Socket {
    wire: Wire,
    /// Until something came: what may come first.
    first: Option<&'static [u8]>,
}

#[derive(Debug)]
enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects; the caller bounds the time.
    pub(super) async fn open(address: &Address, tcp: &Tcp) -> io::Result<Self> {
        let wire = match address {
            Address::Unix(path) => Wire::Unix(UnixStream::connect(abstract_or(path)).await?),
            Address::Tcp(address) => {
                let stream = reach(*address).await?;
                stream.set_nodelay(true)?;
                tune(&stream, tcp)?;
                Wire::Tcp(stream)
            }
        };
        Ok(Self { wire, first: None })
    }

    /// From now on, an answer that does not begin with one of these bytes is an error. Without it, the
    /// banner of another service reads like a message of a gigabyte, for which the driver waits.
    pub(super) fn expect(&mut self, first: &'static [u8]) {
        self.first = Some(first);
    }

    /// The user id that owns the other end, if this is a unix socket.
    pub(super) fn peer(&self) -> Option<io::Result<u32>> {
        match &self.wire {
            Wire::Unix(stream) => Some(stream.peer_cred().map(|peer| peer.uid())),
            Wire::Tcp(_) => None,
        }
    }
}

/// A connection to that address, from the first of several attempts that gets through. In a network that
/// has swallowed a packet and is well again, a fresh attempt is there at once, while the old one waits until
/// TCP repeats itself. One that fails speaks for all.
async fn reach(address: SocketAddr) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut companions = VecDeque::new();
    attempts.spawn(TcpStream::connect(address));
    loop {
        match timeout(AGAIN, attempts.join_next()).await {
            Ok(Some(Ok(outcome))) => return outcome,
            Ok(Some(Err(left))) if left.is_cancelled() => continue,
            Ok(Some(Err(failed))) => return Err(io::Error::other(failed)),
            Ok(None) | Err(_) => {}
        }
        if companions.len() + 1 == AT_ONCE
            && let Some(oldest) = companions.pop_front()
        {
            AbortHandle::abort(&oldest);
        }
        companions.push_back(attempts.spawn(TcpStream::connect(address)));
    }
}

/// libpq writes a leading NUL, the mark of Linux's abstract namespace, as `@`.
fn abstract_or(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => PathBuf::from(format!("\0{name}")),
        None => path.to_owned(),
    }
}

fn tune(stream: &TcpStream, tcp: &Tcp) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(limit) = tcp.user_timeout {
        let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, millis)?;
    }
    sockopt::set_socket_keepalive(stream, tcp.keepalives)?;
    if !tcp.keepalives {
        return Ok(());
    }
    if let Some(idle) = tcp.keepalives_idle {
        sockopt::set_tcp_keepidle(stream, idle)?;
    }
    if let Some(interval) = tcp.keepalives_interval {
        sockopt::set_tcp_keepintvl(stream, interval)?;
    }
    if let Some(count) = tcp.keepalives_count {
        sockopt::set_tcp_keepcnt(stream, count)?;
    }
    Ok(())
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let before = buffer.filled().len();
        let read = match &mut socket.wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        if let (Some(first), Some(came)) = (socket.first, buffer.filled().get(before)) {
            socket.first = None;
            if !first.contains(came) {
                let what = format!("its first byte is {:?}", char::from(*came));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
            }
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.get_mut().wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        match written {
            // A server that ends a session says why and hangs up. Whoever writes before he reads would
            // learn of the hanging up only: take the bytes as gone, and let the reader find the
            // server's last words, or the end.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Poll::Ready(Ok(bytes.len()))
            }
            written => written,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn opened(tcp: &Tcp) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address::Tcp(listener.local_addr().expect("an address"));
        match Socket::open(&address, tcp).await.expect("open").wire {
            Wire::Tcp(stream) => stream,
            Wire::Unix(_) => panic!("not TCP"),
        }
    }

    #[tokio::test]
    async fn the_limits_reach_the_socket() {
        let stream = opened(&Tcp::default()).await;
        assert!(sockopt::socket_keepalive(&stream).expect("read"));
        assert_eq!(sockopt::tcp_keepidle(&stream).expect("read"), Duration::from_secs(5));
        assert_eq!(sockopt::tcp_keepintvl(&stream).expect("read"), Duration::from_secs(2));
        assert_eq!(sockopt::tcp_keepcnt(&stream).expect("read"), 3);
        assert!(stream.nodelay().expect("read"));
        #[cfg(target_os = "linux")]
        assert_eq!(sockopt::tcp_user_timeout(&stream).expect("read"), 10_000);

        let stream = opened(&Tcp { keepalives: false, user_timeout: None, ..Tcp::default() }).await;
        assert!(!sockopt::socket_keepalive(&stream).expect("read"));
        #[cfg(target_os = "linux")]
        assert_eq!(sockopt::tcp_user_timeout(&stream).expect("read"), 0);
    }
}
