//! The listening sockets, by what is spoken on them. They travel as one list: the plain ones first.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// All of them.
pub(crate) struct Sockets {
    pub(crate) plain: Vec<TcpListener>,
    pub(crate) tls: Vec<TcpListener>,
}

impl Sockets {
    /// Takes a list apart; the last `tls` of it speak TLS.
    pub(crate) fn from_list(mut list: Vec<TcpListener>, tls: usize) -> io::Result<Self> {
        let Some(plain) = list.len().checked_sub(tls) else {
            return Err(io::Error::other(format!("{} sockets came, and {tls} should speak TLS", list.len())));
        };
        let tls = list.split_off(plain);
        Ok(Self { plain: list, tls })
    }

    /// Plain, then TLS.
    pub(crate) fn all(&self) -> impl Iterator<Item = &TcpListener> {
        self.plain.iter().chain(&self.tls)
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let list = self.all().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        Self::from_list(list, self.tls.len())
    }
}

/// Where sockets listen.
pub(crate) fn addresses(sockets: &[TcpListener]) -> Vec<SocketAddr> {
    sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
}

/// Whether sockets listen where they should; port 0 stands for any.
pub(crate) fn fit(wanted: &[SocketAddr], found: &[SocketAddr]) -> bool {
    let fits = |(wanted, found): (&SocketAddr, &SocketAddr)| {
        wanted.ip() == found.ip() && (wanted.port() == 0 || wanted.port() == found.port())
    };
    wanted.len() == found.len() && wanted.iter().zip(found).all(fits)
}
