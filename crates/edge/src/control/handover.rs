//! Hands listening sockets from process to process, with their descriptors in a message (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::place::{Place, SOCKETS};
use crate::process::sockets::Sockets;

/// Sockets that an edge can listen on.
pub(crate) const SOCKETS_MAX: usize = 16;
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends the sockets to whoever connected.
pub(super) fn give(stream: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let sockets: Vec<BorrowedFd<'_>> = sockets.all().take(SOCKETS_MAX).map(|socket| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("too many sockets for one message"));
    }
    sendmsg(stream, &[IoSlice::new(b"s")], &mut message, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Asks the running edge for its sockets: the plain ones, then those of TLS.
pub(crate) fn take(place: &Place) -> io::Result<Vec<TcpListener>> {
    let mut stream = UnixStream::connect(place.socket(SOCKETS)?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&stream, &mut [IoSliceMut::new(&mut byte)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for part in message.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            sockets.extend(descriptors.map(|descriptor: OwnedFd| TcpListener::from(descriptor)));
        }
    }
    // The other side closes; nothing else follows.
    let _ = stream.read(&mut byte);
    if sockets.is_empty() {
        return Err(io::Error::other("the edge handed out no sockets"));
    }
    // Something that is not a listening socket would only show at the first accept.
    for socket in &sockets {
        socket.local_addr()?;
    }
    Ok(sockets)
}
